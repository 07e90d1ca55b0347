import numpy as np
import pytest

from appliance.reader.change_detector import ChangeDetector
from appliance.reading import Frame, make_frame
from appliance.simulator.handwriting import PLAIN, render_strokes
from appliance.simulator.paper import Conditions, render_photograph

SHAPE = 480, 640
SHEET = np.linspace(150, 210, SHAPE[0] * SHAPE[1]).reshape(SHAPE)


def noisy(sheet: np.ndarray, seed: int, sigma: float = 2.5, at: float = 0.0) -> Frame:
    noise = np.random.default_rng(seed).normal(0, sigma, sheet.shape)
    return make_frame(np.clip(np.rint(sheet + noise), 0, 255).astype(np.uint8), at)


def test_the_first_frame_is_a_change_and_the_same_one_again_is_none() -> None:
    detector = ChangeDetector()
    first = noisy(SHEET, 0)
    assert detector.detect_change(first)
    assert not detector.detect_change(first)


@pytest.mark.parametrize("sigma", [2.0, 3.0, 5.0])
def test_a_cameras_noise_is_no_change(sigma: float) -> None:
    detector = ChangeDetector()
    detector.detect_change(noisy(SHEET, 0, sigma))
    frames = [noisy(SHEET, seed, sigma, at=seed / 8) for seed in range(1, 30)]
    assert not any(map(detector.detect_change, frames))


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_the_same_sheet_photographed_again_is_no_change(noise: float) -> None:
    cover = render_strokes(PLAIN[5], SHAPE, centre=(320, 240), height=200, width=14)
    detector = ChangeDetector()
    sheet = Conditions(noise=noise, light=0.4)
    greys = [render_photograph(cover, sheet, np.random.default_rng(1), unit=200) for _ in range(3)]
    changes = [detector.detect_change(make_frame(grey, 0)) for grey in greys]
    assert changes == [True, False, False]


@pytest.mark.parametrize("height", [60, 200])
@pytest.mark.parametrize("where", [(320, 240), (47, 61), (600, 430)])
@pytest.mark.parametrize("digit", [1, 5])
def test_a_thin_stroke_that_appears_or_goes_is_a_change(
    digit: int, where: tuple[int, int], height: int
) -> None:
    cover = render_strokes(PLAIN[digit], SHAPE, centre=where, height=height, width=3)
    detector = ChangeDetector()
    detector.detect_change(noisy(SHEET, 0))
    assert detector.detect_change(noisy(SHEET * (1 - 0.6 * cover), 1, at=0.1))
    assert not detector.detect_change(noisy(SHEET * (1 - 0.6 * cover), 2, at=0.2))
    assert detector.detect_change(noisy(SHEET, 3, at=0.3))


def test_a_faint_pencil_stroke_is_a_change() -> None:
    cover = render_strokes(PLAIN[2], SHAPE, centre=(320, 240), height=200, width=8)
    detector = ChangeDetector()
    detector.detect_change(noisy(SHEET, 0, 2.0))
    assert detector.detect_change(noisy(SHEET * (1 - 0.2 * cover), 1, 2.0))


def test_a_slow_drift_is_noticed_although_no_step_of_it_is() -> None:
    detector = ChangeDetector()
    frames = [noisy(SHEET + 0.5 * n, n, 0.5, at=n / 8) for n in range(24)]
    changes = [detector.detect_change(frame) for frame in frames]
    # Each is compared with the last one that had changed, not with the one before.
    assert any(changes[1:])
    assert sum(changes) < 12


def test_after_ten_seconds_a_frame_counts_as_changed() -> None:
    detector = ChangeDetector()
    at = [0.0, 5.0, 9.9, 10.0, 10.1, 19.9, 20.0]
    changes = [detector.detect_change(noisy(SHEET, 0, at=100 + each)) for each in at]
    assert changes == [True, False, False, True, False, False, True]


def test_a_clock_that_is_set_back_makes_a_change() -> None:
    detector = ChangeDetector()
    detector.detect_change(noisy(SHEET, 0, at=1000.0))
    assert detector.detect_change(noisy(SHEET, 0, at=10.0))
    assert not detector.detect_change(noisy(SHEET, 0, at=11.0))


def test_a_frame_of_another_size_is_a_change() -> None:
    detector = ChangeDetector()
    detector.detect_change(noisy(SHEET, 0))
    assert detector.detect_change(noisy(SHEET[:240, :320], 0))


@pytest.mark.parametrize("shape", [(2, 2), (1, 1), (1, 700), (700, 1), (17, 33), (1944, 2592)])
def test_frames_of_any_size_are_compared(shape: tuple[int, int]) -> None:
    detector = ChangeDetector()
    grey = np.full(shape, 180, np.uint8)
    assert detector.detect_change(make_frame(grey, 0))
    assert not detector.detect_change(make_frame(grey, 1))
    # A large share of the picture turns dark.
    other = grey.copy()
    other[: -(-shape[0] // 2), : -(-shape[1] // 2)] = 20
    assert detector.detect_change(make_frame(other, 2))
