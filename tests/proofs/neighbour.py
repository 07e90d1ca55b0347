"""Reading while a night trains on the same core: python -m tests.proofs.neighbour --data MNIST.

Both programs run on one core of this machine, as on a Pi Zero: `digits run` with the folder camera
and the page, and beside it `digits retrain` from some captures. Prints the median time of a reading
and the 95th percentile of a page view, before and while the training runs, as JSON.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from appliance.captures.store import Captures
from appliance.storage.layout import StateDirectory
from appliance.training.examples import draw_digits

ROOT = Path(__file__).parents[2]


@contextmanager
def serve_samples(state: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the appliance on the samples and yield it and its page's address; then all of it goes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start_command(
        min(os.sched_getaffinity(0)), "run", "--camera", f"folder:{ROOT / 'data' / 'samples'}",
        "--leds", "none", "--host", "127.0.0.1", "--port", str(port), "--state", str(state),
        "--config", os.devnull,
    )  # fmt: skip
    try:
        page = f"http://127.0.0.1:{port}"
        wait_for(f"{page}/api/v1/reading")
        yield process, page
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(state, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="MNIST's files")
    parser.add_argument("--seconds", type=float, default=30, help="of each of the two measurements")
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)))
    args = parser.parse_args()
    state = Path(tempfile.mkdtemp(prefix="digits-"))
    running: list[subprocess.Popen[bytes]] = []
    try:
        add_captures(state)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = state / "digits.toml"
        config.write_text("[camera]\nrate = 4\npicture_seconds = 0.25\n")
        camera = f"folder:{ROOT / 'data' / 'samples'}"
        page = f"http://127.0.0.1:{port}"
        common = ["--state", str(state), "--config", str(config)]
        running.append(
            start_command(
                args.core, "run", "--camera", camera, "--leds", "none", "--host", "127.0.0.1",
                "--port", str(port), *common,
            )
        )  # fmt: skip
        wait_for(f"{page}/api/v1/reading")
        quiet = measure(page, args.seconds)
        running.append(start_command(args.core, "retrain", "--data", str(args.data), *common))
        wait_for_training(state)
        training = measure(page, args.seconds)
        print(
            json.dumps(
                {
                    "quiet": quiet,
                    "training": training,
                    "ratio_of_medians": round(
                        training["reading_median_ms"] / quiet["reading_median_ms"], 2
                    ),
                    "still_training": running[-1].poll() is None,
                }
            )
        )
        return 0
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        shutil.rmtree(state, ignore_errors=True)


def add_captures(state: Path, count: int = 200) -> None:
    digits, captures = draw_digits(count), Captures(StateDirectory(state).captures)
    for place, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        captures.add(
            label=int(label), said=None, reason="not a digit", confidence=0.0, network="0" * 64,
            glyph=image.reshape(28, 28), picture=b"png", at=float(place),
        )  # fmt: skip
    captures.close()


def start_command(core: int, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a `digits` command on one core, as another program."""
    return subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, "-m", "appliance", *arguments],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            if get_json(url)["digit"] is not None:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{url} does not answer")


def wait_for_training(state: Path) -> None:
    """Return when it trains; before that it simulates photographs, which takes minutes."""
    for _ in range(3000):
        try:
            if json.loads((state / "retrain.json").read_text())["state"] == "training":
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.5)
    raise SystemExit("the training did not begin")


def measure(page: str, seconds: float) -> dict[str, float]:
    """Return what a reading takes by its own clock, and what a look at the page takes from here."""
    readings: dict[int, float] = {}
    looks = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        newest = get_json(f"{page}/api/v1/reading?pictures=1")
        looks.append((time.monotonic() - began) * 1000)
        readings[newest["number"]] = newest["milliseconds"]
        time.sleep(0.25)
    return {
        "reading_median_ms": round(statistics.median(readings.values()), 1),
        "page_p95_ms": round(float(np.percentile(looks, 95)), 1),
        "readings": len(readings),
        "looks": len(looks),
    }


if __name__ == "__main__":
    raise SystemExit(main())
