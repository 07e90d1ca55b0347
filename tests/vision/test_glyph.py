import numpy as np
import pytest

from appliance.simulator.handwriting import PLAIN, render_strokes
from appliance.vision.glyph import (
    STROKE_WIDTHS,
    averaging_matrix,
    make_glyph,
    outline_length,
    stroke_width,
)


def crop_digit(digit: int, pen: float, height: float = 120) -> np.ndarray:
    """Return a digit's ink, cropped."""
    cover = render_strokes(PLAIN[digit], (300, 300), centre=(150, 150), height=height, width=pen)
    rows, columns = (np.flatnonzero(cover.max(axis=axis) > 0.02) for axis in (1, 0))
    return cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def draw_frame(shape: tuple[int, int]) -> np.ndarray:
    """Return the outline of a box, an eighth of its shorter side thick."""
    ink = np.ones(shape, np.float32)
    pen = -(-min(shape) // 8)
    ink[pen:-pen, pen:-pen] = 0
    return ink


def middle(image: np.ndarray) -> tuple[float, float]:
    y, x = np.mgrid[0:28, 0:28]
    return float((y * image).sum() / image.sum()), float((x * image).sum() / image.sum())


def test_an_upright_one_stays_upright() -> None:
    image = make_glyph(np.ones((100, 10), np.float32))
    rows, columns = np.nonzero(image)
    assert np.ptp(rows) + 1 == 20
    assert np.ptp(columns) + 1 == 2


@pytest.mark.parametrize("shape", [(100, 60), (7, 5), (20, 20), (333, 111), (40, 90), (1, 1)])
def test_the_longer_side_becomes_twenty_and_ink_is_bright(shape: tuple[int, int]) -> None:
    image = make_glyph(draw_frame(shape))
    assert image.shape == (28, 28)
    assert image.dtype == np.float32
    rows, columns = np.nonzero(image)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert image.max() == 1


def test_the_centre_of_mass_is_in_the_middle() -> None:
    heavy_below = np.zeros((80, 60), np.float32)
    heavy_below[50:] = 0.3
    heavy_below[:, 28:32] = 1
    y, x = middle(make_glyph(heavy_below))
    assert abs(y - 13.5) <= 0.51
    assert abs(x - 13.5) <= 0.51


def test_a_lopsided_mark_stays_inside_the_picture() -> None:
    corner = np.zeros((50, 50), np.float32)
    corner[:5, :5] = 1
    corner[45:, 45:] = 0.01
    rows, columns = np.nonzero(make_glyph(corner))
    assert min(rows.min(), columns.min()) >= 0
    assert max(rows.max(), columns.max()) <= 27
    assert np.count_nonzero(make_glyph(corner)) == np.count_nonzero(make_glyph(corner[::-1, ::-1]))


def test_a_mark_without_ink_gives_a_dark_glyph() -> None:
    assert not make_glyph(np.zeros((30, 20), np.float32)).any()


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("pen", [2, 4, 8, 12, 18, 24, 30, 36])
def test_strokes_of_any_pen_become_as_wide_as_mnists(digit: int, pen: int) -> None:
    thin, thick = STROKE_WIDTHS
    ink = crop_digit(digit, pen)
    assert 0.9 * thin < stroke_width(make_glyph(ink)) < 1.1 * thick
    # The network's box is filled all the same.
    rows, columns = np.nonzero(make_glyph(ink) > 0.1)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 >= 19


def test_strokes_of_a_usual_width_are_unchanged() -> None:
    # As wide as 3 of the 20 pixels: the glyph is the mark's own mean, set in the middle.
    ink = np.zeros((100, 60), np.float32)
    ink[:, 20:35] = 1
    inner = ink.reshape(20, 5, 12, 5).mean(axis=(1, 3))
    image = make_glyph(ink)
    rows, columns = np.nonzero(image)
    found = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    np.testing.assert_allclose(found, inner[:, 4:7], atol=1e-6)


def test_a_thin_pen_and_a_marker_give_glyphs_alike() -> None:
    for digit in range(10):
        thin, thick = (make_glyph(crop_digit(digit, pen)) for pen in (3, 20))
        alike = np.corrcoef(thin.ravel(), thick.ravel())[0, 1]
        assert alike > 0.7


@pytest.mark.parametrize("digit", [0, 4, 6, 8, 9])
def test_the_holes_of_a_thick_pen_stay_open(digit: int) -> None:
    image = make_glyph(crop_digit(digit, 22))
    # Somewhere inside there is paper: darker than what is above, below, left and right of it.
    most = np.maximum.accumulate
    above, below = most(image, axis=0), most(image[::-1], axis=0)[::-1]
    left, right = most(image, axis=1), most(image[:, ::-1], axis=1)[:, ::-1]
    assert (np.minimum.reduce([above, below, left, right]) - image).max() > 0.5


@pytest.mark.parametrize("scale", [1, 2, 5])
def test_a_larger_mark_gives_the_same_glyph(scale: int) -> None:
    ink = crop_digit(5, 8)
    np.testing.assert_allclose(
        make_glyph(ink.repeat(scale, 0).repeat(scale, 1)), make_glyph(ink), atol=0.3
    )


def test_the_input_is_left_unchanged_and_the_bits_are_the_same() -> None:
    for pen in (2, 8, 30):
        ink = crop_digit(3, pen)
        before = ink.copy()
        ink.flags.writeable = False
        first = make_glyph(ink)
        assert first.tobytes() == make_glyph(ink).tobytes() == make_glyph(before).tobytes()
        np.testing.assert_array_equal(ink, before)


@pytest.mark.parametrize("pen", [3, 8, 20])
def test_stroke_width_and_outline_length(pen: int) -> None:
    bar = np.zeros((200, 80), np.float32)
    bar[10:190, 30 : 30 + pen] = 1
    assert stroke_width(bar) == pytest.approx(pen, rel=0.12)
    assert outline_length(bar) == pytest.approx(2 * (180 + pen), rel=0.02)
    assert stroke_width(np.zeros((5, 5), np.float32)) == 0


@pytest.mark.parametrize(("cells", "length"), [(20, 100), (20, 33), (7, 7), (20, 9)])
def test_the_averaging_matrix_weighs_each_pixel_by_its_share(cells: int, length: int) -> None:
    matrix = averaging_matrix(cells, length)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(matrix.sum(axis=0), cells / length, rtol=1e-4)
    assert matrix.dtype == np.float32


def test_a_golden_glyph() -> None:
    """A seven of two straight strokes, as it has looked since the first release."""
    seven = np.zeros((60, 40), np.float32)
    seven[:8, :] = 1
    for row in range(8, 60):
        x = round(34 - (row - 8) * 0.5)
        seven[row, x : x + 6] = 1
    levels = " .:*#"
    image = make_glyph(seven)
    seen = ["".join(levels[round(float(v) * 4)] for v in row).rstrip() for row in image]
    assert "\n".join(seen).strip("\n") == GOLDEN


GOLDEN = """\
       #############
       #############
       ***********##
                 .#*
                 *#.
                .#*
                *#.
               .#*
               *#.
              .#*
              *#.
             .#*
             :#.
            .#*
            *#.
           .#*
           :#:
           #*
          *#.
         .#*"""
