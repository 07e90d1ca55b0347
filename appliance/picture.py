"""Picture files and uploads to frames: any size, any orientation, nothing trusted."""

import io
import time
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from appliance.errors import PictureError
from appliance.reading import Frame, Grey

# A camera's frames are no files: what only they need has Pillow imported, which takes a Pi Zero a
# tenth of a second.
if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 60_000_000
"""A photograph with more pixels is refused before it is decoded; telephones make up to 50 million.

That holds for a common JPEG, which is decoded reduced. Every other picture is decoded whole."""
MOST_PIXELS_WHOLE = 12_500_000
"""A PNG or progressive JPEG with more is refused: decoded it would fill a Pi Zero's memory."""
ENOUGH = 1600
"""A JPEG is decoded at a half, a quarter or an eighth as long as this many pixels remain a side."""
FORMATS = ("JPEG", "PNG")
SUFFIXES = (".jpg", ".jpeg", ".png")

_ORIENTATION = 0x0112
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_SIDEWAYS = 5
"""The last four of the eight orientations lie on their side."""


def open_picture(file: Path | IO[bytes], name: str, at: float | None = None) -> Frame:
    """Return a JPEG or PNG as a frame, turned upright as its EXIF says; transparency is white.

    `name` is what an error calls it. Raises PictureError for what is not a picture or too large a
    one, and OSError for a file that cannot be opened.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow's own warnings, at its own limit and of odd metadata; ours are errors.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as picture:
                grey, size = _decoded(picture, name)
    except UnidentifiedImageError:
        raise PictureError(f"{name}: not a JPEG or PNG picture") from None
    except Image.DecompressionBombError:
        raise PictureError(_too_large(name, "hundreds of millions of", MOST_PIXELS)) from None
    except PictureError:
        raise
    except Exception as error:
        # Pillow raises many kinds for a damaged file; what the system refuses has an errno.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise PictureError(f"{name}: the picture is damaged ({error})") from None
    return Frame(grey, time.time() if at is None else at, size)


def picture_from_bytes(data: bytes, name: str, at: float | None = None) -> Frame:
    """Return an upload as a frame; raises PictureError in a sentence."""
    return open_picture(io.BytesIO(data), name, at)


def pictures_in(folder: Path) -> list[Path]:
    """Return the JPEG and PNG files of a folder, by name; raises OSError when it is not there."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()
    )


def _decoded(picture: "Image.Image", name: str) -> tuple[Grey, tuple[int, int]]:
    from PIL import Image

    width, height = picture.size
    common = picture.format == "JPEG" and not picture.info.get("progressive")
    limit = MOST_PIXELS if common else MOST_PIXELS_WHOLE
    if width * height > limit:
        raise PictureError(_too_large(name, f"{width}×{height}", limit))
    if min(width, height) < 2:
        raise PictureError(f"{name}: {width}×{height} pixels are no picture")
    turn = _turn(picture)
    # libjpeg leaves out what a smaller picture does not need: less memory and time on a Pi Zero.
    picture.draft("L", (ENOUGH, ENOUGH))
    grey = _grey(picture)
    if turn in _TURNS:
        grey = grey.transpose(Image.Transpose[_TURNS[turn]])
    sideways = turn in _TURNS and turn >= _SIDEWAYS
    return np.asarray(grey), (height, width) if sideways else (width, height)


def _turn(picture: "Image.Image") -> int:
    """Return the picture's EXIF orientation, 1 for upright; damaged EXIF wants nothing."""
    try:
        return int(picture.getexif()[_ORIENTATION])
    except Exception:
        return 1


def _grey(picture: "Image.Image") -> "Image.Image":
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        # 16 bits a pixel: convert("L") would clip everything above 255.
        values = np.asarray(picture, dtype=np.float32)
        return Image.fromarray(np.clip(values / 257, 0, 255).astype(np.uint8))
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if "A" in picture.mode:
        white = Image.new("L", picture.size, 255)
        white.paste(picture.convert("L"), mask=picture.getchannel("A"))
        return white
    return picture.convert("L")


def _too_large(name: str, size: str, limit: int) -> str:
    return (
        f"{name}: {size} pixels are too many for such a picture: the limit is "
        f"{limit / 1e6:g} million; make it smaller, or send a common JPEG"
    )
