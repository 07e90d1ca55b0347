"""What `inside.py` has a process of its own do with the product's PiCamera: one line of JSON."""

import argparse
import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from appliance.camera.picamera import PiCamera
from appliance.errors import CameraError

WARMED_UP = 0.2
"""The share of all openings after which nothing may grow."""


def count_kept() -> dict[str, int]:
    """Return what this process has: open files, threads, and kB of memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "kB": int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))),
    }


def compare(photos: Path, _count: int) -> dict[str, Any]:
    """Look at frames until each photo was seen; return how far from its nearest each one was."""
    luma = {}
    for path in sorted(photos.iterdir()):
        with Image.open(path) as picture:
            # The decoder's own luma, not one of red, green and blue.
            picture.draft("L", picture.size)
            luma[path.name.partition(".")[0]] = np.asarray(picture, np.int16)
    seen: dict[str, int] = {}
    with contextlib.closing(PiCamera(640, 480)) as camera:
        for frame in camera.frames():
            far = {name: int(np.abs(each - frame.grey).max()) for name, each in luma.items()}
            name = min(far, key=lambda each: far[each])
            seen[name] = max(far[name], seen.get(name, 0))
            if len(seen) == len(luma):
                return {"furthest": max(seen.values()), "seen": len(seen)}
    raise AssertionError("frames() ended")


def open_often(_photos: Path, count: int) -> dict[str, Any]:
    """Open the camera again and again, and close it after a frame."""
    before: dict[str, int] = {}
    for number in range(count):
        with contextlib.closing(PiCamera(640, 480)) as camera:
            next(camera.frames())
        if number == int(count * WARMED_UP):
            before = count_kept()
    return {"before": before, "after": count_kept()}


def try_often(_photos: Path, count: int) -> dict[str, Any]:
    """Try a camera that another holds; when that lets it go, told by a line, open it."""
    before: dict[str, int] = {}
    said = set()
    for number in range(count):
        try:
            PiCamera(640, 480).close()
            said.add("opened")
        except CameraError as error:
            said.add(str(error))
        if number == int(count * WARMED_UP):
            before = count_kept()
    after = count_kept()
    print("tried", flush=True)
    sys.stdin.readline()
    with contextlib.closing(PiCamera(640, 480)) as camera:
        shape = next(camera.frames()).grey.shape
    return {"before": before, "after": after, "said": sorted(said), "shape": shape}


def hold(_photos: Path, _count: int) -> dict[str, Any]:
    """Hold the camera until a line comes."""
    with contextlib.closing(PiCamera(640, 480)) as camera:
        next(camera.frames())
        print("held", flush=True)
        sys.stdin.readline()
    return {}


DOES = {each.__name__: each for each in (compare, open_often, try_often, hold)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("does", choices=DOES)
    parser.add_argument("photos", type=Path)
    parser.add_argument("count", type=int)
    args = parser.parse_args()
    print(json.dumps(DOES[args.does](args.photos, args.count)), flush=True)


if __name__ == "__main__":
    main()
