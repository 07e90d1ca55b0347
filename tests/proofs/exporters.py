"""Exports beside a reader: python -m tests.proofs.exporters --connections 8 --seconds 30.

`digits run` has 5,000 captures and one core of this machine. Connections of one address fetch the
export without pause, the owner's with the PIN and then strangers' without; another address asks
for the newest reading twice a second. Prints what that one waits, what lies in files without a
name, and the memory; ends with how many of the bounds held.
"""

import argparse
import http.client
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from appliance.captures.store import Capture, Captures
from appliance.device.owner_pin import OwnerPin, owner_file
from appliance.storage.layout import StateDirectory
from tests.conftest import SAMPLES, free_port
from tests.proofs.lookers import resident_kb
from tests.proofs.neighbour import wait_for

WORST, MEDIAN = 0.5, 0.05
"""Seconds that another address may wait at worst; that its median may be longer than without."""
CARD = 1_000_000
"""Bytes that may lie in files without a name."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--captures", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=30, help="of each of the measurements")
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)))
    parser.add_argument("--slow", type=int, default=60, help="connections that take nothing")
    parser.add_argument("--root", type=Path, default=Path(), help="another version's checkout")
    args = parser.parse_args()
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {args.core} or {args.core})
    state = Path(tempfile.mkdtemp(prefix="digits-"))
    add_captures(state, args.captures)
    pin = OwnerPin(owner_file(state)).make_pin()
    port = free_port()
    config = state / "digits.toml"
    config.write_text("[camera]\nrate = 4\npicture_seconds = 0.5\n")
    process = subprocess.Popen(
        ["taskset", "-c", str(args.core), sys.executable, "-m", "appliance", "run"]
        + ["--camera", f"folder:{SAMPLES}", "--leds", "none", "--host", "127.0.0.1"]
        + ["--port", str(port), "--state", str(state), "--config", str(config)],
        cwd=args.root.resolve(),
        stderr=subprocess.DEVNULL,
    )
    held: list[tuple[str, bool]] = []
    try:
        wait_for(f"http://127.0.0.1:{port}/api/v1/reading")
        cookie = {"Cookie": open_session(port, pin)}
        alone = time_readings(port, process.pid, args.seconds / 2)
        print(json.dumps({"nobody exports": alone}), flush=True)
        for who, headers in (("the owner", cookie), ("strangers", {})):
            stop, codes = threading.Event(), Counter[str]()
            threads = [
                threading.Thread(
                    target=fetch_exports, args=(port, headers, stop, codes), daemon=True
                )
                for _ in range(args.connections)
            ]
            for thread in threads:
                thread.start()
            told = time_readings(port, process.pid, args.seconds)
            stop.set()
            for thread in threads:
                thread.join(60)
            print(json.dumps({f"{who} export": {**told, "answers": dict(codes)}}), flush=True)
            held += [
                (f"{who}: the worst wait is below {WORST} s", told["worst"] < WORST),
                (
                    f"{who}: the median is that of before",
                    told["median"] < alone["median"] + MEDIAN,
                ),
                (f"{who}: no files without a name", told["card_bytes"] < CARD),
            ]
        # Such as ask, and take no byte of the answer.
        deaf = []
        for _ in range(args.slow):
            there = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            there.request("GET", "/api/v1/captures/export", headers=cookie)
            deaf.append(there)
        told = time_readings(port, process.pid, args.seconds / 2)
        print(json.dumps({f"{args.slow} take nothing": told}), flush=True)
        for there in deaf:
            there.close()
        held += [
            (f"{args.slow} deaf: the worst wait is below {WORST} s", told["worst"] < WORST),
            (f"{args.slow} deaf: no files without a name", told["card_bytes"] < CARD),
        ]
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(state, ignore_errors=True)
    for what, good in held:
        print("passed" if good else "FAILED", what)
    failed = sum(not good for _, good in held)
    print(f"{len(held) - failed} passed, {failed} failed")
    return 1 if failed else 0


def add_captures(state: Path, count: int) -> None:
    """Fill a state directory with captures whose pictures are as large as a camera's."""
    from PIL import Image

    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(50):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 32, (95, 95), np.uint8) * 8).save(file, "PNG")
        pictures.append(file.getvalue())
    captures = Captures(StateDirectory(state).captures)
    captures.add_all(
        Capture(0, 1e9 + each, each % 10, each % 10, None, 0.9, "a" * 64,
                rng.integers(0, 255, (28, 28), np.uint8), pictures[each % 50])
        for each in range(count)
    )  # fmt: skip
    captures.close()


def open_session(port: int, pin: str) -> str:
    """Show the PIN; return the cookie that tells so."""
    there = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"pin": pin})
    there.request("POST", "/api/v1/session", body, {"Content-Type": "application/json"})
    cookie = there.getresponse().headers["Set-Cookie"].partition(";")[0]
    there.close()
    return str(cookie)


def fetch_exports(
    port: int, headers: dict[str, str], stop: threading.Event, codes: Counter[str]
) -> None:
    """Fetch the export again and again, from one address."""
    while not stop.is_set():
        try:
            there = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            there.request("GET", "/api/v1/captures/export", headers=headers)
            answer = there.getresponse()
            while answer.read(1 << 16) and not stop.is_set():
                pass
            codes[str(answer.status)] += 1
        except (OSError, http.client.HTTPException) as error:
            codes[type(error).__name__] += 1
        there.close()


def time_readings(port: int, pid: int, seconds: float) -> dict[str, Any]:
    """Ask for the newest reading from another address; return what that took in seconds."""
    end, waits, card, memory = time.monotonic() + seconds, [], 0, 0
    while time.monotonic() < end:
        began = time.monotonic()
        there = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=60, source_address=("127.0.0.2", 0)
        )
        # An answer that does not come in a minute is waited for no longer.
        with suppress(OSError, http.client.HTTPException):
            there.request("GET", "/api/v1/reading?pictures=1")
            there.getresponse().read()
        there.close()
        waits.append(time.monotonic() - began)
        card, memory = max(card, count_unnamed_bytes(pid)), max(memory, resident_kb(pid))
        time.sleep(0.5)
    return {
        "looks": len(waits),
        "median": round(statistics.median(waits), 4),
        "worst": round(max(waits), 4),
        "card_bytes": card,
        "resident_kb": memory,
    }


def count_unnamed_bytes(pid: int) -> int:
    """Return the bytes in open files that have no name any more."""
    size = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(each).endswith(" (deleted)"):
                size += each.stat().st_size
        except OSError:
            pass
    return size


if __name__ == "__main__":
    raise SystemExit(main())
