"""The Pi's own camera, through picamera2."""

import errno
import time
from collections.abc import Iterator
from typing import Any

from appliance.errors import CameraError
from appliance.reading import Exposure, Frame, make_frame

STALLED = 1.5
"""Seconds without a frame after which the camera counts as stalled."""


class PiCamera:
    """Frames are the luma plane of the camera's low-resolution YUV420 stream.

    `width` and `height` in pixels are wishes: the sensor's mode may round them.

    Wiring: the ribbon cable in the CSI connector (the Zero's is the narrow one), its contacts
    towards the board.

    >>> camera = PiCamera(640, 480)
    >>> grey = next(camera.frames()).grey
    >>> camera.close()

    `library` is the picamera2 module, imported here when it is not given. Raises CameraError when
    libcamera is missing, no camera is found, or another program holds it.
    """

    def __init__(self, width: int, height: int, *, library: Any = None) -> None:
        self._camera: Any = None
        self._size = width, height
        picamera2 = library if library is not None else _import_picamera2()
        try:
            cameras = picamera2.Picamera2.global_camera_info()
            if not cameras:
                raise CameraError(_NO_CAMERA)
            self._model = str(cameras[0].get("Model", "camera"))
            self._camera = picamera2.Picamera2()
            self._configure()
        except CameraError:
            raise
        except Exception as error:
            # A camera left half open would be busy at the next try.
            self.close()
            # Without a camera older releases raise IndexError, newer ones say "not … found".
            if isinstance(error, IndexError) or "found" in str(error):
                raise CameraError(_NO_CAMERA) from None
            if isinstance(error, OSError) and error.errno == errno.ENOMEM:
                raise CameraError(
                    "there is not enough camera memory: set a smaller width and height under "
                    "[camera] in digits.toml, or restart the Pi"
                ) from None
            raise CameraError(
                f"the camera is busy or does not start ({error}): stop the other program that "
                "uses it, and check the ribbon cable"
            ) from None

    def _configure(self) -> None:
        # Two small YUV buffers and no raw stream: camera memory is 64 MB on a Pi Zero. queue=False:
        # a capture waits for a new frame and never gets an old one. 5 to 15 frames a second leave
        # the processor to the reader and let a dim room be exposed for longer.
        configuration = self._camera.create_video_configuration(
            main={"size": self._size, "format": "YUV420"},
            lores={"size": self._size, "format": "YUV420"},
            raw=None,
            buffer_count=2,
            controls={"FrameDurationLimits": (66_666, 200_000)},
            display=None,
            encode=None,
            queue=False,
        )
        self._camera.configure(configuration)
        # The granted size is what frames are cropped to.
        self._size = tuple(self._camera.camera_configuration()["lores"]["size"])
        controls: dict[str, Any] = {"AeEnable": True}
        if "AfMode" in self._camera.camera_controls:
            controls["AfMode"] = 2  # continuous
        self._camera.set_controls(controls)
        self._camera.start()

    def frames(self) -> Iterator[Frame]:
        width, height = self._size
        while self._camera is not None:
            try:
                request = self._camera.capture_request(wait=STALLED)
                try:
                    yuv, metadata = request.make_array("lores"), request.get_metadata()
                finally:
                    request.release()
            except TimeoutError:
                raise CameraError(
                    f"the camera gave no frame for {STALLED} seconds: check the ribbon cable and "
                    "the power supply"
                ) from None
            except (RuntimeError, OSError) as error:
                raise CameraError(
                    f"the camera failed ({error}): check the ribbon cable and the power supply"
                ) from None
            # Rows below the luma are the chroma; columns beyond the width are padding.
            yield make_frame(yuv[:height, :width].copy(), time.time(), self._exposure(metadata))

    def _exposure(self, metadata: dict[str, Any]) -> Exposure:
        """Return the exposure of a frame by its metadata, whose times are in microseconds."""
        gain = metadata.get("AnalogueGain", 1.0) * metadata.get("DigitalGain", 1.0)
        return Exposure(self._model, metadata.get("ExposureTime", 0) / 1e6, float(gain))

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            # Not stop() first: it would wait for a capture that has timed out. close() ends the
            # camera's own thread and then stops.
            camera.close()


_NO_CAMERA = "no camera found: check the ribbon cable at both ends, then restart the Pi"


def _import_picamera2() -> Any:
    try:
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
