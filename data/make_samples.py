"""Renders the sample pictures of the demo: python data/make_samples.py [FOLDER].

They show ten digits, a blank sheet and a scribble in the project's own handwriting, on unevenly lit
sheets. The camera is simpler than the photograph simulator's and independent of it, so that the
samples never change. With `--glyphs FILE` it writes the ten example digits of the page's view
Inside, as one picture.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from appliance.reading import Array, Grey
from appliance.simulator.handwriting import PLAIN, SCRIBBLE, render_strokes
from appliance.vision.glyph import make_glyph


@dataclass(frozen=True)
class Sheet:
    """A sheet, its light and the camera, in greys 0…1.

    `light` is the share of light lost from one corner to the opposite one, `shadow` the share that
    a straight-edged shadow takes on one side; `noise` is the camera's standard deviation, `blur`
    the defocus in pixels.
    """

    paper: float = 0.85
    pen: float = 0.2
    light: float = 0.3
    shadow: float = 0.0
    noise: float = 0.015
    blur: float = 0.8


def photograph(cover: Array, sheet: Sheet, rng: np.random.Generator) -> Grey:
    """Return a photograph uint8 (h, w) of a sheet; `cover` 0…1 is how much of a pixel is pen."""
    height, width = cover.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / width, y / height
    light = 1 - np.float32(sheet.light) * (x + y) / 2
    # A soft-edged shadow over the right part, as of a hand that holds the camera.
    edge = np.clip((x + 0.3 * y - 0.72) * 12, 0, 1)
    light *= 1 - np.float32(sheet.shadow) * edge
    fibre = ndimage.gaussian_filter(rng.standard_normal(cover.shape, dtype=np.float32), 1.2)
    ground = np.float32(sheet.paper) + np.float32(0.02) * fibre
    picture = (ground + (np.float32(sheet.pen) - ground) * cover) * light
    picture = ndimage.gaussian_filter(picture, sheet.blur)
    picture += np.float32(sheet.noise) * rng.standard_normal(cover.shape, dtype=np.float32)
    grey: Grey = np.clip(picture * 255, 0, 255).astype(np.uint8)
    return grey


PEN = Sheet()
PENCIL = Sheet(pen=0.52, light=0.35)
MARKER = Sheet(paper=0.9, pen=0.12, light=0.45)
SHADOW = Sheet(pen=0.18, shadow=0.45)
BOARD = Sheet(paper=0.2, pen=0.82, light=0.4, noise=0.02)

SHAPE = 480, 640
# name: (strokes, sheet, height, pen width, degrees, slant)
SAMPLES = {
    "0-pen": (PLAIN[0], PEN, 210, 9, 4, 0.1),
    "1-pencil": (PLAIN[1], PENCIL, 190, 6, -3, 0.1),
    "2-marker": (PLAIN[2], MARKER, 230, 22, 0, 0.0),
    "3-pen": (PLAIN[3], PEN, 180, 8, 6, 0.05),
    "4-shadow": (PLAIN[4], SHADOW, 220, 11, 0, 0.1),
    "5-chalk": (PLAIN[5], BOARD, 240, 16, -4, 0.1),
    "6-pencil": (PLAIN[6], PENCIL, 200, 7, 0, 0.0),
    "7-shadow": (PLAIN[7], SHADOW, 190, 10, -5, 0.15),
    "8-chalk": (PLAIN[8], BOARD, 220, 14, 5, 0.1),
    "9-marker": (PLAIN[9], MARKER, 210, 20, 3, 0.0),
    "none-blank": ([], PEN, 0, 0, 0, 0.0),
    "none-scribble": (SCRIBBLE, PEN, 220, 9, 0, 0.0),
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2)
    for name, (strokes, sheet, height, width, degrees, slant) in SAMPLES.items():
        cover = np.zeros(SHAPE, np.float32)
        if strokes:
            centre = 320 + rng.uniform(-70, 70), 240 + rng.uniform(-40, 40)
            cover = render_strokes(
                strokes, SHAPE, centre=centre, height=height, width=width,
                degrees=degrees, slant=slant,
            )  # fmt: skip
        Image.fromarray(photograph(cover, sheet, rng)).save(folder / f"{name}.jpg", quality=80)


def render_glyphs() -> Grey:
    """Return the digits 0 to 9 as glyphs side by side, grey uint8 (28, 280)."""
    covers = [
        render_strokes(PLAIN[digit], (64, 64), centre=(32, 32), height=40, width=6, slant=0.1)
        for digit in range(10)
    ]
    side_by_side: Grey = np.rint(255 * np.hstack([make_glyph(each) for each in covers])).astype(
        np.uint8
    )
    return side_by_side


if __name__ == "__main__":
    if sys.argv[1:2] == ["--glyphs"]:
        Image.fromarray(render_glyphs()).save(sys.argv[2], optimize=True)
        sys.exit()
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "samples")
