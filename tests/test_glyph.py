import numpy as np
import pytest

from appliance.vision.glyph import averaging, glyph


def middle(image: np.ndarray) -> tuple[float, float]:
    y, x = np.mgrid[0:28, 0:28]
    return float((y * image).sum() / image.sum()), float((x * image).sum() / image.sum())


def test_an_upright_one_stays_upright() -> None:
    image = glyph(np.ones((100, 10), np.float32))
    rows, columns = np.nonzero(image)
    assert np.ptp(rows) + 1 == 20
    assert np.ptp(columns) + 1 == 2


@pytest.mark.parametrize("shape", [(100, 60), (7, 5), (20, 20), (333, 111), (40, 90), (1, 1)])
def test_the_longer_side_becomes_twenty_and_ink_is_bright(shape: tuple[int, int]) -> None:
    image = glyph(np.ones(shape, np.float32))
    assert image.shape == (28, 28)
    assert image.dtype == np.float32
    rows, columns = np.nonzero(image)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert image.max() == 1


def test_the_centre_of_mass_is_in_the_middle() -> None:
    heavy_below = np.zeros((80, 60), np.float32)
    heavy_below[50:] = 0.3
    heavy_below[:, 28:32] = 1
    y, x = middle(glyph(heavy_below))
    assert abs(y - 13.5) <= 0.51
    assert abs(x - 13.5) <= 0.51


def test_a_lopsided_mark_stays_inside_the_picture() -> None:
    corner = np.zeros((50, 50), np.float32)
    corner[:5, :5] = 1
    corner[45:, 45:] = 0.01
    rows, columns = np.nonzero(glyph(corner))
    assert min(rows.min(), columns.min()) >= 0
    assert max(rows.max(), columns.max()) <= 27
    assert np.count_nonzero(glyph(corner)) == np.count_nonzero(glyph(corner[::-1, ::-1]))


def test_no_ink_is_a_dark_glyph() -> None:
    assert not glyph(np.zeros((30, 20), np.float32)).any()


@pytest.mark.parametrize(("cells", "length"), [(20, 100), (20, 33), (7, 7), (20, 9)])
def test_averaging_weighs_each_pixel_by_its_share(cells: int, length: int) -> None:
    shares = averaging(cells, length)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(shares.sum(axis=0), cells / length, rtol=1e-4)
    assert shares.dtype == np.float32


def test_a_golden_glyph() -> None:
    """A seven of two straight strokes, as it has looked since the first release."""
    seven = np.zeros((60, 40), np.float32)
    seven[:8, :] = 1
    for row in range(8, 60):
        x = round(34 - (row - 8) * 0.5)
        seven[row, x : x + 6] = 1
    levels = " .:*#"
    image = glyph(seven)
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
