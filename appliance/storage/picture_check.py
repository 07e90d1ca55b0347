"""What decoding a JPEG or PNG will cost, and the file without what a picture needs not.

A file's markers and chunks are walked here, before any library sees it: each claims something, and
some of it is large. What is handed on to be decoded has the picture alone: no texts, profiles,
thumbnails or further pictures, whatever they are.
"""

import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from appliance.errors import PictureError

MOST_BYTES = 32_000_000
"""A picture ends within so many bytes of its file; what comes after them is not looked at."""
MOST_PARTS = 10_000
"""A file has no more segments or chunks than this up to the picture's end; photographs have 300."""

_BLOCK = 8
_COEFFICIENTS = 64
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_OTHER_FRAMES = {0xC3, *range(0xC5, 0xD0)} - {0xC8, 0xCC}
"""Lossless, hierarchical and arithmetic JPEGs: no camera makes them, and a byte of the last can
stand for any number of pixels."""
_DHT, _SOI, _EOI, _SOS, _DQT, _DRI = 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD
_JFIF, _EXIF, _ADOBE = (0xE0, b"JFIF\0"), (0xE1, b"Exif\0\0"), (0xEE, b"Adobe")
_NO_MARKER = np.zeros(256, bool)
_NO_MARKER[[0x00, 0x01, *range(0xD0, 0xD8), 0xFF]] = True
"""After a byte 0xFF these are a stuffed byte, a restart within a scan, or a filling."""
_ORIENTATION = 0x0112

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_COLOURS = 3 * 256
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of each colour type that a PNG has: grey, RGB, palette, grey and alpha, RGB and alpha."""

# Seconds on one core of the computer that this was measured on; a Pi Zero takes some 25 times as
# long. `python -m tests.proofs.worst_pictures` shows what it comes to.
_PER_SCAN = 50e-6
_PER_BLOCK_OF_SCAN = 20e-9
_PER_COEFFICIENT_OF_SCAN = 1.2e-9
_PER_BLOCK = 70e-9
_PER_BYTE_OF_SCAN = 25e-9
_PER_BYTE_OF_PNG = 8e-9
_PER_BYTE_INFLATED = 10e-9


class PictureFile(NamedTuple):
    """A picture's own part of a file, and what decoding it takes.

    `data` is a file of `form` "JPEG" or "PNG" with nothing but the picture of (width, height)
    `size`; `orientation` is 1…8 as EXIF counts, 1 for upright. Decoding takes `seconds` on one core
    of a computer, `fixed` bytes and `each` bytes for every pixel that is left after a reduction,
    which a JPEG can have and a PNG cannot.
    """

    form: str
    data: bytes
    size: tuple[int, int]
    orientation: int
    seconds: float
    fixed: int
    each: int

    def pixels(self, reduction: int) -> int:
        """Return how many pixels are left after a reduction."""
        width, height = (-(-side // reduction) for side in self.size)
        return width * height

    def memory(self, reduction: int) -> int:
        """Return how many bytes decoding takes, the file and the grey frame among them."""
        return len(self.data) + self.fixed + self.pixels(reduction) * (self.each + 1)


def read_picture_file(chunks: Iterable[bytes], name: str) -> PictureFile:
    """Return the picture of a file that comes in chunks; no more of them is asked for than needed.

    `name` is what an error calls it. Raises PictureError for what is no JPEG or PNG, a kind that
    is not read, or one whose picture does not end within MOST_BYTES or MOST_PARTS.
    """
    raw = bytearray()
    for chunk in chunks:
        raw += chunk
        if len(raw) > MOST_BYTES:
            del raw[MOST_BYTES:]
            break
    if raw.startswith(b"\xff\xd8\xff"):
        walk = _read_jpeg
    elif raw.startswith(_PNG):
        walk = _read_png
    else:
        raise PictureError(f"{name}: not a JPEG or PNG picture")
    try:
        return walk(raw, name)
    except PictureError:
        raise
    except (IndexError, ValueError, ZeroDivisionError):
        raise PictureError(f"{name}: the picture is damaged (its header is cut off)") from None


class _Frame(NamedTuple):
    """A JPEG's frame: its (width, height), and how many blocks each component has, by its id."""

    size: tuple[int, int]
    progressive: bool
    blocks: dict[int, int]
    rows: int

    @classmethod
    def of(cls, segment: memoryview) -> "_Frame":
        height, width = _number(segment, 5, 2), _number(segment, 7, 2)
        parts = [segment[10 + 3 * each : 13 + 3 * each] for each in range(segment[9])]
        across, down = [part[1] >> 4 for part in parts], [part[1] & 15 for part in parts]
        # Whole groups of blocks: as many as the largest component of a group has.
        groups = -(-width // (_BLOCK * max(across))) * -(-height // (_BLOCK * max(down)))
        blocks = {part[0]: groups * x * y for part, x, y in zip(parts, across, down, strict=True)}
        # A row of groups is decoded, and brought to the picture's own size, at a time.
        rows = 2 * len(parts) * width * _BLOCK * max(down)
        return cls((width, height), segment[1] == _PROGRESSIVE, blocks, rows)


def _read_jpeg(raw: bytearray, name: str) -> PictureFile:
    view, kept, at = memoryview(raw), [memoryview(b"\xff\xd8")], 2
    said: dict[int, memoryview] = {}
    frame, orientation, scans, several, seconds = None, 1, 0, False, 0.0
    for _ in range(MOST_PARTS):
        at = _next_marker(raw, at)
        if at == len(raw):
            _not_cut(raw, name)
            break
        code = raw[at + 1]
        if code == _EOI:
            kept.append(view[at : at + 2])
            break
        end = at + 2 + _number(view, at + 2, 2)
        segment = view[at:end]
        if end < at + 4 or end > len(raw):
            _not_cut(raw, name)
            raise PictureError(f"{name}: the picture is damaged (it is cut off)")
        if code in _OTHER_FRAMES:
            raise PictureError(
                f"{name}: a lossless, hierarchical or arithmetic JPEG is not read: save it as a "
                "common JPEG"
            )
        if code in (_BASELINE, _EXTENDED, _PROGRESSIVE):
            if frame is not None:
                raise PictureError(f"{name}: the picture is damaged (it has two frames)")
            frame = _Frame.of(segment)
            kept += [*said.values(), segment]
        elif code == _SOS and frame is not None:
            ids = [segment[5 + 2 * each] for each in range(segment[4])]
            if not scans:
                several = frame.progressive or len(ids) < len(frame.blocks)
            scans += 1
            stop = _next_marker(raw, end)
            kept.append(view[at:stop])
            band = _COEFFICIENTS
            if frame.progressive:
                band = max(1, segment[-2] - segment[-3] + 1)
            visited = sum(frame.blocks.get(each, 0) for each in ids)
            seconds += _PER_SCAN
            seconds += visited * (_PER_BLOCK_OF_SCAN + band * _PER_COEFFICIENT_OF_SCAN)
            if not several and stop < len(raw):
                # That was all of it: another picture, or a film, may follow.
                kept.append(memoryview(b"\xff\xd9"))
                break
            end = stop
        elif code in (_DQT, _DHT, _DRI):
            kept.append(segment)
        elif code == _EXIF[0] and segment[4:10] == _EXIF[1] and orientation == 1:
            orientation = _read_orientation(segment[10:])
        elif (code, bytes(segment[4:9])) in (_JFIF, _ADOBE):
            # The colours depend on them.
            said[code] = segment
        at = end
    else:
        raise PictureError(_too_many_parts(name))
    if frame is None:
        raise PictureError(f"{name}: the picture is damaged (it has no frame)")
    blocks = sum(frame.blocks.values())
    data = b"".join(kept)
    return PictureFile(
        form="JPEG",
        data=data,
        size=frame.size,
        orientation=orientation,
        seconds=seconds + blocks * _PER_BLOCK + len(data) * _PER_BYTE_OF_SCAN,
        # Of a picture in several scans all coefficients are kept, 16 bits each, before it is
        # reduced.
        fixed=frame.rows + several * blocks * _COEFFICIENTS * 2,
        # CMYK is decoded in its four colours; of all others only the lightness.
        each=4 if len(frame.blocks) == 4 else 1,
    )


def _next_marker(raw: bytearray, at: int) -> int:
    """Return where the next marker is from a place on, or the end."""
    step = 4096
    while at < len(raw) - 1:
        # In pieces that grow: most are near, and a scan's data are megabytes.
        piece = np.frombuffer(raw, np.uint8, min(step, len(raw) - at), at)
        found = np.flatnonzero((piece[:-1] == 0xFF) & ~_NO_MARKER[piece[1:]])
        if len(found):
            return at + int(found[0])
        at += len(piece) - 1
        step = min(2 * step, 1 << 18)
    return len(raw)


def _read_png(raw: bytearray, name: str) -> PictureFile:
    view, at = memoryview(raw), len(_PNG)
    told: dict[bytes, memoryview] = {}
    compressed: list[memoryview] = []
    orientation, ended = 1, False
    for _ in range(MOST_PARTS):
        size, kind = _number(view, at, 4), bytes(view[at + 4 : at + 8])
        chunk = view[at : at + 12 + size]
        if kind == b"IDAT":
            compressed.append(chunk[8 : 8 + size])
        elif kind == b"eXIf":
            orientation = _read_orientation(chunk[8:-4])
        elif kind in (b"IHDR", b"PLTE", b"tRNS") and size <= _MOST_COLOURS:
            told.setdefault(kind, chunk)
        at += 12 + size
        ended = kind == b"IEND"
        if ended or at >= len(raw):
            break
    else:
        raise PictureError(_too_many_parts(name))
    if not ended:
        _not_cut(raw, name)
    if b"IHDR" not in told or len(told[b"IHDR"]) < 25:
        raise PictureError(f"{name}: the picture is damaged (it has no header)")
    header = told[b"IHDR"]
    width, height = _number(header, 8, 4), _number(header, 12, 4)
    depth, channels = header[16], _CHANNELS.get(header[17], 4)
    row = -(-width * depth * channels // 8) + 1
    data = b"".join([_PNG, *_chunks_before(told), *_idat(compressed), _IEND if ended else b""])
    return PictureFile(
        form="PNG",
        data=data,
        size=(width, height),
        orientation=orientation,
        seconds=row * height * _PER_BYTE_INFLATED + len(data) * _PER_BYTE_OF_PNG,
        # Pillow finds each row by an address of its own.
        fixed=4 * row + 16 * height,
        # A grey pixel or a palette's is a byte, and every other four.
        each=1 if channels == 1 and depth <= 8 else 4,
    )


def _chunks_before(told: dict[bytes, memoryview]) -> list[memoryview]:
    return [told[kind] for kind in (b"IHDR", b"PLTE", b"tRNS") if kind in told]


def _idat(compressed: list[memoryview]) -> list[bytes | memoryview]:
    """Return one chunk for all, however many a file has them in."""
    kind, check = b"IDAT", zlib.crc32(b"IDAT")
    for each in compressed:
        check = zlib.crc32(each, check)
    size = sum(map(len, compressed))
    return [size.to_bytes(4, "big"), kind, *compressed, check.to_bytes(4, "big")]


_IEND = b"\0\0\0\0IEND" + zlib.crc32(b"IEND").to_bytes(4, "big")


def _read_orientation(tiff: memoryview) -> int:
    """Return the orientation that EXIF's first directory has, 1…8; 1 where it has none."""
    order = bytes(tiff[:2])
    if order not in (b"II", b"MM"):
        return 1
    first = _number(tiff, 4, 4, order)
    end = min(len(tiff) - 11, first + 2 + 12 * _number(tiff, first, 2, order))
    for entry in range(first + 2, end, 12):
        if _number(tiff, entry, 2, order) == _ORIENTATION:
            wide = 2 if _number(tiff, entry + 2, 2, order) == 3 else 4
            told = _number(tiff, entry + 8, wide, order)
            return told if 1 <= told <= 8 else 1
    return 1


def _number(view: memoryview, at: int, size: int, order: bytes = b"MM") -> int:
    return int.from_bytes(view[at : at + size], "big" if order == b"MM" else "little")


def _not_cut(raw: bytearray, name: str) -> None:
    """Raise PictureError where it is not the file that ended."""
    if len(raw) >= MOST_BYTES:
        raise PictureError(
            f"{name}: the picture does not end within {MOST_BYTES / 1e6:g} MB: make it smaller"
        )


def _too_many_parts(name: str) -> str:
    return f"{name}: the file has more than {MOST_PARTS:,} parts: save the picture anew"
