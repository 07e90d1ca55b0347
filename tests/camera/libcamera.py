"""Stands in for libcamera alone, so that picamera2's own code runs: what that calls is here.

`Device` is the camera at the ribbon cable or the USB port. Descriptors are the kernel's own, so
that one that stays open can be counted; what libcamera copies is copied here too.
"""

import copy
import errno
import os
import threading
import weakref
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np

FRAME_SECONDS = 0.005
"""How long the sensor takes for a frame."""
PADDING = 7
"""The grey of the bytes beyond the width, which no picture may show."""
_ALIGNMENT = 64


@dataclass(frozen=True)
class Id:
    """A name of libcamera's: a control, a property, a role; `Id("controls").AfMode` is one too."""

    name: str
    type: Any = None

    def __getattr__(self, name: str) -> "Id":
        if name.startswith("_"):
            raise AttributeError(name)
        return Id(name)


controls, properties, ControlType, StreamRole = (
    Id(name) for name in ("controls", "properties", "ControlType", "StreamRole")
)


class Size:
    def __init__(self, width: int = 0, height: int = 0) -> None:
        self.width, self.height = width, height


class Rectangle(Size):
    def __init__(self, x: int = 0, y: int = 0, width: int = 0, height: int = 0) -> None:
        super().__init__(width, height)
        self.x, self.y = x, y


class Transform:
    def __init__(self, other: Any = None, hflip: int = 0, vflip: int = 0, transpose: int = 0):
        self.hflip = other.hflip if other else hflip
        self.vflip = other.vflip if other else vflip
        self.transpose = other.transpose if other else transpose

    def __hash__(self) -> int:
        return id(self)

    def __str__(self) -> str:
        return f"hflip {self.hflip}, vflip {self.vflip}, transpose {self.transpose}"


class ColorSpace:
    def __init__(self, name: Any) -> None:
        self.primaries = self.transferFunction = self.ycbcrEncoding = self.range = str(name)

    def __hash__(self) -> int:
        return id(self)

    def __str__(self) -> str:
        return str(self.primaries)


for _name in ("Sycc", "Smpte170m", "Rec709", "Raw"):
    setattr(ColorSpace, _name, staticmethod(lambda name=_name: ColorSpace(name)))

Orientation = Enum(
    "Orientation",
    "Rotate0 Rotate0Mirror Rotate180 Rotate180Mirror "
    "Rotate90 Rotate90Mirror Rotate270 Rotate270Mirror",
)
PixelFormat = str
_libcamera = SimpleNamespace(ColorSpace=ColorSpace, Transform=Transform)


# ---- the camera


@dataclass
class Device:
    """A camera: what it is, and what is wrong with it."""

    model: str = "imx219"
    usb: bool = False
    held: bool = False  # by another program
    stalled: bool = False
    frames: int | None = None  # so many after each start, then it stalls
    grey: int = 200
    unadvertised: frozenset[str] = frozenset()
    refusals: dict[str, Exception] = field(default_factory=dict)
    """What a call of the camera's raises: acquire, configure, start."""

    @property
    def path(self) -> str:
        bus = "pcie@1/usb@0-1:1.0" if self.usb else "i2c0mux/i2c@1"
        return f"/base/soc/{bus}/{self.model}@10"

    @property
    def modes(self) -> dict[tuple[int, int], tuple[int, int, int, int]]:
        """Return what of the sensor each mode shows: x, y, width and height."""
        return MODES[self.model]


MODES = {
    "ov5647": {
        (640, 480): (16, 0, 2560, 1920),
        (1296, 972): (0, 0, 2592, 1944),
        (1920, 1080): (348, 434, 1928, 1080),
        (2592, 1944): (0, 0, 2592, 1944),
    },
    "imx219": {
        (640, 480): (1000, 752, 1280, 960),
        (1640, 1232): (0, 0, 3280, 2464),
        (1920, 1080): (680, 692, 1920, 1080),
        (3280, 2464): (0, 0, 3280, 2464),
    },
    "imx708": {
        (1536, 864): (768, 432, 3072, 1728),
        (2304, 1296): (0, 0, 4608, 2592),
        (4608, 2592): (0, 0, 4608, 2592),
    },
    "C270": {(640, 480): (0, 0, 640, 480), (1280, 720): (0, 0, 1280, 720)},
}
"""What 'rpicam-hello --list-cameras' tells of each model; a C270 is a USB camera."""
PLUGGED_IN: list[Device] = []
"""The cameras that the next manager finds."""


def forget_all() -> None:
    """Begin anew: without a camera, and with a manager that nobody holds."""
    PLUGGED_IN.clear()
    CameraManager._made = staticmethod(lambda: None)


def error_of(call: str, number: int) -> RuntimeError:
    """Return what Python gets of a call's negative return value."""
    return RuntimeError(f"Failed to {call} camera: {os.strerror(number)}")


class CameraManager:
    """One at a time; it looks for cameras when it is made and goes when nobody holds it."""

    _made: Any = staticmethod(lambda: None)

    def __init__(self) -> None:
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self.event_fd)
        self.cameras = [Camera(device) for device in PLUGGED_IN]
        self.ready: list[Request] = []

    @classmethod
    def singleton(cls) -> "CameraManager":
        manager = cls._made()
        if manager is None:
            manager = cls()
            cls._made = weakref.ref(manager)
        return manager

    def get_ready_requests(self) -> list[Any]:
        try:
            os.eventfd_read(self.event_fd)
        except BlockingIOError:
            return []
        ready, self.ready = self.ready, []
        return ready


def fit(area: tuple[int, int, int, int], size: Size) -> Rectangle:
    """Return the middle of an area of the sensor in a picture's shape: what is scaled to it."""
    x, y, width, height = area
    across = min(width, height * size.width // size.height)
    down = min(height, width * size.height // size.width)
    return Rectangle(x + (width - across) // 2, y + (height - down) // 2, across, down)


class Camera:
    def __init__(self, device: Device) -> None:
        self._device, self.id = device, device.path
        self._mode = max(device.modes)
        self._manager: CameraManager | None = None
        self._queue: list[Request] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._sensor: threading.Thread | None = None

    def _call(self, name: str) -> None:
        if name in self._device.refusals:
            # Another each time: an error that is raised again keeps all that it went through.
            raise copy.copy(self._device.refusals[name])

    @property
    def properties(self) -> dict[Id, Any]:
        has = {properties.Model: self._device.model, properties.Location: 2}
        if not self._device.usb:
            width, height = max(self._device.modes)
            has |= {properties.Rotation: 180, properties.ColorFilterArrangement: 0}
            has |= {properties.PixelArraySize: Size(width, height)}
        return has

    @property
    def controls(self) -> dict[Id, Any]:
        has: dict[str, tuple[Any, Any, Any]] = {"Brightness": (-1.0, 1.0, 0.0)}
        if not self._device.usb:
            crop = Rectangle(*self._device.modes[self._mode])
            has |= {
                "AeEnable": (False, True, True),
                "AeExposureMode": (0, 3, 0),
                "AnalogueGain": (1.0, 10.7, 1.0),
                "ExposureTime": (75, 11_766_829, 20_000),
                "FrameDurationLimits": (33_333, 11_767_556, 33_333),
                "NoiseReductionMode": (0, 4, 0),
                "ScalerCrop": (Rectangle(0, 0, 64, 64), crop, crop),
            }
        if self._device.model == "imx708":
            has["AfMode"] = (0, 2, 0)
        return {
            Id(name): SimpleNamespace(min=least, max=most, default=usual)
            for name, (least, most, usual) in has.items()
            if name not in self._device.unadvertised
        }

    def acquire(self) -> None:
        self._call("acquire")
        # It is busy for its own process too, while an opening before this one has not let it go.
        if self._device.held or self._manager:
            raise error_of("acquire", errno.EBUSY)
        self._manager = CameraManager.singleton()

    def release(self) -> None:
        self._manager = None

    def generate_configuration(self, roles: list[Id]) -> "CameraConfiguration":
        # A USB camera has one stream, whatever is asked for.
        roles = roles[:1] if self._device.usb else roles
        streams = [StreamConfiguration(self._device, role) for role in roles]
        return CameraConfiguration(self._device, streams)

    def configure(self, configuration: "CameraConfiguration") -> int:
        self._call("configure")
        self._mode, self._size = configuration.mode(), configuration.at(0).size
        return 0

    def start(self, _controls: dict[Id, Any]) -> None:
        self._call("start")
        self._ended.clear()
        self._sensor = threading.Thread(target=self._show_frames, daemon=True)
        self._sensor.start()

    def stop(self) -> None:
        self._ended.set()
        if self._sensor is not None:
            self._sensor.join()
            self._sensor = None
        with self._lock:
            queue, self._queue = self._queue, []
        self._complete(queue, Request.Status.Cancelled)

    def create_request(self, cookie: int) -> "Request":
        return Request(cookie, fit(self._device.modes[self._mode], self._size))

    def queue_request(self, request: "Request") -> None:
        with self._lock:
            self._queue.append(request)

    def _show_frames(self) -> None:
        shown = 0
        while not self._ended.wait(FRAME_SECONDS):
            stalled = self._device.stalled or shown == self._device.frames
            with self._lock:
                requests = [] if stalled else self._queue[:1]
                shown += len(requests)
                del self._queue[: len(requests)]
            for request in requests:
                for stream, buffer in request.buffers.items():
                    buffer.write(stream.picture(self._device.grey))
            self._complete(requests, Request.Status.Complete)

    def _complete(self, requests: "list[Request]", status: "RequestStatus") -> None:
        manager = self._manager
        if not requests or manager is None:
            return
        for request in requests:
            request.status = status
        manager.ready += requests
        os.eventfd_write(manager.event_fd, 1)


# ---- configurations


class Formats:
    def __init__(self, device: Device, role: Id) -> None:
        self._sizes = [Size(*mode) for mode in device.modes]
        raw = ["SRGGB10_CSI2P"] if role == StreamRole.Raw else ["YUV420", "RGB888"]
        self.pixel_formats = ["YUYV", "MJPEG"] if device.usb else raw

    def sizes(self, _format: str) -> list[Size]:
        return self._sizes


class Stream:
    """What a request's buffer is named by; `picture` is what the camera writes into it."""

    configuration: Any = None

    def picture(self, grey: int) -> np.ndarray:
        of = self.configuration
        rows = np.full((of.frame_size // of.stride, of.stride), PADDING, np.uint8)
        width, height = of.size.width, of.size.height
        if of.pixel_format == "YUYV":
            rows[:, : 2 * width : 2], rows[:, 1 : 2 * width : 2] = grey, 128
        else:
            rows[:height, :width], rows[height:] = grey, 128
        return rows


class StreamConfiguration:
    def __init__(self, device: Device, role: Id) -> None:
        self.formats = Formats(device, role)
        self.pixel_format = self.formats.pixel_formats[0]
        self.size = Size(*(max(device.modes) if role == StreamRole.Raw else (640, 480)))
        self.buffer_count, self.stride, self.frame_size = 4, 0, 0
        self.color_space = ColorSpace("Smpte170m")
        self.stream = Stream()


class ConfigurationStatus(Enum):
    Valid, Adjusted, Invalid = range(3)


class CameraConfiguration:
    Status = ConfigurationStatus

    def __init__(self, device: Device, streams: list[StreamConfiguration]) -> None:
        self._device, self._streams = device, streams
        self.orientation, self.sensor_config = Orientation.Rotate0, None
        self.transform = Transform()

    def __iter__(self) -> Any:
        return iter(self._streams)

    def at(self, index: int) -> StreamConfiguration:
        # libcamera would read past the end of its list.
        return self._streams[index]

    def validate(self) -> ConfigurationStatus:
        status = ConfigurationStatus.Valid
        for each in self._streams:
            if each.pixel_format not in each.formats.pixel_formats:
                each.pixel_format = each.formats.pixel_formats[0]
                status = ConfigurationStatus.Adjusted
            per_two = {"YUV420": 2, "RGB888": 6, "YUYV": 4, "MJPEG": 2}.get(each.pixel_format, 3)
            each.stride = -(-each.size.width * per_two // 2 // _ALIGNMENT) * _ALIGNMENT
            rows = each.size.height * (3 if each.pixel_format == "YUV420" else 2) // 2
            each.frame_size, each.stream.configuration = each.stride * rows, each
        return status

    def mode(self) -> tuple[int, int]:
        """Return the sensor's mode: what is asked for, or the one nearest to the pictures' size."""
        if self.sensor_config is not None:
            wanted = self.sensor_config.output_size
        else:
            raw = [each for each in self._streams if "CSI2P" in each.pixel_format]
            wanted = (raw or self._streams)[0].size
        width, height = wanted.width, wanted.height

        def penalty(mode: tuple[int, int]) -> float:
            def of(wish: float, is_: float) -> float:
                return (wish - is_) * 2 if wish > is_ else (is_ - wish) / 4

            aspect = of(width / height, mode[0] / mode[1])
            return of(width, mode[0]) + of(height, mode[1]) + 1500 * aspect

        return min(self._device.modes, key=penalty)


class SensorConfiguration:
    bit_depth, output_size = 0, Size()


# ---- requests and their memory


def memory(size: int) -> int:
    """Return a descriptor of so many bytes."""
    descriptor = os.memfd_create("camera")
    os.ftruncate(descriptor, size)
    return descriptor


class Plane:
    """Memory of another's; as in libcamera the descriptor is copied, and closed with the plane."""

    offset = length = 0

    def __init__(self) -> None:
        self._fd = -1

    @property
    def fd(self) -> int:
        return self._fd

    @fd.setter
    def fd(self, descriptor: int) -> None:
        self._fd = os.dup(descriptor)
        weakref.finalize(self, os.close, self._fd)

    @classmethod
    def of(cls, size: int) -> "Plane":
        plane, descriptor = cls(), memory(size)
        plane.fd, plane.length = descriptor, size
        os.close(descriptor)
        return plane


class FrameStatus(Enum):
    Success, Error, Cancelled, Startup = range(4)


class FrameMetadata:
    Status = FrameStatus


class FrameBuffer:
    Plane = Plane

    def __init__(self, planes: list[Plane], _cookie: int = 0) -> None:
        self.planes = planes
        self.metadata = SimpleNamespace(status=FrameStatus.Success, timestamp=0, planes=[])

    def write(self, picture: np.ndarray) -> None:
        os.pwrite(self.planes[0].fd, picture.tobytes(), 0)
        self.metadata.planes = [SimpleNamespace(bytes_used=picture.nbytes)]


class FrameBufferAllocator:
    """The memory that older versions of picamera2 use."""

    def __init__(self, _camera: Camera) -> None:
        self._buffers: dict[Stream, list[FrameBuffer]] = {}

    def allocate(self, stream: Stream) -> int:
        size, count = stream.configuration.frame_size, stream.configuration.buffer_count
        self._buffers[stream] = [FrameBuffer([Plane.of(size)]) for _ in range(count)]
        return count

    def buffers(self, stream: Stream) -> list[FrameBuffer]:
        return self._buffers[stream]


class RequestStatus(Enum):
    Pending, Complete, Cancelled = range(3)


class Request:
    Status = RequestStatus

    def __init__(self, cookie: int, crop: Rectangle) -> None:
        self.cookie, self.status = cookie, RequestStatus.Pending
        self.buffers: dict[Stream, FrameBuffer] = {}
        self.metadata = {
            controls.ExposureTime: 33_000,
            controls.AnalogueGain: 4.0,
            controls.DigitalGain: 1.0,
            controls.ScalerCrop: crop,
        }

    def add_buffer(self, stream: Stream, buffer: FrameBuffer) -> None:
        self.buffers[stream] = buffer

    def reuse(self) -> None:
        self.status = RequestStatus.Pending

    def set_control(self, name: Id, value: Any) -> None:
        pass
