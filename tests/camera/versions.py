"""Imports a real picamera2 over the stand-in for libcamera, one version after another.

`./setup.sh test` fetches these versions from PyPI into the virtual environment. What they name of
libraries that the appliance needs not, such as video encoders, is there and does nothing.
"""

import ctypes
import gc
import importlib
import os
import selectors
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.camera import libcamera
from tests.camera.absent import OTHERS, Others

VERSIONS = ("0.3.12", "0.3.31", "newest")
FOLDER = Path(sys.prefix) / "picamera2"


class Prompt(selectors.DefaultSelector):
    """Has picamera2's threads look often whether they are to end; else each takes 0.2 seconds."""

    def select(self, timeout: float | None = None) -> Any:
        return super().select(0.01 if timeout is None else min(timeout, 0.01))


@contextmanager
def imported(version: str) -> Iterator[Any]:
    """Yield a version's module, and forget it and the cameras that were plugged in afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER / version))
    sys.meta_path.append(Others)  # type: ignore
    sys.modules["libcamera"] = libcamera
    try:
        library = importlib.import_module("picamera2")
        # As in `digits run`: what was there before is not looked through at each collection.
        gc.freeze()
        with memory_of_the_kernel(), patch("selectors.DefaultSelector", Prompt):
            yield library
    finally:
        gc.unfreeze()
        sys.path.remove(str(FOLDER / version))
        sys.meta_path.remove(Others)  # type: ignore
        for name in set(sys.modules) - before:
            if name.split(".")[0] in (*OTHERS, "picamera2", "libcamera"):
                del sys.modules[name]
        libcamera.forget_all()


@contextmanager
def memory_of_the_kernel() -> Iterator[None]:
    """Let the newer versions' buffers be any memory: a heap of the camera's is on a Pi alone."""
    heap = sys.modules.get("picamera2.dma_heap")
    if heap is None:
        yield
        return

    def ioctl(_descriptor: int, _request: Any, what: Any) -> int:
        if isinstance(what, ctypes.Structure) and hasattr(what, "len"):
            what.fd = libcamera.memory(what.len)
        return 0

    allocator = sys.modules["picamera2.allocators.dmaallocator"]
    heap.fcntl = allocator.fcntl = SimpleNamespace(ioctl=ioctl)  # type: ignore
    heap.heapNames = [os.devnull]  # type: ignore
    yield
