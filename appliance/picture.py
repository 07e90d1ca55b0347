"""Picture files and uploads to frames: any size, any orientation, nothing trusted."""

import io
import time
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from appliance.errors import PictureError
from appliance.reading import Frame

MOST_PIXELS = 60_000_000
"""A picture with more pixels is refused before it is decoded; telephones make up to 50 million."""
ENOUGH = 1600
"""A JPEG is decoded at a half, a quarter or an eighth as long as this many pixels remain a side."""
FORMATS = ("JPEG", "PNG")
SUFFIXES = (".jpg", ".jpeg", ".png")


def open_picture(file: Path | IO[bytes], name: str, at: float | None = None) -> Frame:
    """Return a JPEG or PNG as a frame, turned upright as its EXIF says; transparency is white.

    `name` is what an error calls it. Raises PictureError for what is not a picture or too large a
    one, and OSError for a file that cannot be opened.
    """
    try:
        with warnings.catch_warnings():
            # Pillow's own warning at its own limit; ours is lower and is an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as picture:
                grey, size = _decoded(picture, name)
    except UnidentifiedImageError:
        raise PictureError(f"{name}: not a JPEG or PNG picture") from None
    except Image.DecompressionBombError:
        raise PictureError(_too_large(name, "hundreds of millions of")) from None
    except (PictureError, FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise PictureError(f"{name}: the picture is damaged ({error})") from None
    return Frame(grey, time.time() if at is None else at, size)


def picture_from_bytes(data: bytes, name: str, at: float | None = None) -> Frame:
    """Return an upload as a frame; raises PictureError in a sentence."""
    return open_picture(io.BytesIO(data), name, at)


def pictures_in(folder: Path) -> list[Path]:
    """Return the JPEG and PNG files of a folder, by name; raises OSError when it is not there."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _decoded(picture: Image.Image, name: str) -> tuple[np.ndarray, tuple[int, int]]:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise PictureError(_too_large(name, f"{width}×{height}"))
    if min(width, height) < 2:
        raise PictureError(f"{name}: {width}×{height} pixels are no picture")
    # libjpeg leaves out what a smaller picture does not need: less memory and time on a Pi Zero.
    picture.draft("L", (ENOUGH, ENOUGH))
    upright = ImageOps.exif_transpose(picture)
    turned = (upright.width > upright.height) != (picture.width > picture.height)
    size = (height, width) if turned else (width, height)
    return np.asarray(_grey(upright)), size


def _grey(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        # 16 bits a pixel: convert("L") would clip everything above 255.
        values = np.asarray(picture, dtype=np.float32)
        return Image.fromarray(np.clip(values / 257, 0, 255).astype(np.uint8))
    if "A" in picture.mode or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture)
        picture = white
    return picture.convert("L")


def _too_large(name: str, size: str) -> str:
    limit = MOST_PIXELS // 1_000_000
    return f"{name}: {size} pixels are too many for a picture; the limit is {limit} million"
