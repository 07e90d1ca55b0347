"""Picture files and uploads to frames: any size, any orientation, and no trust in the file."""

import io
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from appliance.errors import PictureError
from appliance.reading import Frame, Grey

# Imported where a file is read: Pillow takes a Pi Zero a tenth of a second, and a camera's frames
# need none of it.
if TYPE_CHECKING:
    from PIL import Image

    from appliance.storage.picture_check import PictureFile

MOST_MEMORY = 64_000_000
"""Bytes that decoding may take, the file's own and the frame's included.

With Python, numpy, the network and the page beside it that is 150 MB of a Pi Zero's 512."""
MOST_SECONDS = 1.3
"""Seconds that decoding may take on one core of a computer; a Pi Zero takes 25 times as long."""
MOST_FRAME = 16_000_000
"""Pixels that a frame may have: a larger JPEG is reduced while it is decoded, a PNG refused."""
ENOUGH = 1600
"""A JPEG is reduced to 1/2, 1/4 or 1/8 as long as this many pixels remain on its shorter side."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")

_REDUCTIONS = 1, 2, 4, 8
_STRIP = 1 << 18
"""Pixels that are converted to grey at a time: each takes a few bytes meanwhile."""
_CHUNK = 1 << 16

_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
"""For each EXIF orientation: whether the picture lies on its side, is flipped in y and in x.

Rows and columns are those of the frame that stands upright, before it is laid on its side."""


class PictureQueue:
    """A fair lock: one picture at a time is decoded and read, in the order of arrival.

    Decoding takes more memory than anything else here, and two pictures at once would exceed the
    bound of one. `with queue.turn(timeout):` waits up to `timeout` seconds for those before it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: deque[threading.Event] = deque()

    @property
    def pending(self) -> int:
        """How many pictures are being read or wait for their turn."""
        return len(self._turns)

    @contextmanager
    def turn(self, timeout: float | None = None) -> Iterator[bool]:
        """Yield True when the turn has come, or False when it did not come in time."""
        granted = self._wait(timeout)
        try:
            yield granted
        finally:
            if granted:
                self._end()

    def _wait(self, timeout: float | None) -> bool:
        mine = threading.Event()
        with self._lock:
            self._turns.append(mine)
            self._turns[0].set()
        if mine.wait(timeout):
            return True
        with self._lock:
            if mine.is_set():
                return True
            self._turns.remove(mine)
            return False

    def _end(self) -> None:
        with self._lock:
            self._turns.popleft()
            if self._turns:
                self._turns[0].set()


def open_picture(file: Path | IO[bytes], name: str, at: float | None = None) -> Frame:
    """Return a picture file as a frame, upright as its EXIF says.

    JPEG, PNG, WebP, BMP, and the first picture of a GIF or TIFF are read. What is transparent is
    white, or black under light strokes. `name` is what an error calls it; `at` is Unix seconds, now
    by default. An open file is read from its beginning. Raises PictureError for what is not a
    picture or costs too much to decode, and OSError for a file that cannot be opened.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return open_picture(opened, name, at)
    file.seek(0)
    return picture_from_chunks(iter(lambda: file.read(_CHUNK), b""), name, at)


def picture_from_bytes(data: bytes, name: str, at: float | None = None) -> Frame:
    """Return a picture in memory as a frame; raises PictureError as `open_picture` does."""
    return picture_from_chunks([data], name, at)


def picture_from_chunks(chunks: Iterable[bytes], name: str, at: float | None = None) -> Frame:
    """Return a picture that comes in chunks as a frame; raises as `open_picture` does."""
    from appliance.storage.picture_check import read_picture_file

    file = read_picture_file(chunks, name)
    width, height = file.size
    if min(width, height) < 2:
        raise PictureError(f"{name}: {width}×{height} pixels are no picture")
    reduction = _reduction(file)
    cost = _cost(file, reduction)
    if cost > 1:
        raise PictureError(
            f"{name}: {width}×{height} pixels in such a file cost {cost:.1f} times the memory or "
            "time that a picture may take: make it smaller, or send a common JPEG"
        )
    from PIL import UnidentifiedImageError

    try:
        grey = _decode_grey(file, reduction)
    except UnidentifiedImageError:
        raise PictureError(
            f"{name}: Pillow reads no such {file.form} here: save it as JPEG or PNG"
        ) from None
    except Exception as error:
        # Pillow raises many kinds for a damaged file.
        raise PictureError(f"{name}: the picture is damaged ({error})") from None
    sideways = _TURNS[file.orientation][0]
    size = (height, width) if sideways else (width, height)
    return Frame(grey, time.time() if at is None else at, size)


def picture_cost(data: bytes) -> float:
    """Return the cost of decoding a file, 1 = all it may take; raises PictureError."""
    from appliance.storage.picture_check import read_picture_file

    file = read_picture_file([data], "the picture")
    return _cost(file, _reduction(file))


def pictures_in(folder: Path) -> list[Path]:
    """Return the picture files of a folder, by name; raises OSError if there is no folder."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()
    )


def _cost(file: "PictureFile", reduction: int) -> float:
    """Return the cost of decoding: the largest of memory, time and pixels, 1 = all it may take."""
    return max(
        file.memory(reduction) / MOST_MEMORY,
        file.seconds / MOST_SECONDS,
        file.pixels(reduction) / MOST_FRAME,
    )


def _reduction(file: "PictureFile") -> int:
    """Return the factor 1, 2, 4 or 8 by which a JPEG is reduced while it is decoded; else 1.

    libjpeg computes only what the smaller picture needs: less memory and time on a Pi Zero.
    """
    if file.form != "JPEG":
        return 1
    enough = min(file.size) // ENOUGH
    for reduction in _REDUCTIONS:
        if _cost(file, reduction) <= 1 and 2 * reduction > enough:
            return reduction
    return _REDUCTIONS[-1]


def _decode_grey(file: "PictureFile", reduction: int) -> Grey:
    """Return a picture upright, grey uint8 (h, w)."""
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns at a limit of its own; ours has been checked.
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(file.data), formats=[file.form]) as picture:
            # Pillow takes the largest reduction that leaves this many pixels.
            across, down = (max(1, side // reduction) for side in file.size)
            picture.draft("L", (across, down))
            picture.load()
            width, height = picture.size
            sideways, flip_y, flip_x = _TURNS[file.orientation]
            grey = np.empty((width, height) if sideways else (height, width), np.uint8)
            # A view of `grey` in the file's own orientation: no rotated copy is needed.
            lying = (grey.T if sideways else grey)[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
            rows = max(1, _STRIP // width)
            strips = [(top, min(height, top + rows)) for top in range(0, height, rows)]
            ground, white = 255, 65535.0
            if _has_alpha(picture):
                ground = _choose_ground(
                    _split_alpha(picture.crop((0, top, width, end))) for top, end in strips
                )
            elif picture.mode.startswith("I") or picture.mode == "F":
                white = _find_white(picture)
            for top, end in strips:
                strip = picture.crop((0, top, width, end))
                lying[top:end] = _to_grey(strip, ground, white)
    return grey


def _to_grey(picture: "Image.Image", ground: int, white: float) -> Grey:
    """Return a part of a picture in grey, over a `ground` where it has an alpha channel.

    Of a picture of more than eight bits `white` is the value that becomes 255.
    """
    if _has_alpha(picture):
        grey, alpha = _split_alpha(picture)
        mixed = grey.astype(np.float32) * alpha + np.float32(ground) * (255 - alpha)
        over: Grey = np.rint(mixed / 255).astype(np.uint8)
        return over
    if picture.mode.startswith("I") or picture.mode == "F":
        # convert("L") would clip everything above 255.
        values = np.asarray(picture, dtype=np.float32)
        scaled: Grey = np.clip(values * np.float32(255 / white), 0, 255).astype(np.uint8)
        return scaled
    return np.asarray(picture.convert("L"))


def _has_alpha(picture: "Image.Image") -> bool:
    return "A" in picture.mode or "transparency" in picture.info


def _split_alpha(picture: "Image.Image") -> tuple[Grey, Grey]:
    """Return grey and alpha, uint8 (h, w)."""
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return np.asarray(picture.convert("L")), np.asarray(picture.getchannel("A"))


def _choose_ground(parts: "Iterable[tuple[Grey, Grey]]") -> int:
    """Return the grey of what lies under a transparent picture: paper, or a slate for light ink."""
    pixels, opaque, light = 0, 0.0, 0.0
    for grey, alpha in parts:
        pixels += alpha.size
        opaque += float(alpha.sum()) / 255
        light += float((grey * (alpha / np.float32(255))).sum()) / 255
    # Strokes cover the smaller part of a picture; what covers more is a picture with rounded edges.
    return 0 if 2 * opaque < pixels and 2 * light > opaque else 255


def _find_white(picture: "Image.Image") -> float:
    """Return the value that is white in a picture of more than eight bits."""
    extremes: tuple[float, float] = picture.getextrema()  # type: ignore[assignment]
    most = extremes[1]
    if picture.mode == "F" and most <= 1:
        return 1.0
    # Some programs write eight bits into a file of sixteen.
    return 255.0 if most <= 255 else 65535.0
