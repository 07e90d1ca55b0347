"""The whole appliance in this process for many readings: python -m tests.proofs.endurance.

Runs `digits run` on a folder camera at full speed with mock pins and the page, ends it by a signal,
and reports memory, threads, how long the end took, the camera and the pins.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpiozero import Device
from gpiozero.pins.mock import MockFactory, MockPWMPin
from PIL import Image

from appliance.__main__ import main
from appliance.camera.folder import FolderCamera
from appliance.commands.stop_signals import SIGNALS
from appliance.settings.schema import LAYOUTS

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
PINS = (*LAYOUTS["ten"], 17)


@dataclass(frozen=True)
class Report:
    """Memory is resident, in kB; `pins_lit` counts pins that are high after the end."""

    readings: int
    memory_early_kb: int
    memory_late_kb: int
    growth_kb: int
    exit_code: int
    seconds_to_end: float
    threads_left: list[str]
    cameras_opened: int
    cameras_closed: int
    pins_lit: int


def endure(
    *, readings: int, early: int, ending: signal.Signals, port: int, small: bool = False
) -> Report:
    """Run until `readings` were made, measuring memory first after `early`, and end by a signal.

    The pictures are the samples; `small` ones are a quarter as wide, for a quicker run.
    """
    folder = Path(tempfile.mkdtemp(prefix="digits-"))
    pictures = SAMPLES
    if small:
        pictures = folder / "pictures"
        pictures.mkdir()
        for path in SAMPLES.iterdir():
            with Image.open(path) as picture:
                picture.reduce(4).save(pictures / path.name)
    config = folder / "digits.toml"
    config.write_text("[camera]\nrate = 0\npicture_seconds = 0\n[reader]\nagree = 1\n")
    threads = set(threading.enumerate())
    pins = Device.pin_factory = MockFactory(pin_class=MockPWMPin)
    cameras: list[int] = []
    closed: set[int] = set()
    really_close = FolderCamera.close
    really_open = FolderCamera.__init__

    def opening(self: FolderCamera, *args: Any, **settings: Any) -> None:
        really_open(self, *args, **settings)
        cameras.append(id(self))

    def closing(self: FolderCamera) -> None:
        really_close(self)
        closed.add(id(self))

    seen: dict[str, Any] = {}

    over = threading.Event()

    def watch() -> None:
        seen["early"] = _memory_after(early, port, over)
        seen["late"] = _memory_after(readings, port, over)
        if not over.is_set():
            seen["ended"] = time.monotonic()
            os.kill(os.getpid(), ending)

    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    watcher = threading.Thread(target=watch)
    FolderCamera.__init__, FolderCamera.close = opening, closing  # type: ignore[method-assign]
    try:
        watcher.start()
        code = main(
            ["run", "--camera", f"folder:{pictures}", "--leds", "ten", "--host", "127.0.0.1"]
            + ["--port", str(port), "--state", str(folder), "--config", str(config)]
        )
        took = time.monotonic() - seen.get("ended", 0.0)
    finally:
        over.set()
        FolderCamera.__init__, FolderCamera.close = really_open, really_close  # type: ignore[method-assign]
        for number, handler in handlers.items():
            signal.signal(number, handler)
        watcher.join()
        shutil.rmtree(folder)
    report = Report(
        readings=readings,
        memory_early_kb=seen["early"],
        memory_late_kb=seen["late"],
        growth_kb=seen["late"] - seen["early"],
        exit_code=code,
        seconds_to_end=round(took, 3),
        threads_left=[thread.name for thread in set(threading.enumerate()) - threads],
        cameras_opened=len(cameras),
        cameras_closed=len(closed),
        pins_lit=sum(pins.pin(f"GPIO{pin}").state for pin in PINS),
    )
    pins.reset()
    Device.pin_factory = None
    return report


def _memory_after(readings: int, port: int, over: threading.Event) -> int:
    """Wait until the page tells of so many readings, then return this process's memory in kB."""
    address = f"http://127.0.0.1:{port}/api/v1/health"
    while not over.wait(0.05):
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if json.load(answer)["readings"] >= readings:
                    break
        except OSError:
            pass
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=10_000)
    parser.add_argument("--early", type=int, default=1_000)
    parser.add_argument("--signal", choices=["SIGTERM", "SIGINT"], default="SIGTERM")
    parser.add_argument("--port", type=int, default=8377)
    args = parser.parse_args()
    report = endure(
        readings=args.readings,
        early=args.early,
        ending=signal.Signals[args.signal],
        port=args.port,
    )
    print(json.dumps(asdict(report), indent=1))
    good = (
        report.growth_kb <= 5_000
        and report.seconds_to_end <= 2
        and not report.threads_left
        and not report.pins_lit
        and report.cameras_opened == report.cameras_closed == 1
        and report.exit_code == 0
    )
    print("held" if good else "NOT held")
    sys.exit(not good)
