"""Captures to keep: glyphs, pictures, and what was said of them."""

import io
from typing import Any

import numpy as np
from PIL import Image

from appliance.captures.store import Capture, Captures


def png(grey: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()


PICTURE = png(np.full((120, 160), 200, np.uint8))


def glyph(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)


def add_capture(
    captures: Captures, label: int = 7, said: int | None = 7, **changed: Any
) -> Capture:
    values = {
        "reason": "unsure between 4 and 9" if said is None else None,
        "confidence": 0.75,
        "network": "ab" * 32,
        "glyph": glyph(sum(captures.count_labels().values())),
        "picture": PICTURE,
        "at": 1000.5,
    }
    return captures.add(label=label, said=said, **{**values, **changed})
