"""PiCamera with picamera2's own code, in the versions that a Pi may have, over no libcamera."""

import errno
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.camera import picamera
from appliance.camera.picamera import PiCamera
from appliance.errors import CameraError
from appliance.reading import Frame
from tests.camera import libcamera, versions
from tests.camera.libcamera import Device, error_of

# Its own previews are threads of a way that Python is about to leave.
pytestmark = pytest.mark.filterwarnings("ignore:setDaemon:DeprecationWarning")


@pytest.fixture(params=versions.VERSIONS)
def library(request: pytest.FixtureRequest) -> Iterator[Any]:
    if not (versions.FOLDER / request.param / "picamera2").is_dir():
        pytest.skip(f"picamera2 {request.param} is not there: ./setup.sh test fetches it from PyPI")
    with versions.imported(request.param) as module:
        yield module


@pytest.fixture
def heap(library: Any) -> Any:
    """Return the module of the kernel's camera memory, which versions before 0.3.13 have not."""
    if "picamera2.dma_heap" not in sys.modules:
        pytest.skip("this version has no memory of its own")
    return sys.modules["picamera2.dma_heap"]


def plug_in(**device: Any) -> Device:
    libcamera.PLUGGED_IN[:] = [Device(**device)]
    return libcamera.PLUGGED_IN[0]


def take(library: Any, **options: Any) -> Frame:
    with closing(PiCamera(640, 480, library=library, **options)) as camera:
        return next(camera.frames())


def fault(library: Any) -> str:
    with pytest.raises(CameraError) as raised:
        take(library)
    return str(raised.value)


def open_files() -> list[str]:
    """Return what each open file of this process is that a camera may have opened."""
    # A camera and its parts refer to one another.
    gc.collect()
    files = []
    for number in os.listdir("/proc/self/fd"):
        # The one that lists them is closed by now.
        with suppress(FileNotFoundError):
            files.append(os.readlink(f"/proc/self/fd/{number}").partition(":")[0])
    # A test's output goes to a file of pytest's own.
    return sorted(each for each in files if not each.startswith("/tmp"))


def test_a_frame_is_the_luma_without_padding_and_chroma(library: Any) -> None:
    plug_in(grey=180)
    with closing(PiCamera(400, 300, library=library)) as camera:
        frame = next(camera.frames())
        assert next(camera.frames()).grey.shape == (300, 400)
    assert (frame.grey == 180).all()
    assert frame.exposure
    assert frame.exposure[:3] == ("imx219", 0.033, 4.0)


@pytest.mark.parametrize(
    ("model", "width_of_4_to_3"), [("ov5647", 1.0), ("imx219", 1.0), ("imx708", 0.75)]
)
def test_the_whole_view_is_all_that_the_frames_shape_lets_of_the_sensor(
    library: Any, model: str, width_of_4_to_3: float
) -> None:
    device = plug_in(model=model)
    exposure = take(library, view="whole").exposure
    assert exposure
    seen = exposure.seen_width, exposure.seen_height
    assert seen == pytest.approx((width_of_4_to_3, 1), abs=0.01)
    # The smallest of the modes that do.
    width, height = max(device.modes)
    assert exposure.mode == f"{width // 2}×{height // 2}"
    exposure = take(library, view="middle").exposure
    assert exposure
    assert exposure.seen_height
    assert exposure.seen_height < 0.991


def test_a_usb_cameras_one_stream_is_read(library: Any) -> None:
    plug_in(model="C270", usb=True, grey=90)
    assert (take(library).grey == 90).all()


def test_what_is_held_or_unplugged_is_found_when_it_is_there(library: Any) -> None:
    assert "no camera found" in fault(library)
    device = plug_in(held=True)
    assert "busy (Failed to acquire camera: Device or resource busy)" in fault(library)
    device.held = False
    assert take(library).grey.shape == (480, 640)
    libcamera.PLUGGED_IN.clear()
    assert "no camera found" in fault(library)


@pytest.mark.parametrize(
    "lacking", ["AeEnable", "FrameDurationLimits", "NoiseReductionMode", "ScalerCrop"]
)
def test_a_control_that_the_camera_lacks_is_not_set(library: Any, lacking: str) -> None:
    plug_in(unadvertised=frozenset({lacking}))
    assert (take(library).grey == 200).all()


REFUSALS = {
    "acquire-busy": ("acquire", error_of("acquire", errno.EBUSY), "the camera is busy"),
    "acquire-denied": ("acquire", error_of("acquire", errno.EACCES), "may not be opened"),
    "acquire-memory": (
        "acquire",
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        "not enough camera memory",
    ),
    "configure": ("configure", error_of("configure", errno.EINVAL), "Invalid argument"),
    "start-memory": ("start", error_of("start", errno.ENOMEM), "not enough camera memory"),
    "start-input": ("start", error_of("start", errno.EIO), "Input/output error"),
}


@pytest.mark.parametrize(("call", "error", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_told_and_leaves_nothing(
    library: Any, call: str, error: Exception, sentence: str
) -> None:
    device = plug_in()
    take(library)
    files = open_files()
    device.refusals[call] = error
    assert sentence in fault(library)
    # The newest keeps its manager of cameras, which is one, until an opening that succeeds.
    failed = open_files()
    assert sentence in fault(library)
    assert open_files() == failed
    device.refusals.clear()
    assert (take(library).grey == 200).all()
    assert open_files() == files


def no_heap(heap: Any) -> None:
    heap.heapNames = ["/dev/dma_heap/none"]


def denied_heap(heap: Any) -> None:
    def refuse(path: str, *_: Any) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    heap.os = SimpleNamespace(open=refuse, close=os.close, O_CLOEXEC=0, O_RDWR=0)


def full_heap(heap: Any) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    heap.fcntl = SimpleNamespace(ioctl=refuse)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_heap, "/dev/dma_heap"),
        (denied_heap, "may not be opened ([Errno 13] Permission denied"),
        (full_heap, "not enough camera memory"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_memory_that_the_kernel_does_not_give_is_told(
    library: Any, heap: Any, spoil: Callable[[Any], None], sentence: str
) -> None:
    plug_in()
    take(library)
    files, right = open_files(), dict(vars(heap))
    spoil(heap)
    assert sentence in fault(library)
    vars(heap).update(right)
    assert open_files() == files
    assert (take(library).grey == 200).all()


def test_a_stall_is_told_and_survived(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    device = plug_in()
    take(library)
    files = open_files()
    with closing(PiCamera(640, 480, library=library)) as camera:
        frames = camera.frames()
        next(frames)
        device.stalled = True
        monkeypatch.setattr(picamera, "STALLED", 0.05)
        with pytest.raises(CameraError, match="gave no frame for"):
            for _ in frames:
                pass
    assert open_files() == files
    device.stalled = False
    monkeypatch.undo()
    assert (take(library).grey == 200).all()


@pytest.mark.parametrize("call", ["acquire", "configure", "start"])
def test_sixty_tries_that_fail_leave_no_file_open(library: Any, call: str) -> None:
    device = plug_in()
    take(library)
    device.refusals[call] = error_of(call, errno.EBUSY)
    counts = []
    for _ in range(60):
        assert "busy" in fault(library)
        counts.append(len(os.listdir("/proc/self/fd")))
    assert max(counts[10:]) <= max(counts[:10])
