"""The Pi's camera against a stand-in for picamera2 with the same shapes, padding and exceptions."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from appliance.camera.picamera import PiCamera
from appliance.errors import CameraError
from appliance.reading import Exposure


class Picamera2:
    """What PiCamera uses of picamera2's class: `stride` bytes a row, chroma below the luma."""

    cameras: tuple[dict[str, Any], ...] = ({"Model": "imx219"},)
    refusal: Exception | None = None
    obstacle: Exception | None = None
    made: "list[Picamera2]" = []  # noqa: RUF012
    camera_controls: dict[str, Any] = {"AeEnable": (False, True, True)}  # noqa: RUF012
    granted = (640, 480)
    stride = 704
    metadata: dict[str, Any] = {"ExposureTime": 33_000, "AnalogueGain": 4.0}  # noqa: RUF012
    torn: Exception | None = None

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        return list(cls.cameras)

    def __init__(self) -> None:
        if self.refusal:
            raise self.refusal
        self.calls: list[str] = []
        self.failure: Exception | None = None
        self.made.append(self)

    def create_video_configuration(self, **streams: Any) -> dict[str, Any]:
        self.streams = streams
        return streams

    def configure(self, configuration: dict[str, Any]) -> None:
        self.calls.append("configure")
        if self.obstacle:
            raise self.obstacle

    def camera_configuration(self) -> dict[str, Any]:
        return {"lores": {"size": self.granted}}

    def set_controls(self, controls: dict[str, Any]) -> None:
        self.controls = controls

    def start(self) -> None:
        self.calls.append("start")

    def capture_request(self, wait: float) -> "Picamera2":
        if self.failure:
            raise self.failure
        assert 0 < wait < 2
        self.calls.append("request")
        return self

    def release(self) -> None:
        self.calls.append("release")

    def get_metadata(self) -> dict[str, Any]:
        return self.metadata

    def make_array(self, name: str) -> np.ndarray:
        if self.torn:
            raise self.torn
        width, height = self.granted
        yuv = np.full((height * 3 // 2, self.stride), 128, np.uint8)
        yuv[:height, :width] = 200
        yuv[:height, width:] = 7
        assert name == "lores"
        return yuv

    def stop(self) -> None:
        raise AssertionError("stop() waits for ever behind a capture that timed out")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def driver() -> type[Picamera2]:
    return type("Picamera2", (Picamera2,), {"made": []})


def open_camera(driver: type[Picamera2]) -> tuple[PiCamera, Picamera2]:
    camera = PiCamera(640, 480, library=SimpleNamespace(Picamera2=driver))
    return camera, driver.made[-1]


def test_a_frame_is_the_luma_without_padding_and_chroma(driver: type[Picamera2]) -> None:
    camera, _ = open_camera(driver)
    frame = next(camera.frames())
    assert frame.grey.shape == (480, 640)
    assert (frame.grey == 200).all()
    assert frame.size == (640, 480)


def test_a_frame_has_its_exposure(driver: type[Picamera2]) -> None:
    camera, _ = open_camera(driver)
    assert next(camera.frames()).exposure == Exposure("imx219", 0.033, 4.0)
    driver.metadata = {}
    assert next(camera.frames()).exposure == Exposure("imx219", 0.0, 1.0)


def test_a_request_is_released_even_if_it_cannot_be_read(
    driver: type[Picamera2],
) -> None:
    camera, made = open_camera(driver)
    made.torn = RuntimeError("no such stream")
    with pytest.raises(CameraError, match="the camera failed"):
        next(camera.frames())
    assert made.calls[-1] == "release"


def test_the_size_is_what_the_camera_granted(driver: type[Picamera2]) -> None:
    driver.granted = (656, 496)
    camera, _ = open_camera(driver)
    assert next(camera.frames()).grey.shape == (496, 656)


def test_it_asks_for_few_small_buffers_and_automatic_exposure(driver: type[Picamera2]) -> None:
    _, made = open_camera(driver)
    assert made.streams["lores"] == {"size": (640, 480), "format": "YUV420"}
    assert made.streams["buffer_count"] == 2
    assert made.streams["raw"] is None
    assert made.streams["queue"] is False
    assert made.controls == {"AeEnable": True}


def test_a_camera_that_can_focus_does(driver: type[Picamera2]) -> None:
    driver.camera_controls = {"AfMode": (0, 2, 0)}
    assert open_camera(driver)[1].controls["AfMode"] == 2


def test_it_is_opened_once_and_closed_on_stop(driver: type[Picamera2]) -> None:
    camera, made = open_camera(driver)
    frames = camera.frames()
    next(frames)
    next(frames)
    camera.close()
    camera.close()
    assert made.calls == ["configure", "start", *(["request", "release"] * 2), "close"]
    assert next(frames, None) is None
    assert len(driver.made) == 1


def test_a_missing_camera_is_an_error(driver: type[Picamera2]) -> None:
    driver.cameras = ()
    with pytest.raises(CameraError, match="no camera found: check the ribbon cable"):
        open_camera(driver)


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (IndexError("list index out of range"), "no camera found"),
        (RuntimeError("No camera number 0 found"), "no camera found"),
        (RuntimeError("Failed to acquire camera: Device or resource busy"), "the camera is busy"),
    ],
)
def test_errors_of_picamera2_say_what_to_do(
    driver: type[Picamera2], refusal: Exception, message: str
) -> None:
    driver.refusal = refusal
    with pytest.raises(CameraError, match=message):
        open_camera(driver)


@pytest.mark.parametrize(
    ("failure", "message"),
    [(TimeoutError(), "gave no frame for"), (RuntimeError("request failed"), "the camera failed")],
)
def test_a_camera_that_stalls_or_fails_is_an_error(
    driver: type[Picamera2], failure: Exception, message: str
) -> None:
    camera, made = open_camera(driver)
    made.failure = failure
    with pytest.raises(CameraError, match=message):
        next(camera.frames())
    camera.close()


@pytest.mark.parametrize(
    ("obstacle", "message"),
    [
        (OSError(12, "Cannot allocate memory"), "not enough camera memory: set a smaller width"),
        (RuntimeError("lores stream must be YUV"), "the camera is busy or does not start"),
        (IndexError("list index out of range"), "no camera found"),
    ],
)
def test_a_camera_that_cannot_be_set_up_is_closed(
    driver: type[Picamera2], obstacle: Exception, message: str
) -> None:
    driver.obstacle = obstacle
    with pytest.raises(CameraError, match=message):
        open_camera(driver)
    assert driver.made[-1].calls == ["configure", "close"]


def test_a_missing_library_names_its_package() -> None:
    try:
        import picamera2  # noqa: F401
    except ImportError:
        with pytest.raises(CameraError, match=r"library is missing .*apt install.*picamera2"):
            PiCamera(640, 480)
    else:
        pytest.skip("this machine has picamera2")
