"""Draw the sample pictures of the demo: python data/make_samples.py [FOLDER].

Ten digits, a blank sheet and a scribble, of the project's own strokes, on sheets that are lit
unevenly. The same command gives the same pictures.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from appliance.vision.paper import SCRIBBLE, STROKES, Sheet, drawn, photographed

PEN = Sheet()
PENCIL = Sheet(pen=0.52, light=0.35)
MARKER = Sheet(paper=0.9, pen=0.12, light=0.45)
SHADOW = Sheet(pen=0.18, shadow=0.45)
BOARD = Sheet(paper=0.2, pen=0.82, light=0.4, noise=0.02)

SHAPE = 480, 640
# name: (strokes, sheet, height, pen width, degrees, slant)
SAMPLES = {
    "0-pen": (STROKES[0], PEN, 210, 9, 4, 0.1),
    "1-pencil": (STROKES[1], PENCIL, 190, 6, -3, 0.1),
    "2-marker": (STROKES[2], MARKER, 230, 22, 0, 0.0),
    "3-pen": (STROKES[3], PEN, 180, 8, 6, 0.05),
    "4-shadow": (STROKES[4], SHADOW, 220, 11, 0, 0.1),
    "5-chalk": (STROKES[5], BOARD, 240, 16, -4, 0.1),
    "6-pencil": (STROKES[6], PENCIL, 200, 7, 0, 0.0),
    "7-shadow": (STROKES[7], SHADOW, 190, 10, -5, 0.15),
    "8-chalk": (STROKES[8], BOARD, 220, 14, 5, 0.1),
    "9-marker": (STROKES[9], MARKER, 210, 20, 3, 0.0),
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
            cover = drawn(
                strokes, SHAPE, centre=centre, height=height, width=width,
                degrees=degrees, slant=slant,
            )  # fmt: skip
        Image.fromarray(photographed(cover, sheet, rng)).save(folder / f"{name}.jpg", quality=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "samples")
