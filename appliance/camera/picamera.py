"""The Pi's own camera, through picamera2."""

import time
from collections.abc import Iterator
from typing import Any

from appliance.errors import CameraError
from appliance.reading import Frame, frame

STALLED = 1.5
"""Seconds without a frame after which the camera is taken for stalled."""


class PiCamera:
    """The luma plane of the camera's low-resolution YUV420 stream, at about `width`×`height`.

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
        if not picamera2.Picamera2.global_camera_info():
            raise CameraError(_NO_CAMERA)
        try:
            self._camera = picamera2.Picamera2()
            self._configure()
        except IndexError:
            # Releases before 0.3.13 say so in this way when the camera went away meanwhile.
            raise CameraError(_NO_CAMERA) from None
        except RuntimeError as error:
            self.close()
            if "found" in str(error):
                raise CameraError(_NO_CAMERA) from None
            raise CameraError(
                f"the camera is busy or does not start ({error}): stop the other program that "
                "uses it ('sudo systemctl stop digits' if it is the service), then try again"
            ) from None

    def _configure(self) -> None:
        # Two small YUV buffers and no raw stream: camera memory is 64 MB on a Pi Zero. queue=False:
        # a capture waits for a new frame and never gets an old one.
        configuration = self._camera.create_video_configuration(
            main={"size": self._size, "format": "YUV420"},
            lores={"size": self._size, "format": "YUV420"},
            raw=None,
            buffer_count=2,
            display=None,
            encode=None,
            queue=False,
        )
        self._camera.configure(configuration)
        # The sensor's mode may round the size: what was granted is what is cropped.
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
                yuv = self._camera.capture_array("lores", wait=STALLED)
            except TimeoutError:
                raise CameraError(
                    f"the camera gave no frame for {STALLED} seconds: check the ribbon cable and "
                    "the power supply; the appliance goes on trying"
                ) from None
            except (RuntimeError, OSError) as error:
                raise CameraError(
                    f"the camera failed ({error}): check the ribbon cable, then run 'digits doctor'"
                ) from None
            # Rows below the luma are the chroma; columns beyond the width are padding.
            yield frame(yuv[:height, :width].copy(), time.time())

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.stop()
            camera.close()


_NO_CAMERA = "no camera found: check the ribbon cable at both ends, then run 'digits doctor'"


def _import_picamera2() -> Any:
    try:
        import picamera2
    except ImportError as error:
        raise CameraError(
            f"the camera's library is missing ({error}): run 'sudo apt install "
            "--no-install-recommends python3-picamera2', or show pictures with --camera folder:PATH"
        ) from None
    return picamera2
