"""The real libcamera, whose virtual camera is here enough of a Pi's camera for picamera2.

Found before the real one, which it loads and then is. What the virtual camera has not: modes of a
sensor, a frame rate, a lock that another process sees, and NV12 in one piece of memory. In the
folder that CAMERA_CONTROL names, a file `stalled` holds every frame back, and `held` is the lock.
"""

import errno
import fcntl
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

CONTROL = Path(os.environ["CAMERA_CONTROL"])
FRAME_SECONDS = 1 / 15
MODES = (640, 480), (1640, 1232), (1920, 1080), (3280, 2464)
"""Those of an imx219, as 'rpicam-hello --list-cameras' tells them."""


def real_libcamera() -> Any:
    elsewhere = [each for each in sys.path if Path(each) != Path(__file__).parent]
    spec = PathFinder.find_spec("libcamera", elsewhere)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("No module named 'libcamera'", name="libcamera")
    # Who imports gets what is in sys.modules when this module has run.
    module = sys.modules["libcamera"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def add_sensor(libcamera: Any) -> None:
    """Add what picamera2 asks a Pi's camera for, and the virtual camera has not."""
    camera, sizes = libcamera.Camera, [libcamera.Size(*mode) for mode in MODES]
    raw = SimpleNamespace(
        size=sizes[-1],
        pixel_format="SRGGB10_CSI2P",
        formats=SimpleNamespace(pixel_formats=["SRGGB10_CSI2P"], sizes=lambda _: sizes),
    )
    generate, properties = camera.generate_configuration, camera.properties

    def generate_configuration(self: Any, roles: Any) -> Any:
        if list(roles) == [libcamera.StreamRole.Raw]:
            return SimpleNamespace(at=lambda _: raw)
        return generate(self, roles)

    def with_sensor(self: Any) -> Any:
        names = libcamera.properties
        sensor = {names.draft.ColorFilterArrangement: 0, names.PixelArraySize: sizes[-1]}
        return properties.__get__(self) | sensor

    camera.generate_configuration = generate_configuration
    camera.properties = property(with_sensor)


def add_lock(libcamera: Any) -> None:
    """Lock a file as libcamera locks the media device of a Pi's camera, with its error."""
    camera = libcamera.Camera
    acquire, release = camera.acquire, camera.release
    locks: dict[str, int] = {}

    def locked(self: Any) -> None:
        lock = os.open(CONTROL / "held", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        with suppress(BlockingIOError):
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            acquire(self)
            locks[self.id] = lock
            return
        os.close(lock)
        raise RuntimeError(f"Failed to acquire camera: {os.strerror(errno.EBUSY)}")

    def unlocked(self: Any) -> None:
        try:
            release(self)
        finally:
            os.close(locks.pop(self.id))

    camera.acquire, camera.release = locked, unlocked


def is_drawing() -> bool:
    """Return whether the virtual camera's own thread is at work."""
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # another thread, which has ended
            name, state = (task / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
            if name.startswith("VirtualCamera") and state[0] == "R":
                return True
    return False


def add_pace(libcamera: Any) -> None:
    """Hand requests on at a sensor's pace: the virtual camera has a frame at once."""
    camera, manager = libcamera.Camera, libcamera.CameraManager
    hand_on, stop, get_ready = camera.queue_request, camera.stop, manager.get_ready_requests
    waiting: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    lock, sensors = threading.Lock(), []
    arrived = threading.Event()
    arrived.set()

    def work() -> None:
        while True:
            time.sleep(FRAME_SECONDS)
            with lock:
                held_back = not arrived.is_set() or (CONTROL / "stalled").exists()
                if not held_back and not waiting.empty():
                    arrived.clear()
                    hand_on(*waiting.get())

    def queue_request(self: Any, request: Any) -> None:
        waiting.put((self, request))
        if not sensors:
            sensors.append(threading.Thread(target=work, name="sensor", daemon=True))
            sensors[0].start()

    def get_ready_requests(self: Any) -> Any:
        ready = get_ready(self)
        if ready:
            arrived.set()
        return ready

    def stop_and_drop(self: Any) -> None:
        with lock:
            # Its own thread looks once more at a request that it has said to be complete: without
            # one there, libcamera ends the process.
            arrived.wait(1)
            while is_drawing():
                time.sleep(0.001)
            while not waiting.empty():
                waiting.get()
            stop(self)
            arrived.set()

    camera.queue_request, camera.stop = queue_request, stop_and_drop
    manager.get_ready_requests = get_ready_requests


def join_planes(libcamera: Any) -> None:
    """Give the virtual camera the one piece of memory that picamera2 has as NV12's two planes."""
    buffer = libcamera.FrameBuffer

    class Joined:
        Plane = buffer.Plane

        def __new__(cls, planes: Any, cookie: int = 0) -> Any:
            luma, chroma = planes[0], buffer.Plane()
            height = luma.length * 2 // 3
            chroma.fd, chroma.offset, chroma.length = luma.fd, height, luma.length - height
            luma.length = height
            return buffer([luma, chroma], cookie)

    libcamera.FrameBuffer = Joined


_real = real_libcamera()
for change in (add_sensor, add_lock, add_pace, join_planes):
    change(_real)
