"""The Pi's camera against a stand-in for picamera2 with the same shapes, padding and exceptions."""

from collections.abc import Callable
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
    sensor_resolution = (3280, 2464)
    sensor_format = "SBGGR10_CSI2P"
    camera_properties: dict[str, Any] = {  # noqa: RUF012
        "ColorFilterArrangement": 0,
        "PixelArraySize": (3280, 2464),
    }
    knows_sensors = True
    usb_format = "YUYV"
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
        self.streams = {**streams, "sensor": {}} if self.knows_sensors else streams
        return self.streams

    def configure(self, configuration: dict[str, Any]) -> None:
        self.calls.append("configure")
        if self.obstacle:
            raise self.obstacle

    def camera_configuration(self) -> dict[str, Any]:
        if self.streams["lores"] is None:
            return {"main": {"size": self.granted, "format": self.usb_format}}
        mode = {name: self.streams[name] for name in ("raw", "sensor") if self.streams.get(name)}
        return {"lores": {"size": self.granted}, **mode}

    def set_controls(self, controls: dict[str, Any]) -> None:
        self.controls = controls

    def start(self) -> None:
        self.calls.append("start")

    def capture_request(self, signal_function: Callable[[Any], None]) -> None:
        if not isinstance(self.failure, TimeoutError):
            signal_function(self)

    def wait(self, job: "Picamera2") -> "Picamera2":
        if self.failure:
            raise self.failure
        self.calls.append("request")
        return job

    def release(self) -> None:
        self.calls.append("release")

    def get_metadata(self) -> dict[str, Any]:
        return self.metadata

    def make_array(self, name: str) -> np.ndarray:
        if self.torn:
            raise self.torn
        width, height = self.granted
        if name == "main":
            return np.full((height, self.stride, 2), (200, 128), np.uint8)
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


def open_camera(driver: type[Picamera2], **how: str) -> tuple[PiCamera, Picamera2]:
    camera = PiCamera(640, 480, library=SimpleNamespace(Picamera2=driver), **how)
    return camera, driver.made[-1]


def test_a_frame_has_its_exposure(driver: type[Picamera2]) -> None:
    camera, _ = open_camera(driver)
    assert next(camera.frames()).exposure == Exposure("imx219", 0.033, 4.0, "1640×1232")
    driver.metadata = {}
    assert next(camera.frames()).exposure == Exposure("imx219", 0.0, 1.0, "1640×1232")


def test_a_frame_tells_how_much_of_the_sensor_is_in_it(driver: type[Picamera2]) -> None:
    camera, _ = open_camera(driver)
    driver.metadata = {"ScalerCrop": (1000, 752, 1280, 960)}
    exposure = next(camera.frames()).exposure
    assert exposure is not None
    assert (exposure.seen_width, exposure.seen_height) == pytest.approx((1280 / 3280, 960 / 2464))
    driver.metadata = {"ScalerCrop": (0, 0, 3280, 2464)}
    exposure = next(camera.frames()).exposure
    assert exposure is not None
    assert (exposure.seen_width, exposure.seen_height) == (1, 1)


@pytest.mark.parametrize("knows_sensors", [True, False])
def test_the_whole_view_is_the_mode_of_half_the_sensors_size(
    driver: type[Picamera2], knows_sensors: bool
) -> None:
    driver.knows_sensors = knows_sensors
    _, made = open_camera(driver)
    if knows_sensors:
        assert made.streams["sensor"] == {"output_size": (1640, 1232)}
        assert made.streams["raw"] is None
    else:
        assert made.streams["raw"] == {"size": (1640, 1232), "format": "SBGGR10_CSI2P"}


def test_the_middle_leaves_the_mode_to_picamera2(driver: type[Picamera2]) -> None:
    camera, made = open_camera(driver, view="middle")
    assert (made.streams["sensor"], made.streams["raw"]) == ({}, None)
    assert next(camera.frames()).exposure == Exposure("imx219", 0.033, 4.0)


@pytest.mark.parametrize(("exposure", "mode"), [("normal", 0), ("long", 2)])
def test_a_dim_room_has_the_long_exposure_mode(
    driver: type[Picamera2], exposure: str, mode: int
) -> None:
    driver.camera_controls = {
        "AeExposureMode": (0, 3, 0),
        "FrameDurationLimits": (100, 1_000_000, 33_333),
    }
    _, made = open_camera(driver, exposure=exposure)
    assert made.controls["AeExposureMode"] == mode
    assert made.controls["FrameDurationLimits"][1] >= 120_000


def test_a_usb_camera_has_one_stream_and_its_luma_is_every_other_byte(
    driver: type[Picamera2],
) -> None:
    driver.camera_properties = {}
    camera, made = open_camera(driver)
    assert made.streams["main"] == {"size": (640, 480), "format": "YUYV"}
    assert (made.streams["lores"], made.streams["raw"]) == (None, None)
    frame = next(camera.frames())
    assert frame.grey.shape == (480, 640)
    assert (frame.grey == 200).all()


def test_a_usb_camera_that_gives_no_yuyv_is_an_error(driver: type[Picamera2]) -> None:
    driver.camera_properties, driver.usb_format = {}, "MJPEG"
    with pytest.raises(CameraError, match="imx219 gives pictures as MJPEG and not as YUYV"):
        open_camera(driver)
    assert driver.made[-1].calls[-1] == "close"


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


def caused(text: str, cause: str) -> Exception:
    error = RuntimeError(text)
    error.__cause__ = RuntimeError(cause)
    return error


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
        (
            caused("Camera __init__ sequence did not complete.", "Device or resource busy"),
            r"the camera is busy \(Device or resource busy\): stop the other program",
        ),
        (
            RuntimeError("Failed to start: Cannot allocate memory"),
            "not enough camera memory",
        ),
        (
            PermissionError(13, "Permission denied", "/dev/dma_heap/linux,cma"),
            "may not be opened .*/dev/dma_heap/linux,cma.* the group video",
        ),
        (RuntimeError("Could not open any dmaHeap device"), "gets no memory from the kernel"),
        (
            RuntimeError("Control AfMode is not advertised by libcamera"),
            r"lacks a control \(Control AfMode is not advertised by libcamera\)",
        ),
        (RuntimeError("no cause known"), r"does not start \(no cause known\)"),
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
        (RuntimeError("lores stream must be YUV"), "the camera does not start"),
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
