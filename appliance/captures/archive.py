"""Exports and imports captures as a plain zip: PNG pictures and one JSON line a capture.

`captures.jsonl` has the lines; `glyphs/ID.png` (28×28, 255 = ink) and `pictures/ID.png` belong to
the line with that id. An import trusts nothing: no name is used as a path, sizes are checked
before anything is unpacked, and all of it is checked before any is added.
"""

import io
import json
import math
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from appliance.captures.rescue import MAX_PICTURE_BYTES
from appliance.captures.store import SIDE, Capture, Captures, check_capture
from appliance.errors import CaptureError, StateError
from appliance.reading import Grey
from appliance.storage.zip_check import ENTRY_BYTES, directory_bytes
from model.files import decode_file

LINES = "captures.jsonl"
LONGEST_SIDE = 160
"""A picture is at most so many pixels wide and high."""

_KEYS = {"id", "at", "label", "said", "reason", "confidence", "network"}
_NAME = re.compile(r"(glyphs|pictures)/([1-9][0-9]{0,11})\.png", re.ASCII)
_FOLDERS = {"glyphs/", "pictures/"}
_NETWORK = re.compile(r"([0-9a-f]{64})?", re.ASCII)
_MAX_LINE_BYTES = 600
_MAX_REASON = 200
_MAX_GLYPH_BYTES = 4096
_MAX_CHUNKS = 10
"""Pillow writes three for pictures of this size."""


@dataclass(frozen=True)
class Imported:
    """How many captures were added, and how many were left out as known."""

    added: int
    known: int


def export_zip(captures: Captures, file: IO[bytes]) -> int:
    """Write all captures but deleted ones to a binary file; return how many."""
    return sum(file.write(part) > 0 for part in export_parts(captures)) - 1


def export_parts(captures: Captures) -> Iterator[bytes]:
    """Yield the zip of all captures but deleted ones, in parts: one for each, and the end."""
    from PIL import Image

    lines, stream = [], _ZipStream()
    with zipfile.ZipFile(stream, "w") as archive:
        for capture in captures.iter_captures():
            glyph = io.BytesIO()
            Image.fromarray(capture.glyph).save(glyph, "PNG")
            _write_member(archive, f"glyphs/{capture.id}.png", glyph.getvalue())
            _write_member(archive, f"pictures/{capture.id}.png", capture.picture)
            line = {key: getattr(capture, key) for key in _KEYS}
            lines.append(json.dumps(line, ensure_ascii=False, sort_keys=True))
            yield stream.take()
        _write_member(archive, LINES, "".join(f"{line}\n" for line in lines).encode())
    yield stream.take()


def import_zip(captures: Captures, file: IO[bytes], name: str) -> Imported:
    """Add the captures of a zip, all of them or none; known ones are left out.

    `name` is what an error calls the zip. Raises CaptureError for anything but an export,
    StateError when there is no room or the captures cannot be written.
    """
    try:
        _check_directory(file, captures.limit)
        with zipfile.ZipFile(file) as archive:
            members = _list_members(archive)
            read = [_read_capture(archive, members, line) for line in _read_lines(archive, members)]
            if len(members) != 1 + 2 * len({capture.id for capture in read}):
                raise ValueError(f"{LINES} does not have exactly one line for each picture")
            return Imported(*captures.add_all(_add_pictures(archive, members, read)))
    except StateError:
        raise
    except CaptureError as error:
        raise CaptureError(f"{name}: {error}: nothing was imported") from None
    except Exception as error:
        # zipfile, zlib, Pillow and json raise a dozen kinds for a damaged or hostile file.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error)[:200] or type(error).__name__
        raise CaptureError(
            f"{name}: not a whole export of captures ({reason}): nothing was imported; "
            "export them again where they are"
        ) from None


class _ZipStream(io.BytesIO):
    """The part of a zip that was not taken yet; zipfile seeks no further back than one member."""

    _taken = 0

    def tell(self) -> int:
        return self._taken + super().tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._taken + super().seek(offset - self._taken, whence)

    def take(self) -> bytes:
        data = self.getvalue()
        super().seek(0)
        self.truncate()
        self._taken += len(data)
        return data


def _write_member(archive: zipfile.ZipFile, member: str, data: bytes) -> None:
    # No time of day: the same captures give the same file. PNG is compressed already.
    info = zipfile.ZipInfo(member)
    info.external_attr = 0o644 << 16
    packed = zipfile.ZIP_STORED if member.endswith(".png") else zipfile.ZIP_DEFLATED
    archive.writestr(info, data, packed)


def _check_directory(file: IO[bytes], limit: int) -> None:
    """Raise ValueError for a zip whose directory, which is read whole, has too many members."""
    if directory_bytes(file) > (2 * limit + 3) * ENTRY_BYTES:
        raise ValueError(f"it has more than the {limit} captures of 'limit' under [captures]")
    file.seek(0)


def _list_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name; raises ValueError for one that no export has."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename
        if name in _FOLDERS and info.file_size == 0:
            # Another program packed it again.
            continue
        match = _NAME.fullmatch(name)
        if name != LINES and not match:
            raise ValueError(f"{name[:80]!r} does not belong in it")
        if name in members:
            raise ValueError(f"{name!r} is in it twice")
        if info.flag_bits & 1:
            raise ValueError("it is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name!r} is packed in another way")
        members[name] = info
    if LINES not in members:
        raise ValueError(f"{LINES} is not in it")
    return members


def _read_member(archive: zipfile.ZipFile, members: dict[str, Any], name: str, most: int) -> bytes:
    """Return a member of at most so many bytes, whatever its header says of its size."""
    if name not in members:
        raise ValueError(f"{name!r} is not in it")
    with archive.open(members[name]) as member:
        data = member.read(most + 1)
        if len(data) > most:
            raise ValueError(f"{name!r} has more than {most} bytes")
        # zipfile compares the checksum at the end.
        if member.read(1):
            raise ValueError(f"{name!r} is longer than it says")
    return data


def _read_lines(archive: zipfile.ZipFile, members: dict[str, Any]) -> Iterator[dict[str, Any]]:
    most = _MAX_LINE_BYTES * max(1, len(members) // 2)
    # Some write them again with Windows' editor. In bytes, as they are no lines of any other kind.
    data = decode_file(_read_member(archive, members, LINES, most)).encode()
    for number, text in enumerate(data.splitlines(), 1):
        line = json.loads(text, parse_constant=_refuse_constant)
        if not isinstance(line, dict) or set(line) != _KEYS or not _is_well_typed(line):
            raise ValueError(f"line {number} of {LINES} is not a capture's")
        yield line


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _is_well_typed(line: dict[str, Any]) -> bool:
    reason, network = line["reason"], line["network"]
    return (
        all(type(line[key]) is int for key in ("id", "label"))
        and all(type(line[key]) in (int, float) for key in ("at", "confidence"))
        and (line["said"] is None or type(line["said"]) is int)
        and (reason is None or _is_reason(reason))
        and isinstance(network, str)
        and _NETWORK.fullmatch(network) is not None
    )


def _is_reason(reason: Any) -> bool:
    # It is printed in lists, on a terminal and on the page.
    return isinstance(reason, str) and len(reason) <= _MAX_REASON and reason.isprintable()


def _read_capture(
    archive: zipfile.ZipFile, members: dict[str, Any], line: dict[str, Any]
) -> Capture:
    """Return a line's capture, checked, without its picture: memory does not hold all of them."""
    glyph_name, picture_name = f"glyphs/{line['id']}.png", f"pictures/{line['id']}.png"
    glyph = _decode_png(_read_member(archive, members, glyph_name, _MAX_GLYPH_BYTES), glyph_name)
    if glyph.shape != (SIDE, SIDE):
        raise ValueError(f"{glyph_name!r} is not 28×28")
    picture = _read_member(archive, members, picture_name, MAX_PICTURE_BYTES)
    _decode_png(picture, picture_name)
    values = {**line, "at": float(line["at"]), "confidence": float(line["confidence"])}
    capture = Capture(**values, glyph=glyph, picture=picture)
    if not math.isfinite(capture.at):
        raise ValueError("a time is no number")
    check_capture(capture)
    return capture._replace(picture=b"")


def _decode_png(data: bytes, name: str) -> Grey:
    """Return a grey PNG as uint8 (h, w); its chunks are checked before it is unpacked."""
    from PIL import Image

    _check_png(data, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if max(picture.size) > LONGEST_SIDE or picture.mode != "L":
                raise ValueError(
                    f"{name!r} is no grey picture of at most {LONGEST_SIDE} pixels a side"
                )
            return np.asarray(picture)


def _check_png(data: bytes, name: str) -> None:
    """Raise ValueError for anything but a PNG of an export: grey, small, and pixels alone.

    Other chunks, such as texts, would be unpacked too, to a thousand times their size.
    """
    side = f"at most {LONGEST_SIDE} pixels a side"
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"{name!r} is no PNG")
    kinds: list[bytes] = []
    at = 8
    while at < len(data) and len(kinds) <= _MAX_CHUNKS:
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IHDR":
            width, height, depth, colour, *_, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
            if max(width, height) > LONGEST_SIDE or (depth, colour, interlaced) != (8, 0, 0):
                raise ValueError(f"{name!r} is no grey picture of {side}")
        kinds.append(kind)
        at += 12 + size
    pixels_alone = len(kinds) > 2 and set(kinds[1:-1]) == {b"IDAT"}
    if not (pixels_alone and kinds[0] == b"IHDR" and kinds[-1] == b"IEND" and at == len(data)):
        raise ValueError(f"{name!r} is no PNG of pixels alone, as an export has them")


def _add_pictures(
    archive: zipfile.ZipFile, members: dict[str, Any], captures: list[Capture]
) -> Iterator[Capture]:
    for capture in captures:
        name = f"pictures/{capture.id}.png"
        yield capture._replace(picture=_read_member(archive, members, name, MAX_PICTURE_BYTES))
