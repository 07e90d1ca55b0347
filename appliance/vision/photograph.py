"""A scanned digit as the camera would see it: onto simulated paper, and back through the vision.

What the network learns from these is what it will be shown.
"""

import numpy as np
from scipy import ndimage

from appliance.reading import Array
from appliance.vision.glyph import glyph
from appliance.vision.ink import find_ink, reduced, reduction
from appliance.vision.marks import find_mark
from appliance.vision.paper import Sheet, photographed


def photograph(scanned: Array, rng: np.random.Generator) -> Array | None:
    """Return a digit (28, 28) in 0…1 as a glyph, the same shape and range, after a photograph.

    The pen, the paper, the light, the size, the place and the camera's faults are drawn anew each
    time. Returns None where the vision finds no single mark.
    """
    size = int(rng.integers(64, 128))
    # Resampled smoothly and then hardened, a scan becomes a stroke with an edge.
    drawn = ndimage.zoom(scanned, size / len(scanned), order=3)
    cover = np.clip((drawn - rng.uniform(0.25, 0.5)) * rng.uniform(2.5, 6) + 0.5, 0, 1)
    margins = rng.integers(6, 30, size=4)
    cover = np.pad(cover, (margins[:2], margins[2:]))
    paper = rng.uniform(0.4, 0.95)
    sheet = Sheet(
        paper=paper,
        pen=rng.uniform(0.1, 0.55) * paper,
        light=rng.uniform(0, 0.5),
        shadow=rng.uniform(0, 0.5) if rng.random() < 0.4 else 0.0,
        noise=rng.uniform(0.0, 0.04),
        blur=rng.uniform(0.3, 2.0),
    )
    grey = photographed(cover.astype(np.float32), sheet, rng)
    seen = find_ink(reduced(grey, reduction(grey.shape)))
    if seen.blank:
        return None
    mark = find_mark(seen.ink)
    return None if isinstance(mark, str) else glyph(mark.ink)
