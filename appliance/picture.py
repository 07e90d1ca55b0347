"""Picture files and uploads to frames: any size, any orientation, nothing trusted."""

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

# A camera's frames are no files: what only these need is imported where one is read. Pillow takes a
# Pi Zero a tenth of a second.
if TYPE_CHECKING:
    from PIL import Image

    from appliance.storage.picture_check import PictureFile

MOST_MEMORY = 64_000_000
"""Decoding takes no more bytes than this, the file's own and the frame's among them, or is refused.

With Python, numpy, the network and the page beside it that is 150 MB of a Pi Zero's 512."""
MOST_SECONDS = 1.3
"""It takes no longer than this on one core of a computer; a Pi Zero has 25 times as long."""
MOST_FRAME = 16_000_000
"""A frame has no more pixels than this: a JPEG is reduced while it is decoded, a PNG is refused."""
ENOUGH = 1600
"""It is decoded at a half, a quarter or an eighth as long as this many pixels remain a side."""
SUFFIXES = (".jpg", ".jpeg", ".png")

_REDUCTIONS = 1, 2, 4, 8
_STRIP = 1 << 18
"""So many pixels at a time are made grey: what lies between takes a few bytes for each."""
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
"""Of each EXIF orientation: whether it lies on its side, and which of its sides are flipped.

Rows and columns are those of the frame that stands upright, before it is laid on its side."""


class Turns:
    """Lets one picture at a time be decoded and read, in the order in which they came.

    Decoding takes more memory than anything else here: two at once would not be bounded by one's
    bound. `with turns.next(timeout):` waits for the ones before it, up to `timeout` seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[threading.Event] = deque()

    @contextmanager
    def next(self, timeout: float | None = None) -> Iterator[bool]:
        """Yield True in its turn, or False when it did not come in time."""
        came = self._wait(timeout)
        try:
            yield came
        finally:
            if came:
                self._end()

    def _wait(self, timeout: float | None) -> bool:
        mine = threading.Event()
        with self._lock:
            self._queue.append(mine)
            self._queue[0].set()
        if mine.wait(timeout):
            return True
        with self._lock:
            if mine.is_set():
                return True
            self._queue.remove(mine)
            return False

    def _end(self) -> None:
        with self._lock:
            self._queue.popleft()
            if self._queue:
                self._queue[0].set()


def open_picture(file: Path | IO[bytes], name: str, at: float | None = None) -> Frame:
    """Return a JPEG or PNG as a frame, turned upright as its EXIF says; transparency is white.

    `name` is what an error calls it. An open file is read from its beginning. Raises PictureError
    for what is not a picture, or one that takes too much to decode, and OSError for a file that
    cannot be opened.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return open_picture(opened, name, at)
    file.seek(0)
    return picture_from_chunks(iter(lambda: file.read(_CHUNK), b""), name, at)


def picture_from_bytes(data: bytes, name: str, at: float | None = None) -> Frame:
    """Return a picture that is in memory as a frame; raises PictureError in a sentence."""
    return picture_from_chunks([data], name, at)


def picture_from_chunks(chunks: Iterable[bytes], name: str, at: float | None = None) -> Frame:
    """Return a picture that comes in chunks as a frame; raises PictureError in a sentence."""
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
        grey = _decode(file, reduction)
    except UnidentifiedImageError:
        raise PictureError(f"{name}: not a JPEG or PNG picture") from None
    except Exception as error:
        # Pillow raises many kinds for a damaged file.
        raise PictureError(f"{name}: the picture is damaged ({error})") from None
    sideways = _TURNS[file.orientation][0]
    size = (height, width) if sideways else (width, height)
    return Frame(grey, time.time() if at is None else at, size)


def picture_cost(data: bytes) -> float:
    """Return what decoding a file takes as a share of what it may; raises PictureError."""
    from appliance.storage.picture_check import read_picture_file

    file = read_picture_file([data], "the picture")
    return _cost(file, _reduction(file))


def pictures_in(folder: Path) -> list[Path]:
    """Return the JPEG and PNG files of a folder, by name; raises OSError when it is not there."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()
    )


def _cost(file: "PictureFile", reduction: int) -> float:
    """Return the largest share that decoding a file takes of what it may: 1 is all of it."""
    return max(
        file.memory(reduction) / MOST_MEMORY,
        file.seconds / MOST_SECONDS,
        file.pixels(reduction) / MOST_FRAME,
    )


def _reduction(file: "PictureFile") -> int:
    """Return the least reduction of a JPEG, 1, 2, 4 or 8, with which it is not too large.

    libjpeg leaves out what a smaller picture does not need: less memory and time on a Pi Zero.
    """
    if file.form != "JPEG":
        return 1
    enough = min(file.size) // ENOUGH
    for reduction in _REDUCTIONS:
        if _cost(file, reduction) <= 1 and 2 * reduction > enough:
            return reduction
    return _REDUCTIONS[-1]


def _decode(file: "PictureFile", reduction: int) -> Grey:
    """Return a picture as it stands upright, grey uint8 (h, w)."""
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow's own warnings, at its own limit; ours are errors.
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(file.data), formats=[file.form]) as picture:
            # It takes the largest reduction that leaves so many pixels.
            across, down = (max(1, side // reduction) for side in file.size)
            picture.draft("L", (across, down))
            picture.load()
            width, height = picture.size
            sideways, flip_y, flip_x = _TURNS[file.orientation]
            grey = np.empty((width, height) if sideways else (height, width), np.uint8)
            # The same array as the file has it: no turned copy is needed.
            lying = (grey.T if sideways else grey)[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
            rows = max(1, _STRIP // width)
            for top in range(0, height, rows):
                end = min(height, top + rows)
                lying[top:end] = np.asarray(_to_grey(picture.crop((0, top, width, end))))
    return grey


def _to_grey(picture: "Image.Image") -> "Image.Image":
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
