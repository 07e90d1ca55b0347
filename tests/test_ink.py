import numpy as np
import pytest

from appliance.vision.ink import LONGEST, dark_on_light, find_ink, reduced, reduction
from appliance.vision.paper import STROKES, Sheet, drawn, photographed

SHAPE = 240, 320
COVER = drawn(STROKES[2], SHAPE, centre=(160, 120), height=120, width=8)


def photograph(sheet: Sheet, cover: np.ndarray = COVER) -> np.ndarray:
    grey = photographed(cover, sheet, np.random.default_rng(1))
    return reduced(grey, reduction(grey.shape))


SHEETS = {
    "pen on white paper": Sheet(),
    "chalk on a board": Sheet(paper=0.2, pen=0.85),
    "pencil": Sheet(pen=0.6),
    "a hard light from one side": Sheet(light=0.8),
    "a shadow over one side": Sheet(shadow=0.6),
    "a noisy camera": Sheet(noise=0.04),
    "out of focus": Sheet(blur=2.5),
    "dark paper": Sheet(paper=0.35, pen=0.08),
}


@pytest.mark.parametrize("name", SHEETS)
def test_ink_is_found_where_the_pen_was(name: str) -> None:
    ink = find_ink(photograph(SHEETS[name]))
    assert not ink.blank
    assert ink.ink.dtype == np.float32
    found, drawn_there = ink.ink > 0.5, COVER > 0.5
    overlap = np.count_nonzero(found & drawn_there) / np.count_nonzero(found | drawn_there)
    assert overlap > 0.6


@pytest.mark.parametrize("name", [name for name in SHEETS if name != "a shadow over one side"])
def test_a_sheet_with_nothing_on_it_is_blank(name: str) -> None:
    assert find_ink(photograph(SHEETS[name], np.zeros_like(COVER))).blank


def test_the_polarity_is_that_of_the_strokes() -> None:
    assert dark_on_light(photograph(Sheet(light=0.7)))
    assert not dark_on_light(photograph(Sheet(paper=0.25, pen=0.9, light=0.7)))


@pytest.mark.parametrize("shape", [(2, 2), (480, 640), (3, 5000), (1999, 1501)])
def test_a_reduced_frame_keeps_its_mean_and_is_never_too_long(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    picture = reduced(grey, reduction(shape))
    assert max(picture.shape) <= LONGEST
    assert min(picture.shape) >= 1
    assert picture.dtype == np.float32
    assert picture.mean() == pytest.approx(grey.mean() / 255, abs=0.02)


def test_a_small_frame_is_not_reduced() -> None:
    grey = np.arange(28 * 28, dtype=np.uint32).reshape(28, 28).astype(np.uint8)
    np.testing.assert_allclose(reduced(grey, reduction(grey.shape)), grey / 255, atol=1e-6)
