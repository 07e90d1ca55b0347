"""Computes what decoding a WebP, BMP, GIF or TIFF will cost, and strips the file to its picture.

Each reader returns what is left of a file, its size in pixels, its EXIF orientation, and the bytes
that decoding takes for each pixel. It raises PictureError for a kind that is not read, and
IndexError or ValueError for a header that is cut off.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from appliance.errors import PictureError

MOST_CHUNKS = 200_000
"""Chunks, blocks, or strips that a file may have up to the picture's end."""
MOST_TIFF_ENTRIES = 100
_SECONDS_PER_PIXEL_BYTE = 10e-9
"""One core of a computer takes no longer for a byte of a pixel in any of these."""


class OtherPicture(NamedTuple):
    """A file of `form`, as Pillow names it, and what decoding it takes; see PictureFile."""

    form: str
    data: bytes
    size: tuple[int, int]
    orientation: int
    pixel_bytes: int

    @property
    def seconds(self) -> float:
        """How long decoding takes on one core of a computer."""
        width, height = self.size
        return width * height * self.pixel_bytes * _SECONDS_PER_PIXEL_BYTE


def find_reader(raw: bytearray) -> Callable[[bytearray, str], OtherPicture] | None:
    """Return the function that reads a file, by its first bytes; None for an unknown kind."""
    if raw.startswith(b"BM"):
        return _read_bmp
    if raw.startswith((b"GIF87a", b"GIF89a")):
        return _read_gif
    if raw.startswith((b"II*\0", b"MM\0*")):
        return _read_tiff
    if raw.startswith(b"RIFF") and bytes(raw[8:12]) == b"WEBP":
        return _read_webp
    return None


def describe_unknown(raw: bytearray, name: str) -> str:
    """Return the sentence for a file of an unknown kind, with the way out."""
    if raw[4:8] == b"ftyp":
        kind = "AVIF" if bytes(raw[8:12]) in (b"avif", b"avis") else "HEIC"
        return (
            f"{name}: a {kind} picture is not read: save or share it as JPEG (on an iPhone: "
            "Settings, Camera, Formats, Most Compatible)"
        )
    return f"{name}: not a JPEG, PNG, WebP, BMP, GIF or TIFF picture"


def _read_bmp(raw: bytearray, name: str) -> OtherPicture:
    (header,) = struct.unpack_from("<I", raw, 14)
    if header == 12:
        width, height = struct.unpack_from("<HH", raw, 18)
        compression = 0
    else:
        width, height, _, _, compression = struct.unpack_from("<iiHHI", raw, 18)
    if compression not in (0, 3, 6):
        # Pillow unpacks these byte by byte in Python.
        raise PictureError(f"{name}: a packed BMP is not read: save it as PNG")
    return OtherPicture("BMP", bytes(raw), (max(0, width), abs(height)), 1, 4)


def _read_gif(raw: bytearray, name: str) -> OtherPicture:
    """Read the first picture of a GIF: what follows, a film or a comment, is left out."""
    width, height, flags = struct.unpack_from("<HHB", raw, 6)
    at = 13 + _colour_bytes(flags)
    parts, control = [bytes(raw[:at])], b""
    for _ in range(MOST_CHUNKS):
        kind = raw[at]
        if kind == 0x21:
            end = _end_of_blocks(raw, at + 2)
            if raw[at + 1] == 0xF9:
                control = bytes(raw[at:end])
            at = end
        elif kind == 0x2C:
            left, top, across, down, flags = struct.unpack_from("<HHHHB", raw, at + 1)
            # One byte more says how many bits a code has.
            end = _end_of_blocks(raw, at + 11 + _colour_bytes(flags), cut=True)
            parts += [control, bytes(raw[at:end]), b"\0;"]
            size = max(width, left + across), max(height, top + down)
            return OtherPicture("GIF", b"".join(parts), size, 1, 6)
        else:
            break
    raise PictureError(f"{name}: the picture is damaged (it has no frame)")


def _colour_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _end_of_blocks(raw: bytearray, at: int, *, cut: bool = False) -> int:
    """Return where a GIF's sub-blocks end; with `cut` they may end with the file."""
    for _ in range(MOST_CHUNKS):
        if at >= len(raw) or not raw[at]:
            break
        at += raw[at] + 1
    else:
        raise ValueError("too many blocks")
    if at >= len(raw) and not cut:
        raise IndexError(at)
    return min(at + 1, len(raw))


def _read_webp(raw: bytearray, name: str) -> OtherPicture:
    size, orientation, at = None, 1, 12
    for _ in range(MOST_CHUNKS):
        if at + 8 > len(raw):
            break
        kind, (length,) = bytes(raw[at : at + 4]), struct.unpack_from("<I", raw, at + 4)
        body = at + 8
        if size is None and kind == b"VP8X":
            size = (_read_24_bits(raw, body + 4) + 1, _read_24_bits(raw, body + 7) + 1)
        elif size is None and kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", raw, body + 6)
            size = width & 0x3FFF, height & 0x3FFF
        elif size is None and kind == b"VP8L":
            (bits,) = struct.unpack_from("<I", raw, body + 1)
            size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind == b"EXIF":
            tiff = memoryview(raw)[body : body + length]
            orientation = read_orientation(tiff[6:] if bytes(tiff[:6]) == b"Exif\0\0" else tiff)
        at = body + length + (length & 1)
    if size is None:
        raise PictureError(f"{name}: the picture is damaged (it has no frame)")
    # libwebp keeps two canvases, and what it unpacks; Pillow copies twice. All are RGBA.
    return OtherPicture("WEBP", bytes(raw), size, orientation, 20)


def _read_24_bits(raw: bytearray, at: int) -> int:
    if at + 3 > len(raw):
        raise IndexError(at)
    return int.from_bytes(raw[at : at + 3], "little")


_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
_ORIENTATION, _ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 274, 278, 322, 323
_KEPT = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT),
    *(262, 266, 273, 279, 284, 292, 293, 317, 320, 324, 325, 338, 339),
}
"""Tags that decoding needs: photometric interpretation, fill order, offsets and byte counts of
strips and tiles, planes, options of fax, predictor, palette, extra samples, sample format."""
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_COMPRESSIONS = {1, 2, 3, 4, 5, 8, 32773, 32946}
"""None, fax, LZW, Deflate and PackBits; a JPEG within a TIFF makes claims of its own."""


def _read_tiff(raw: bytearray, name: str) -> OtherPicture:
    """Read the first picture of a TIFF: its directory is written anew, with few tags."""
    order = "<" if raw[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", raw, 4)
    (count,) = struct.unpack_from(f"{order}H", raw, first)
    kept, values = [], dict[int, int]()
    for at in range(first + 2, first + 2 + 12 * min(count, MOST_TIFF_ENTRIES), 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", raw, at)
        if tag not in _KEPT | {_ORIENTATION} or kind not in _TYPE_BYTES:
            continue
        size = length * _TYPE_BYTES[kind]
        place = at + 8 if size <= 4 else struct.unpack_from(f"{order}I", raw, at + 8)[0]
        if place + size > len(raw) or length > MOST_CHUNKS:
            raise IndexError(place)
        if kind in (3, 4) and length:
            (values[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", raw, place)
        if tag in _KEPT:
            kept.append(bytes(raw[at : at + 12]))
    width, height = values[_WIDTH], values[_HEIGHT]
    if values.get(_COMPRESSION, 1) not in _COMPRESSIONS:
        raise PictureError(f"{name}: a TIFF with a JPEG in it is not read: save it as JPEG")
    samples = values.get(_SAMPLES, 1)
    if not 1 <= samples <= 5:
        raise PictureError(
            f"{name}: a TIFF of {samples} values a pixel is not read: save it as PNG"
        )
    bits = max(8, values.get(_BITS, 1)) * samples
    tile = values.get(_TILE_WIDTH, 0) * values.get(_TILE_HEIGHT, 0)
    if tile > max(1 << 20, width * height):
        raise PictureError(f"{name}: the picture is damaged (a tile is larger than the picture)")
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    data = b"".join(
        [raw[:4], struct.pack(f"{order}I", len(raw) + len(raw) % 2), raw[8:],
         bytes(len(raw) % 2), directory]
    )  # fmt: skip
    orientation = values.get(_ORIENTATION, 1)
    # A strip is unpacked whole; Pillow's own pixels have one byte, in colour four.
    pixel_bytes = (1 if bits == 8 else 4) + bits // 8
    return OtherPicture(
        "TIFF", data, (width, height), orientation if 1 <= orientation <= 8 else 1, pixel_bytes
    )


def read_orientation(tiff: memoryview) -> int:
    """Return the orientation of EXIF's first directory, 1…8; 1 where it has none."""
    order = bytes(tiff[:2])
    if order not in (b"II", b"MM"):
        return 1
    first = read_int(tiff, 4, 4, order)
    end = min(len(tiff) - 11, first + 2 + 12 * read_int(tiff, first, 2, order))
    for entry in range(first + 2, end, 12):
        if read_int(tiff, entry, 2, order) == _ORIENTATION:
            size = 2 if read_int(tiff, entry + 2, 2, order) == 3 else 4
            orientation = read_int(tiff, entry + 8, size, order)
            return orientation if 1 <= orientation <= 8 else 1
    return 1


def read_int(view: memoryview, at: int, size: int, order: bytes = b"MM") -> int:
    return int.from_bytes(view[at : at + size], "big" if order == b"MM" else "little")
