"""Computes what decoding a picture file will cost, and strips the file to its picture.

The file's segments or chunks are parsed here, before any library sees them: each can make claims
that cost much. What is left to decode is the picture alone, without texts, profiles, thumbnails and
further pictures. JPEG and PNG are read here, the others by `picture_formats`.
"""

import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from appliance.errors import PictureError
from appliance.storage.picture_formats import (
    describe_unknown,
    find_reader,
    read_int,
    read_orientation,
)

MOST_BYTES = 32_000_000
"""A picture ends within this many bytes of its file; what follows is not read."""
MOST_PARTS = 10_000
"""Segments or chunks that a file may have up to the picture's end; photographs have 300."""

_BLOCK = 8
_COEFFICIENTS = 64
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_OTHER_FRAMES = {0xC3, *range(0xC5, 0xD0)} - {0xC8, 0xCC}
"""Lossless, hierarchical and arithmetic JPEGs: no camera makes them, and one byte of an arithmetic
one can stand for any number of pixels."""
_DHT, _SOI, _EOI, _SOS, _DQT, _DRI = 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD
_JFIF, _EXIF, _ADOBE = (0xE0, b"JFIF\0"), (0xE1, b"Exif\0\0"), (0xEE, b"Adobe")
_NO_MARKER = np.zeros(256, bool)
_NO_MARKER[[0x00, 0x01, *range(0xD0, 0xD8), 0xFF]] = True
"""Bytes that, after 0xFF, are no marker: a stuffed byte, a restart within a scan, or fill."""

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_COLOURS = 3 * 256
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By PNG colour type: grey, RGB, palette, grey with alpha, RGB with alpha."""

# Seconds, measured on one core of a computer; a Pi Zero takes about 25 times as long.
# `python -m tests.proofs.worst_pictures` measures what files really take.
_PER_SCAN = 50e-6
_PER_BLOCK_OF_SCAN = 20e-9
_PER_COEFFICIENT_OF_SCAN = 1.2e-9
_PER_BLOCK = 70e-9
_PER_BYTE_OF_SCAN = 25e-9
_PER_BYTE_OF_PNG = 8e-9
_PER_BYTE_INFLATED = 10e-9


class PictureFile(NamedTuple):
    """A file stripped to its picture, and what decoding it takes.

    `data` is a file of `form`, as Pillow names it; `size` is (width, height) in pixels;
    `orientation` is EXIF's, 1…8, 1 for upright. Decoding takes `seconds` on one core of a computer,
    and memory: `fixed_bytes`, and `pixel_bytes` for every pixel that is left after the reduction (a
    JPEG can be reduced while it is decoded, the others cannot).
    """

    form: str
    data: bytes
    size: tuple[int, int]
    orientation: int
    seconds: float
    fixed_bytes: int
    pixel_bytes: int

    def pixels(self, reduction: int) -> int:
        """Return how many pixels are left after a reduction by a factor."""
        width, height = (-(-side // reduction) for side in self.size)
        return width * height

    def memory(self, reduction: int) -> int:
        """Return the bytes that decoding takes, the file's and the grey frame's included."""
        return len(self.data) + self.fixed_bytes + self.pixels(reduction) * (self.pixel_bytes + 1)


def read_picture_file(chunks: Iterable[bytes], name: str) -> PictureFile:
    """Return the picture of a file that comes in chunks; reads no more of them than needed.

    `name` is what an error calls it. Raises PictureError for a kind that is not read, and if the
    picture does not end within MOST_BYTES or MOST_PARTS.
    """
    raw = bytearray()
    for chunk in chunks:
        raw += chunk
        if len(raw) > MOST_BYTES:
            del raw[MOST_BYTES:]
            break
    if raw.startswith(b"\xff\xd8\xff"):
        parse = _read_jpeg
    elif raw.startswith(_PNG):
        parse = _read_png
    else:
        parse = _read_other
    try:
        return parse(raw, name)
    except PictureError:
        raise
    except (LookupError, ValueError, ZeroDivisionError, struct.error):
        raise PictureError(f"{name}: the picture is damaged (its header is cut off)") from None


def _read_other(raw: bytearray, name: str) -> PictureFile:
    read = find_reader(raw)
    if read is None:
        raise PictureError(describe_unknown(raw, name))
    _check_whole(raw, name)
    form, data, size, orientation, pixel_bytes = file = read(raw, name)
    return PictureFile(form, data, size, orientation, file.seconds, len(data), pixel_bytes)


class _JpegFrame(NamedTuple):
    """A JPEG's frame header.

    `size` is (width, height); `blocks` counts the 8×8 blocks of each component, by its id;
    `row_bytes` is the memory of one row of MCUs (the minimum coded units of ITU-T T.81).
    """

    size: tuple[int, int]
    progressive: bool
    blocks: dict[int, int]
    row_bytes: int

    @classmethod
    def of(cls, segment: memoryview) -> "_JpegFrame":
        height, width = read_int(segment, 5, 2), read_int(segment, 7, 2)
        parts = [segment[10 + 3 * each : 13 + 3 * each] for each in range(segment[9])]
        across, down = [part[1] >> 4 for part in parts], [part[1] & 15 for part in parts]
        # Whole MCUs: in each, a component has as many blocks as its sampling factors say.
        units = -(-width // (_BLOCK * max(across))) * -(-height // (_BLOCK * max(down)))
        blocks = {part[0]: units * x * y for part, x, y in zip(parts, across, down, strict=True)}
        # One row of MCUs is decoded and upsampled at a time.
        row_bytes = 2 * len(parts) * width * _BLOCK * max(down)
        return cls((width, height), segment[1] == _PROGRESSIVE, blocks, row_bytes)


def _read_jpeg(raw: bytearray, name: str) -> PictureFile:
    view, parts, at = memoryview(raw), [memoryview(b"\xff\xd8")], 2
    colour_segments: dict[int, memoryview] = {}
    frame, orientation, scans, multiscan, seconds = None, 1, 0, False, 0.0
    for _ in range(MOST_PARTS):
        at = _next_marker(raw, at)
        if at == len(raw):
            _check_whole(raw, name)
            break
        code = raw[at + 1]
        if code == _EOI:
            parts.append(view[at : at + 2])
            break
        end = at + 2 + read_int(view, at + 2, 2)
        segment = view[at:end]
        if end < at + 4 or end > len(raw):
            _check_whole(raw, name)
            raise PictureError(f"{name}: the picture is damaged (it is cut off)")
        if code in _OTHER_FRAMES:
            raise PictureError(
                f"{name}: a lossless, hierarchical or arithmetic JPEG is not read: save it as a "
                "common JPEG"
            )
        if code in (_BASELINE, _EXTENDED, _PROGRESSIVE):
            if frame is not None:
                raise PictureError(f"{name}: the picture is damaged (it has two frames)")
            frame = _JpegFrame.of(segment)
            parts += [*colour_segments.values(), segment]
        elif code == _SOS and frame is not None:
            ids = [segment[5 + 2 * each] for each in range(segment[4])]
            if not scans:
                multiscan = frame.progressive or len(ids) < len(frame.blocks)
            scans += 1
            stop = _next_marker(raw, end)
            parts.append(view[at:stop])
            band = _COEFFICIENTS
            if frame.progressive:
                band = max(1, segment[-2] - segment[-3] + 1)
            scanned = sum(frame.blocks.get(each, 0) for each in ids)
            seconds += _PER_SCAN
            seconds += scanned * (_PER_BLOCK_OF_SCAN + band * _PER_COEFFICIENT_OF_SCAN)
            if not multiscan and stop < len(raw):
                # The picture is complete: another one, or a film, may follow.
                parts.append(memoryview(b"\xff\xd9"))
                break
            end = stop
        elif code in (_DQT, _DHT, _DRI):
            parts.append(segment)
        elif code == _EXIF[0] and segment[4:10] == _EXIF[1] and orientation == 1:
            orientation = read_orientation(segment[10:])
        elif (code, bytes(segment[4:9])) in (_JFIF, _ADOBE):
            # They say how the components make colours.
            colour_segments[code] = segment
        at = end
    else:
        raise PictureError(_too_many_parts(name))
    if frame is None:
        raise PictureError(f"{name}: the picture is damaged (it has no frame)")
    blocks = sum(frame.blocks.values())
    data = b"".join(parts)
    return PictureFile(
        form="JPEG",
        data=data,
        size=frame.size,
        orientation=orientation,
        seconds=seconds + blocks * _PER_BLOCK + len(data) * _PER_BYTE_OF_SCAN,
        # A picture in several scans keeps all its coefficients, 16 bits each, until it is decoded.
        fixed_bytes=frame.row_bytes + multiscan * blocks * _COEFFICIENTS * 2,
        # CMYK is decoded in its four channels; of all others only the luminance.
        pixel_bytes=4 if len(frame.blocks) == 4 else 1,
    )


def _next_marker(raw: bytearray, at: int) -> int:
    """Return the position of the next marker from `at` on, or the end."""
    step = 4096
    while at < len(raw) - 1:
        # In growing steps: most markers are near, but a scan's data take megabytes.
        piece = np.frombuffer(raw, np.uint8, min(step, len(raw) - at), at)
        markers = np.flatnonzero((piece[:-1] == 0xFF) & ~_NO_MARKER[piece[1:]])
        if len(markers):
            return at + int(markers[0])
        at += len(piece) - 1
        step = min(2 * step, 1 << 18)
    return len(raw)


def _read_png(raw: bytearray, name: str) -> PictureFile:
    view, at = memoryview(raw), len(_PNG)
    headers: dict[bytes, memoryview] = {}
    compressed: list[memoryview] = []
    orientation, ended = 1, False
    for _ in range(MOST_PARTS):
        size, kind = read_int(view, at, 4), bytes(view[at + 4 : at + 8])
        chunk = view[at : at + 12 + size]
        if kind == b"IDAT":
            compressed.append(chunk[8 : 8 + size])
        elif kind == b"eXIf":
            orientation = read_orientation(chunk[8:-4])
        elif kind in (b"IHDR", b"PLTE", b"tRNS") and size <= _MOST_COLOURS:
            headers.setdefault(kind, chunk)
        at += 12 + size
        ended = kind == b"IEND"
        if ended or at >= len(raw):
            break
    else:
        raise PictureError(_too_many_parts(name))
    if not ended:
        _check_whole(raw, name)
    if b"IHDR" not in headers or len(headers[b"IHDR"]) < 25:
        raise PictureError(f"{name}: the picture is damaged (it has no header)")
    header = headers[b"IHDR"]
    width, height = read_int(header, 8, 4), read_int(header, 12, 4)
    depth, channels = header[16], _CHANNELS.get(header[17], 4)
    row = -(-width * depth * channels // 8) + 1
    data = b"".join(
        [_PNG, *_header_chunks(headers), *_join_idat(compressed), _IEND if ended else b""]
    )
    return PictureFile(
        form="PNG",
        data=data,
        size=(width, height),
        orientation=orientation,
        seconds=row * height * _PER_BYTE_INFLATED + len(data) * _PER_BYTE_OF_PNG,
        # Pillow keeps a pointer to each row.
        fixed_bytes=4 * row + 16 * height,
        # A grey or palette pixel takes one byte, any other four.
        pixel_bytes=1 if channels == 1 and depth <= 8 else 4,
    )


def _header_chunks(headers: dict[bytes, memoryview]) -> list[memoryview]:
    return [headers[kind] for kind in (b"IHDR", b"PLTE", b"tRNS") if kind in headers]


def _join_idat(compressed: list[memoryview]) -> list[bytes | memoryview]:
    """Return the compressed data of all IDAT chunks as one chunk."""
    kind, check = b"IDAT", zlib.crc32(b"IDAT")
    for each in compressed:
        check = zlib.crc32(each, check)
    size = sum(map(len, compressed))
    return [size.to_bytes(4, "big"), kind, *compressed, check.to_bytes(4, "big")]


_IEND = b"\0\0\0\0IEND" + zlib.crc32(b"IEND").to_bytes(4, "big")


def _check_whole(raw: bytearray, name: str) -> None:
    """Raise PictureError if the file goes on beyond MOST_BYTES."""
    if len(raw) >= MOST_BYTES:
        raise PictureError(
            f"{name}: the picture does not end within {MOST_BYTES / 1e6:g} MB: make it smaller"
        )


def _too_many_parts(name: str) -> str:
    return f"{name}: the file has more than {MOST_PARTS:,} parts: save the picture anew"
