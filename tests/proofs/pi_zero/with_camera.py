"""Runs `digits` in a process that has first loaded what one with a camera loads.

    python3 -m tests.proofs.pi_zero.with_camera run --config FILE

The emulated board has no camera, but to find that PiCamera imports picamera2, which starts
libcamera; what libcamera loads of its own for a Pi's camera is loaded then. The first line tells
what there was of it, and which libraries that Debian has not for armel were stood in for.
"""

import ctypes
import sys
from pathlib import Path

from appliance.__main__ import main
from appliance.camera.picamera import PiCamera
from appliance.errors import CameraError
from tests.camera.absent import Others, is_stand_in


def load() -> str:
    """Load picamera2, libcamera and its part for a Pi's camera, and return their names.

    Raises CameraError where one is missing or fails.
    """
    sys.meta_path.append(Others)  # type: ignore
    try:
        PiCamera(640, 480).close()
    except CameraError as error:
        if not str(error).startswith("no camera found"):
            raise
    parts = sorted(Path("/usr/lib").glob("*/libcamera/**/ipa_rpi_vc4.so"))
    for part in parts:
        ctypes.CDLL(str(part))
    loaded = [name for name in ("picamera2", "libcamera", "videodev2", "av") if is_real(name)]
    absent = {name.partition(".")[0] for name in sys.modules if is_stand_in(name)}
    words = ", ".join([*loaded, *(part.name for part in parts)])
    return f"loaded: {words}; stood in for: {', '.join(sorted(absent)) or 'none'}"


def is_real(name: str) -> bool:
    return name in sys.modules and not is_stand_in(name)


if __name__ == "__main__":
    print(load(), file=sys.stderr, flush=True)
    sys.exit(main(sys.argv[1:]))
