"""The Pi's own camera, or a USB camera, through picamera2."""

import errno
import gc
import importlib
import logging
import os
import queue
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from appliance.errors import CameraError
from appliance.reading import Exposure, Frame, make_frame

STALLED = 1.5
"""Seconds without a frame after which the camera counts as stalled."""

_FRAME_MICROSECONDS = 66_666, 200_000
"""5 to 15 frames a second leave the processor to the reader and let a dim room be exposed long."""
_QUIET = "*:FATAL"


class PiCamera:
    """Frames are the luma of the camera's low-resolution YUV420 stream, of a USB camera's YUYV.

    `width` and `height` in pixels are wishes: the camera may round them. `view` "whole" asks for
    the sensor's mode with all of its view, "middle" for the mode nearest to width and height, which
    many sensors crop; `exposure` is "normal" or "long", libcamera's modes of those names.

    Wiring: the ribbon cable in the CSI connector (the Zero's is the narrow one), its contacts
    towards the board.

    >>> camera = PiCamera(640, 480)
    >>> grey = next(camera.frames()).grey
    >>> camera.close()

    `library` is the picamera2 module, imported here when it is not given. Raises CameraError when
    libcamera is missing, no camera is found, another program holds it, or it does not start; then
    nothing of it stays open.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        view: str = "whole",
        exposure: str = "normal",
        library: Any = None,
    ) -> None:
        self._camera: Any = None
        self._size = width, height
        self._mode: str | None = None
        self._stream = "lores"
        _silence_libraries()
        library = library if library is not None else _import_picamera2()
        try:
            self._open(library.Picamera2, view, exposure)
        except CameraError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise CameraError(_describe_failure(error)) from None

    def _open(self, picamera2: Any, view: str, exposure: str) -> None:
        _forget_cameras(picamera2)
        cameras = picamera2.global_camera_info()
        if not cameras:
            raise CameraError(_NO_CAMERA)
        self._model = str(cameras[0].get("Model", "camera"))
        # By itself, so that what a constructor that fails has opened can be closed.
        self._camera = picamera2.__new__(picamera2)
        self._camera.__init__()
        if "ColorFilterArrangement" in self._camera.camera_properties:
            configuration = self._configure_sensor(view)
        else:
            configuration = self._configure_usb()
        # The granted size is what frames are cropped to.
        self._size = tuple(configuration[self._stream]["size"])
        self._camera.set_controls(self._choose_controls(exposure))
        self._camera.start()

    def _configure_sensor(self, view: str) -> Any:
        """Configure a camera at the ribbon cable; return what was granted."""
        stream = {"size": self._size, "format": "YUV420"}
        configuration = self._create_configuration(main=stream, lores=dict(stream))
        if view == "whole":
            # Sensors read their whole area out in half its width and height, 2×2 pixels in one.
            width, height = (side // 2 for side in self._camera.sensor_resolution)
            if "sensor" in configuration:
                configuration["sensor"] = {"output_size": (width, height)}
            else:
                # picamera2 0.3.12 takes the mode from the raw stream alone.
                raw = {"size": (width, height), "format": self._camera.sensor_format}
                configuration["raw"] = raw
        self._camera.configure(configuration)
        granted = self._camera.camera_configuration()
        mode = granted.get("sensor") or granted.get("raw") or {}
        self._mode = _format_size(mode.get("output_size") or mode.get("size"))
        return granted

    def _configure_usb(self) -> Any:
        """Configure a USB camera, which has one stream and no raw one; return what was granted."""
        self._stream = "main"
        stream = {"size": self._size, "format": "YUYV"}
        self._camera.configure(self._create_configuration(main=stream, lores=None))
        granted = self._camera.camera_configuration()
        kind = granted["main"]["format"]
        if kind != "YUYV":
            raise CameraError(
                f"the USB camera {self._model} gives pictures as {kind} and not as YUYV: set "
                "another width and height under [camera], or use a camera at the ribbon cable"
            )
        return granted

    def _create_configuration(self, **streams: Any) -> Any:
        """Return picamera2's configuration for these streams, which costs little memory."""
        # Two small buffers and no raw stream: camera memory is 64 MB on a Pi Zero. queue=False: a
        # capture waits for a new frame and never gets an old one.
        return self._camera.create_video_configuration(
            **streams,
            raw=None,
            buffer_count=2,
            controls={},
            display=None,
            encode=None,
            queue=False,
        )

    def _choose_controls(self, exposure: str) -> dict[str, Any]:
        """Return the controls that this camera has; picamera2 refuses any other."""
        controls = {
            "AeEnable": True,
            "AeExposureMode": 2 if exposure == "long" else 0,
            "AfMode": 2,  # continuous
            "FrameDurationLimits": _FRAME_MICROSECONDS,
        }
        known = self._camera.camera_controls
        return {name: value for name, value in controls.items() if name in known}

    def frames(self) -> Iterator[Frame]:
        width, height = self._size
        while self._camera is not None:
            try:
                request = self._capture()
                try:
                    yuv, metadata = request.make_array(self._stream), request.get_metadata()
                finally:
                    request.release()
            except queue.Empty:
                raise CameraError(
                    f"the camera gave no frame for {STALLED} seconds: check the ribbon cable and "
                    "the power supply"
                ) from None
            except Exception as error:
                raise CameraError(
                    f"the camera failed ({_find_root(error)}): check the ribbon cable and the "
                    "power supply"
                ) from None
            # YUV420 has its chroma in rows below the luma, YUYV in every other byte of a row;
            # columns beyond the width are padding.
            luma = yuv[..., 0] if yuv.ndim == 3 else yuv
            yield make_frame(luma[:height, :width].copy(), time.time(), self._exposure(metadata))

    def _capture(self) -> Any:
        """Return the next request; raises queue.Empty when the camera has stalled."""
        # picamera2 0.3.12 knows no wait with a limit; a signal is known to all.
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._camera.capture_request(signal_function=done.put)
        return self._camera.wait(done.get(timeout=STALLED))

    def _exposure(self, metadata: dict[str, Any]) -> Exposure:
        """Return the exposure of a frame by its metadata, whose times are in microseconds."""
        gain = metadata.get("AnalogueGain", 1.0) * metadata.get("DigitalGain", 1.0)
        seconds = metadata.get("ExposureTime", 0) / 1e6
        exposure = Exposure(self._model, seconds, float(gain), self._mode)
        sensor = self._camera and self._camera.camera_properties.get("PixelArraySize")
        if not sensor or "ScalerCrop" not in metadata:
            return exposure
        _, _, width, height = metadata["ScalerCrop"]
        return exposure._replace(
            seen_width=min(1.0, width / sensor[0]), seen_height=min(1.0, height / sensor[1])
        )

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            _close(camera)
            # A camera and its parts refer to one another: what they hold stays open until they are
            # collected.
            del camera
            gc.collect()


_NO_CAMERA = (
    "no camera found: check the ribbon cable at both ends, then restart the Pi; a sensor that is "
    "no Raspberry Pi's own needs camera_auto_detect=0 and its dtoverlay= in config.txt"
)


def _silence_libraries() -> None:
    """Have picamera2 and libcamera write nothing, unless the environment asks libcamera to."""
    # Each try of a camera that fails writes a dozen lines, on an SD card; what matters of them is
    # in the CameraError.
    if os.environ.setdefault("LIBCAMERA_LOG_LEVELS", _QUIET) == _QUIET:
        logging.getLogger("picamera2").setLevel(logging.CRITICAL)


def _import_picamera2() -> Any:
    try:
        # FFmpeg, for encoders: 45 MB and two thirds of the import's time in 0.3.31, for one.
        with _put_off("av"):
            import picamera2
    except ImportError as error:
        raise CameraError(
            f"the camera's library is missing ({error}): run 'sudo apt install "
            "--no-install-recommends python3-picamera2', or show pictures with --camera folder:PATH"
        ) from None
    except Exception as error:
        # A numpy from pip beside Debian's picamera2 ends in a ValueError, for one.
        raise CameraError(
            f"the camera's library does not load ({error}): use Debian's packages for all of "
            "numpy, picamera2 and libcamera, and none from pip"
        ) from None
    return picamera2


@contextmanager
def _put_off(name: str) -> Iterator[None]:
    """Give who imports a library in this block one that is loaded when something of it is used."""
    later = ModuleType(name)

    def is_in_its_place() -> bool:
        return sys.modules.get(name) is later

    def load(attribute: str) -> Any:
        if is_in_its_place():
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    later.__getattr__ = load  # type: ignore[method-assign]
    sys.modules.setdefault(name, later)
    try:
        yield
    finally:
        if is_in_its_place():
            del sys.modules[name]


def _forget_cameras(picamera2: Any) -> None:
    """Have libcamera look for cameras anew: one may have been plugged in since the last try."""
    manager = getattr(picamera2, "_cm", None)
    if manager is not None and not manager.cameras and hasattr(manager, "reset"):
        manager.reset()


def _close(camera: Any) -> None:
    """Close a camera, and what picamera2 leaves open of one whose start or end failed."""
    # Not stop() first: it would wait for a capture that has timed out. close() ends the camera's
    # own thread and then stops.
    with suppress(Exception):
        camera.close()
    # Else its destructor closes it once more, and with it files that are another's by then.
    camera.is_open = False
    manager, index = getattr(camera, "_cm", None), getattr(camera, "camera_idx", None)
    if manager is not None and manager.cameras.get(index) is camera:
        with suppress(Exception):
            manager.cleanup(index)
    reader = getattr(camera, "notifymeread", None)
    if reader is not None and not reader.closed:
        reader.close()
        os.close(camera.notifyme_w)


def _describe_failure(error: BaseException) -> str:
    """Return in a sentence why a camera does not start, and what to do."""
    causes = list(_list_causes(error))
    root = str(causes[-1]) or type(causes[-1]).__name__
    numbers = {each.errno for each in causes if isinstance(each, OSError)}
    texts = " ".join(map(str, causes))

    def is_any(number: int) -> bool:
        # libcamera's own errors are RuntimeErrors that end in the system's words.
        return number in numbers or os.strerror(number) in texts

    if is_any(errno.ENOMEM):
        return (
            "there is not enough camera memory: set a smaller width and height under "
            "[camera] in digits.toml, or restart the Pi"
        )
    if is_any(errno.EBUSY):
        return (
            f"the camera is busy ({root}): stop the other program that uses it; 'sudo fuser -v "
            "/dev/media* /dev/video*' names it"
        )
    if numbers & {errno.EACCES, errno.EPERM} or os.strerror(errno.EACCES) in texts:
        return (
            f"the camera may not be opened ({root}): add the user that the appliance runs as to "
            "the group video, then start it again"
        )
    if "dmaHeap" in texts:
        return (
            f"the camera gets no memory from the kernel ({root}): use Raspberry Pi OS with its own "
            "kernel, which has /dev/dma_heap"
        )
    if "not advertised" in texts:
        return (
            f"the camera lacks a control ({root}): update picamera2 and libcamera together with "
            "'sudo apt full-upgrade', then restart the Pi"
        )
    # Without a camera older releases raise IndexError, newer ones say "not … found".
    if any(isinstance(each, IndexError) for each in causes) or "found" in texts:
        return _NO_CAMERA
    return f"the camera does not start ({root}): check the ribbon cable and the power supply"


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what caused it, and so on."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__


def _find_root(error: BaseException) -> str:
    *_, root = _list_causes(error)
    return str(root) or type(root).__name__


def _format_size(size: Any) -> str | None:
    return f"{size[0]}×{size[1]}" if size else None
