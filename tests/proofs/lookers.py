"""Many open pages: python -m tests.proofs.lookers --clients 50 --seconds 60 --core 1.

`digits run` reads on one core of this machine as fast as it can; the clients, on the others, ask
as the page does. With `--reload` they are browsers whose key F5 is held down: each loads / with all
that belongs to it and /device, and begins again at once. Prints readings a second and the program's
memory without them and with them, as JSON.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.proofs.neighbour import ROOT, get_json, start_command, wait_for


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60, help="of each of the measurements")
    parser.add_argument("--reload", action="store_true", help="the pages are loaded without pause")
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)))
    args = parser.parse_args()
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {args.core} or {args.core})
    state = Path(tempfile.mkdtemp(prefix="digits-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = state / "digits.toml"
    config.write_text("[camera]\nrate = 0\npicture_seconds = 0\n")
    process = start_command(
        args.core, "run", "--camera", f"folder:{ROOT / 'data' / 'samples'}", "--leds", "none",
        "--host", "127.0.0.1", "--port", str(port), "--state", str(state), "--config", str(config),
    )  # fmt: skip
    try:
        page = f"http://127.0.0.1:{port}"
        wait_for(f"{page}/api/v1/reading")
        # The first of each path and the caches are not what is measured.
        visit = reload_pages if args.reload else poll_page
        run_clients(port, args.clients, 5, visit)
        told: list[dict[str, Any]] = []
        # Whoever begins to load without pause has some seconds ahead, measured by themselves.
        ahead = [(args.clients, 30.0)] if args.reload else []
        for clients, seconds in [
            (0, args.seconds), *ahead, (args.clients, args.seconds), (0, args.seconds)
        ]:  # fmt: skip
            answers = {"looks": 0, "failed": 0}
            before, since = get_json(f"{page}/api/v1/health")["readings"], time.monotonic()
            if clients:
                answers = run_clients(port, clients, seconds, visit)
            else:
                time.sleep(seconds)
            passed = time.monotonic() - since
            read = get_json(f"{page}/api/v1/health")["readings"] - before
            told.append(
                {
                    "clients": clients,
                    "readings_a_second": round(read / passed, 2),
                    "resident_kb": resident_kb(process.pid),
                    **answers,
                }
            )
        alone = (told[0]["readings_a_second"] + told[-1]["readings_a_second"]) / 2
        ratio = round(told[-2]["readings_a_second"] / alone, 3)
        print(json.dumps({"measured": told, "readings_with_clients_to_without": ratio}))
        return 0
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(state, ignore_errors=True)


def run_clients(
    port: int, clients: int, seconds: float, visit: Callable[[int, str, float], tuple[int, int]]
) -> dict[str, int]:
    """Have so many pages open for a time; return how often they asked, and how often in vain."""
    end = time.monotonic() + seconds
    counts: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=lambda name=each: counts.append(visit(port, f"page{name}", end)))
        for each in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "looks": sum(looks for looks, _ in counts),
        "failed": sum(failed for _, failed in counts),
    }


def poll_page(port: int, name: str, end: float) -> tuple[int, int]:
    """Do what one page does until `end`; return how often it asked, and how often in vain."""
    tag, looks, failed = "", 0, 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while time.monotonic() < end:
        wait = 0.5
        try:
            connection.request(
                "GET", f"/api/v1/reading?pictures=1&page={name}", headers={"If-None-Match": tag}
            )
            answer = connection.getresponse()
            answer.read()
            tag = answer.headers.get("ETag", "")
            wait = float(answer.headers.get("Poll-After", 0.5))
            failed += answer.status not in (200, 304)
        except OSError:
            failed += 1
            connection.close()
        looks += 1
        time.sleep(max(0.0, min(wait, end - time.monotonic())))
    connection.close()
    return looks, failed


def reload_pages(port: int, name: str, end: float) -> tuple[int, int]:
    """Load the page and the device's view without pause until `end`; return the same."""
    looks, failed = 0, 0
    machine = f"127.0.1.{int(name.removeprefix('page')) % 254 + 1}"
    connection = http.client.HTTPConnection("127.0.0.1", port, 30, source_address=(machine, 0))
    tags: dict[str, str] = {}
    paths = ["/"]
    while time.monotonic() < end:
        for path in paths:
            try:
                # F5 asks whether what it has is still good.
                tag = {"If-None-Match": tags[path]} if path in tags else {}
                connection.request("GET", path, headers=tag)
                answer = connection.getresponse()
                body = answer.read()
                failed += answer.status not in (200, 304)
                tags |= {path: answer.headers["ETag"]} if "ETag" in answer.headers else {}
                if path == "/" and len(paths) == 1:
                    found = re.findall(r'(?:src|href)="(/static/[^"]+)"', body.decode())
                    paths += [*found, "/api/v1/session", "/device"]
            except (OSError, http.client.HTTPException):
                failed += 1
                connection.close()
            looks += 1
            if time.monotonic() >= end:
                break
    connection.close()
    return looks, failed


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


if __name__ == "__main__":
    raise SystemExit(main())
