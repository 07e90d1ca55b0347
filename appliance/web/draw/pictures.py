"""Arrays as picture files and data URLs: the stages frame → ink → mark → 28×28."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from appliance.reading import Array, Reading

# Imported where somebody looks: the start does without.
if TYPE_CHECKING:
    from PIL import Image

_MAX_FRAME_SIDE = 400
"""No side of the frame on the page is longer: 5 kB, where 640 pixels are 40 kB."""
_SURROUNDINGS_SIDE = 160
_SURROUNDINGS_GREYS = 32


def encode_stages(reading: Reading) -> dict[str, str | None]:
    """Return a reading's four stages as data URLs; a stage that was not reached is None."""
    stages = {name: encode_stage(reading, name) for name in ("frame", "ink", "mark", "glyph")}
    return {name: file and to_data_url(*file) for name, file in stages.items()}


def encode_stage(reading: Reading, name: str) -> tuple[bytes, str] | None:
    """Return "frame", "ink", "mark" or "glyph" of a reading as a file and its type, or None."""
    from PIL import Image

    if name == "frame":
        if reading.frame is None:
            return None
        grey = reading.frame.grey
        picture = Image.fromarray(grey).reduce(-(-max(grey.shape) // _MAX_FRAME_SIDE))
        return encode(picture, "JPEG", quality=75), "image/jpeg"
    cover: Array | None = getattr(reading, name)
    if cover is None:
        return None
    return _encode_grey(np.rint(cover * 255).astype(np.uint8)), "image/png"


def encode_surroundings(reading: Reading) -> bytes:
    """Return what is around the mark of a reading that `Recent` keeps: its frame as a PNG.

    It has at most 160 pixels a side and 2 to 6 kB; 32 greys instead of 256 halve the file.
    """
    from PIL import Image

    if reading.frame is None:
        raise ValueError("a reading without a mark has no surroundings")
    picture = Image.fromarray(reading.frame.grey)
    picture.thumbnail((_SURROUNDINGS_SIDE, _SURROUNDINGS_SIDE))
    step = 256 // _SURROUNDINGS_GREYS
    return encode(Image.fromarray(np.asarray(picture) // step * step), "PNG", optimize=True)


def to_png_url(grey: npt.NDArray[np.uint8]) -> str:
    """Return a grey uint8 (h, w) array as the data URL of a PNG."""
    return to_data_url(_encode_grey(grey), "image/png")


def encode(picture: "Image.Image", form: str, **options: int) -> bytes:
    """Return a picture as a file of the form "PNG" or "JPEG"."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def to_data_url(data: bytes, mimetype: str) -> str:
    return f"data:{mimetype};base64,{base64.b64encode(data).decode()}"


def _encode_grey(grey: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image

    return encode(Image.fromarray(grey), "PNG", compress_level=3)
