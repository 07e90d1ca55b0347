"""Arrays as pictures for the page: the strip frame → ink → mark → 28×28."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from appliance.reading import Array, Reading

# Imported where somebody looks: the start does without.
if TYPE_CHECKING:
    from PIL import Image

_LONGEST = 400
"""No side of the picture that many look at is longer: 5 kB, where 640 pixels are 40 kB."""
_SURROUNDINGS = 160
_GREYS = 32


def strip(reading: Reading) -> dict[str, str | None]:
    """Return a reading's four stages as data URLs; a stage that was not reached is None."""
    stages = {name: stage(reading, name) for name in ("frame", "ink", "mark", "glyph")}
    return {name: found and _url(*found) for name, found in stages.items()}


def stage(reading: Reading, name: str) -> tuple[bytes, str] | None:
    """Return "frame", "ink", "mark" or "glyph" of a reading as a file and its type, or None."""
    from PIL import Image

    if name == "frame":
        if reading.frame is None:
            return None
        grey = reading.frame.grey
        picture = Image.fromarray(grey).reduce(-(-max(grey.shape) // _LONGEST))
        return _file(picture, "JPEG", quality=75)
    cover: Array | None = getattr(reading, name)
    return None if cover is None else _png(np.rint(cover * 255).astype(np.uint8))


def surroundings(reading: Reading) -> bytes:
    """Return the frame of a reading that `Recent` keeps as a PNG: what is around its mark.

    It has at most 160 pixels a side and 2 to 6 kB. Grey has 32 steps, which halves a file.
    """
    from PIL import Image

    if reading.frame is None:
        raise ValueError("a reading without a mark has no surroundings")
    picture = Image.fromarray(reading.frame.grey)
    picture.thumbnail((_SURROUNDINGS, _SURROUNDINGS))
    steps = 256 // _GREYS
    file = io.BytesIO()
    Image.fromarray(np.asarray(picture) // steps * steps).save(file, "PNG", optimize=True)
    return file.getvalue()


def png(grey: npt.NDArray[np.uint8]) -> str:
    """Return a grey uint8 (h, w) array as a PNG data URL."""
    return _url(*_png(grey))


def file_of(picture: "Image.Image", form: str, **options: int) -> bytes:
    """Return a picture as a file of the form "PNG" or "JPEG"."""
    return _file(picture, form, **options)[0]


def file_url(picture: "Image.Image", form: str, **options: int) -> str:
    """Return the same as a data URL."""
    return _url(*_file(picture, form, **options))


def _png(grey: npt.NDArray[np.uint8]) -> tuple[bytes, str]:
    from PIL import Image

    return _file(Image.fromarray(grey), "PNG", compress_level=3)


def _file(picture: "Image.Image", form: str, **options: int) -> tuple[bytes, str]:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue(), f"image/{form.lower()}"


def _url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
