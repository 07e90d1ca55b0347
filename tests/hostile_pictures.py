"""Hostile picture files: few bytes that cost much memory or time to decode."""

import io
import os
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
from PIL import Image, ImageFile

from appliance.errors import PictureError
from appliance.picture import picture_cost

Files = dict[str, Callable[[], bytes]]
"""Functions that make the files, by their names: all files at once would take a gigabyte."""

UPLOAD = 64_000_000
"""The largest upload that the settings allow."""
_TALL = (1, 1)


# ---- JPEG ----


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


DQT = segment(0xDB, b"\0" + bytes([1] * 64))
SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def adobe(transform: int) -> bytes:
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def table(kind: int, symbol: int = 0) -> bytes:
    """Return a Huffman table of one code, a single bit 0, for one symbol."""
    return segment(0xC4, bytes([kind << 4, 1, *[0] * 15, symbol]))


def exif(orientation: int) -> bytes:
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\1" + entry + bytes(4))


def frame(
    marker: int, width: int, height: int, sampling: Sequence[tuple[int, int]], bits: int = 8
) -> bytes:
    parts = b"".join(bytes([i + 1, x << 4 | y, 0]) for i, (x, y) in enumerate(sampling))
    return segment(marker, struct.pack(">BHHB", bits, height, width, len(sampling)) + parts)


def scan(ids: Sequence[int], data: bytes, band: tuple[int, int] = (0, 63), bits: int = 0) -> bytes:
    head = bytes([len(ids)]) + b"".join(bytes([each, 0]) for each in ids) + bytes([*band, bits])
    return segment(0xDA, head) + data


def zeros(bits: int) -> bytes:
    """Return this many 0 bits, padded to whole bytes with 1 bits."""
    whole, rest = divmod(bits, 8)
    return bytes(whole) + (bytes([0xFF >> rest]) if rest else b"")


def count_blocks(width: int, height: int) -> int:
    return -(-width // 8) * -(-height // 8)


def jpeg(
    width: int,
    height: int,
    sampling: Sequence[tuple[int, int]] = (_TALL,),
    *,
    each: bool = False,
    before: bytes = b"",
    marker: int = 0xC0,
    bits: int = 8,
) -> bytes:
    """Return a grey area: all components in one scan, or `each` in its own."""
    count = len(sampling)
    most = max(x for x, _ in sampling), max(y for _, y in sampling)
    groups = -(-width // (8 * most[0])) * -(-height // (8 * most[1]))
    of = [groups * x * y for x, y in sampling]
    scans = (
        b"".join(scan([i + 1], zeros(2 * of[i])) for i in range(count))
        if each
        else scan(range(1, count + 1), zeros(2 * sum(of)))
    )
    head = frame(marker, width, height, sampling, bits)
    return SOI + before + DQT + head + table(0) + table(1) + scans + EOI


def progressive(
    width: int,
    height: int,
    scans: int,
    *,
    count: int = 1,
    band: tuple[int, int] = (1, 63),
    refine: bool = False,
) -> bytes:
    """Return a grey area in many scans, of a few bytes each, that change nothing."""
    of = count_blocks(width, height)
    run = "0" + format(0x2AAA, "014b")
    bits = run * -(-of // ((1 << 14) + 0x2AAA))
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    first = scan(range(1, count + 1), zeros(count * of), (0, 0))
    head = SOI + DQT + frame(0xC2, width, height, [_TALL] * count) + table(0) + table(1, 0xE0)
    ac = scan([1], data, band, 1 if refine else 0)
    again = scan([1], data, band, 0x10) if refine else ac
    return head + first + ac + again * (scans - 1) + EOI


def restarts(width: int, height: int) -> bytes:
    """Return a grey area with a restart after every block."""
    data = b"".join(
        b"\x3f" + bytes([0xFF, 0xD0 + i % 8]) for i in range(count_blocks(width, height))
    )
    head = DQT + frame(0xC0, width, height, [_TALL]) + table(0) + table(1)
    return SOI + head + segment(0xDD, b"\0\1") + scan([1], data[:-2]) + EOI


def insert(file: bytes, more: bytes) -> bytes:
    """Return a JPEG with further segments inserted at its beginning."""
    return SOI + more + file[2:]


def mpf(count: int) -> bytes:
    """Return the multi-picture index (MPF) of a file with `count` pictures."""
    ifd = struct.pack(">H", 3) + struct.pack(">HHI4s", 0xB000, 7, 4, b"0100")
    ifd += struct.pack(">HHII", 0xB001, 4, 1, count)
    ifd += struct.pack(">HHII", 0xB002, 7, 16 * count, 50) + bytes(4)
    entries = struct.pack(">IIIHH", 0x030000, 1000, 0, 0, 0) * count
    return segment(0xE2, (b"MPF\0MM\0*\0\0\0\x08" + ifd + entries)[:65_530])


@cache
def noise(megapixels: float, form: str, mode: str = "RGB", **options: int) -> bytes:
    """Return noise, which compresses least, as Pillow writes it."""
    side = int((megapixels * 1e6) ** 0.5)
    bands = len(Image.new(mode, (1, 1)).getbands())
    random_ = np.random.default_rng(0).integers(0, 256, (side, side, bands), np.uint8)
    file, was = io.BytesIO(), ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = 100_000_000
    Image.fromarray(random_.squeeze(), mode).save(file, form, **options)
    ImageFile.MAXBLOCK = was
    return file.getvalue()


# ---- PNG ----


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deflate_repeated(size: int, of: bytes = b"\0") -> bytes:
    packer, piece = zlib.compressobj(9), of * (1 << 20)
    parts = [packer.compress(piece[: min(size - at, 1 << 20)]) for at in range(0, size, 1 << 20)]
    return b"".join([*parts, packer.flush()])


def png(
    width: int,
    height: int,
    depth: int,
    kind: int,
    *,
    interlaced: bool = False,
    before: bytes = b"",
    after: bytes = b"",
    filter_: int = 0,
    pieces: int = 1,
) -> bytes:
    """Return an empty area; `kind` is PNG's colour type."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    size = ((width * depth * channels + 7) // 8 + 1) * height
    if interlaced:
        passes = (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)
        size = 0
        for x, y, across, down in (*passes, (0, 1, 1, 2)):
            columns, rows = -(-(width - x) // across), -(-(height - y) // down)
            if columns > 0 and rows > 0:
                size += ((columns * depth * channels + 7) // 8 + 1) * rows
    data = deflate_repeated(size)
    if filter_:
        row = (width * depth * channels + 7) // 8
        rng = np.random.default_rng(1)
        body = rng.integers(0, 4, (height, row + 1), np.uint8)
        body[:, 0] = filter_
        data = zlib.compress(body.tobytes(), 1)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    colours = chunk(b"PLTE", bytes(768)) if kind == 3 else b""
    step = -(-len(data) // pieces)
    idat = b"".join(chunk(b"IDAT", data[at : at + step]) for at in range(0, len(data), step))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + colours
        + idat
        + after
        + chunk(b"IEND", b"")
    )


def texts(kind: bytes, count: int, size: int) -> bytes:
    """Return text chunks, each of which is small and becomes `size` bytes."""
    packed = zlib.compress(bytes(size), 9)
    heads = {b"zTXt": b"k%d\0\0", b"iTXt": b"k%d\0\1\0\0\0"}
    return b"".join(chunk(kind, heads[kind] % i + packed) for i in range(count))


def animated(count: int) -> bytes:
    control = b"".join(
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", i, 10, 10, 0, 0, 1, 1, 0, 0)) for i in range(count)
    )
    return png(1000, 1000, 8, 0, before=chunk(b"acTL", struct.pack(">II", count, 0)), after=control)


# ---- BMP, GIF, WebP and TIFF ----


def bmp(width: int, height: int, *, compression: int = 0, bits: int = 24) -> bytes:
    """Return a BMP that claims to be so large; it has as many bytes as it needs, or 16 MB."""
    size = min(16_000_000, -(-width * bits // 32) * 4 * abs(height))
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, size, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + size, 0, 0, 54) + head + bytes(size)


def gif(width: int, height: int, *, screen: tuple[int, int] | None = None) -> bytes:
    """Return a GIF whose picture says that it is so large, and ends at once."""
    across, down = screen or (width, height)
    head = b"GIF89a" + struct.pack("<HHBBB", across, down, 0x80, 0, 0) + bytes(6)
    return head + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2\1\x2c\0;"


def webp(width: int, height: int, kind: bytes = b"VP8X") -> bytes:
    """Return a small WebP whose header says that it is so large."""
    file = io.BytesIO()
    Image.new("RGBA", (8, 8)).save(file, "WEBP", lossless=kind == b"VP8L")
    data = bytearray(file.getvalue())
    if kind == b"VP8X":
        head = b"\x10\0\0\0" + (width - 1).to_bytes(3, "little")
        head += (height - 1).to_bytes(3, "little")
        data[12:12] = b"VP8X" + struct.pack("<I", len(head)) + head
    else:
        at = data.index(b"VP8L") + 9
        data[at : at + 4] = struct.pack("<I", width - 1 | (height - 1) << 14)
    data[4:8] = struct.pack("<I", len(data) - 8)
    return bytes(data)


def tiff(
    width: int, height: int, *, compression: int = 8, samples: int = 1,
    tile: tuple[int, int] | None = None, strips: int = 1,
) -> bytes:  # fmt: skip
    """Return a TIFF of one Deflate strip or tile of zeros, with so many strips named."""
    data = zlib.compress(bytes(min(width * height * samples, 64_000_000)), 9)
    tags = {256: (4, width), 257: (4, height), 258: (3, 8), 259: (3, compression),
            262: (3, 1 if samples == 1 else 2), 277: (3, samples)}  # fmt: skip
    if tile:
        tags |= {322: (4, tile[0]), 323: (4, tile[1]), 324: (4, 8), 325: (4, len(data))}
    else:
        tags |= {273: (4, 8), 278: (4, height), 279: (4, len(data))}
    entries = [
        struct.pack("<HHII", tag, kind, strips if tag in (273, 279) else 1, value)
        for tag, (kind, value) in sorted(tags.items())
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


# ---- all of them ----

GREY, COLOUR, HALVED = [_TALL], [_TALL] * 3, [(2, 2), (1, 1), (1, 1)]
CMYK, ODD = [_TALL] * 4, [(1, 1), (4, 2), (1, 1)]


def known_attacks() -> Files:
    """Return the files that once crashed the appliance, and others like them."""
    small = partial(jpeg, 800, 800, COLOUR)
    far = {"thin": (65_500, 916), "square": (7_740, 7_740), "tall": (916, 65_500)}
    files: Files = {}
    for shape, size in far.items():
        for kind, sampling in (("grey", GREY), ("YCbCr", COLOUR), ("CMYK", CMYK), ("4×2", ODD)):
            before = adobe(0) if kind == "CMYK" else exif(6)
            files[f"JPEG {kind}, {shape}"] = partial(jpeg, *size, sampling, before=before)
            if kind != "grey":
                files[f"JPEG {kind}, a scan each, {shape}"] = partial(
                    jpeg, *size, sampling, each=True, before=before
                )
    files |= {
        "JPEG CMYK, 3199×18700": lambda: jpeg(3199, 18_700, CMYK, before=adobe(2) + exif(6)),
        "JPEG RGB, thin": lambda: jpeg(65_500, 916, COLOUR, before=adobe(0)),
        "JPEG 65500×65500": lambda: jpeg(65_500, 65_500),
        "JPEG 1,000 scans": lambda: progressive(3528, 3528, 1000),
        "JPEG 30,000 scans": lambda: progressive(3528, 3528, 30_000),
        "JPEG 30,000 small scans": lambda: progressive(16, 16, 30_000),
        "JPEG 9,000 small scans": lambda: progressive(16, 16, 9_000),
        "JPEG 500 refinements": lambda: progressive(3528, 3528, 500, refine=True),
        "JPEG a restart a block": lambda: restarts(7740, 7740),
        "JPEG 3,000,000 empty segments": lambda: insert(small(), segment(0xE2, b"") * 3_000_000),
        "JPEG 2,000,000 comments": lambda: insert(small(), segment(0xFE, b"x") * 2_000_000),
        "JPEG 15 MB of segments": lambda: insert(small(), segment(0xE2, b"x" * 1000) * 15_000),
        "JPEG 200,000 quantizers": lambda: insert(small(), DQT * 200_000),
        "JPEG 9,000 quantizers": lambda: insert(small(), DQT * 9_000),
        "JPEG 500,000 code tables": lambda: insert(small(), table(0) * 500_000),
        "JPEG 60 MB of 0xFF": lambda: insert(small(), b"\xff" * 60_000_000),
        "JPEG 60 MB of nothing": lambda: small()[:-2] + bytes(60_000_000),
        "JPEG 60 MB of 0xFF00": lambda: small()[:-2] + b"\xff\0" * 30_000_000 + EOI,
        "JPEG 30 MB of 0xFF00": lambda: small()[:-2] + b"\xff\0" * 15_000_000 + EOI,
        "JPEG 30 MB of restarts": lambda: small()[:-2] + b"\xff\xd0" * 15_000_000 + EOI,
        "JPEG ten thousand of them": lambda: jpeg(80, 80) * 10_000,
        "JPEG of 4,000 pictures": lambda: insert(jpeg(3000, 3000, COLOUR), mpf(4000)),
        "JPEG of two pictures, a scan each": lambda: insert(
            jpeg(3528, 3528, COLOUR, each=True), mpf(2)
        ),
        "JPEG two frames": lambda: insert(small(), frame(0xC0, 65_500, 916, CMYK)),
        "JPEG arithmetic": lambda: jpeg(7740, 7740, COLOUR, marker=0xC9),
        "JPEG arithmetic, progressive": lambda: jpeg(3528, 3528, COLOUR, marker=0xCA),
        "JPEG lossless": lambda: jpeg(7740, 7740, COLOUR, marker=0xC3),
        "JPEG 12 bits": lambda: jpeg(7740, 7740, COLOUR, marker=0xC1, bits=12),
        "JPEG height told later": lambda: insert(
            jpeg(7740, 0, COLOUR), segment(0xDC, struct.pack(">H", 60_000))
        ),
        "JPEG EXIF that leads to itself": lambda: insert(small(), exif_loop()),
        "JPEG EXIF of 5,000 entries": lambda: insert(small(), exif_many()),
        "JPEG noise, 60 MB": lambda: noise(25, "JPEG", quality=95, subsampling=0),
        "JPEG noise, 29 MB": lambda: noise(12, "JPEG", quality=95, subsampling=0),
        "JPEG noise, progressive": lambda: noise(
            9, "JPEG", quality=95, subsampling=0, progressive=1
        ),
        "JPEG noise, a restart a block": lambda: noise(
            12, "JPEG", quality=75, restart_marker_blocks=1
        ),
        "JPEG noise, CMYK": lambda: noise(12, "JPEG", "CMYK", quality=75),
        "PNG grey of 16 bits": lambda: png(3535, 3535, 16, 0),
        "PNG RGBA of 16 bits": lambda: png(3535, 3535, 16, 6),
        "PNG RGBA of 16 bits, interlaced": lambda: png(3535, 3535, 16, 6, interlaced=True),
        "PNG RGBA of 16 bits, hard to undo": lambda: png(3400, 3400, 16, 6, filter_=4),
        "PNG grey and alpha": lambda: png(3535, 3535, 16, 4, interlaced=True),
        "PNG palette, transparent": lambda: png(
            3535, 3535, 8, 3, after=chunk(b"tRNS", bytes(256))
        ),
        "PNG RGB, transparent": lambda: png(3535, 3535, 8, 2, before=chunk(b"tRNS", bytes(6))),
        "PNG 65535 wide": lambda: png(65_535, 190, 1, 0),
        "PNG 6249999×2 of a bit": lambda: png(6_249_999, 2, 1, 0),
        "PNG 2×6249999 of a bit": lambda: png(2, 6_249_999, 1, 0),
        "PNG 6249999×2 of 16 bits": lambda: png(6_249_999, 2, 16, 6),
        "PNG 30000×30000": lambda: png(30_000, 30_000, 1, 0),
        "PNG 64 zTXt": lambda: png(3535, 3535, 16, 0, before=texts(b"zTXt", 64, (1 << 20) - 1)),
        "PNG 64 iTXt": lambda: png(3535, 3535, 16, 0, before=texts(b"iTXt", 64, (1 << 20) - 1)),
        "PNG 5,000 zTXt": lambda: png(100, 100, 8, 0, before=texts(b"zTXt", 5000, (1 << 20) - 1)),
        "PNG a profile of a gigabyte": lambda: png(
            100, 100, 8, 0, before=chunk(b"iCCP", b"x\0\0" + deflate_repeated(1 << 30))
        ),
        "PNG 15 MB of texts": lambda: png(
            100, 100, 8, 0, before=chunk(b"tEXt", b"k\0" + b"x" * 1000) * 15_000
        ),
        "PNG 60 MB of a text": lambda: png(
            100, 100, 8, 0, before=chunk(b"tEXt", b"k\0" + b"x" * 60_000_000)
        ),
        "PNG EXIF of 30 MB": lambda: png(
            100, 100, 8, 0,
            before=chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff" + bytes(30_000_000)),
        ),
        "PNG 5,000,000 empty chunks": lambda: png(
            100, 100, 8, 0, before=chunk(b"tEXt", b"") * 5_000_000
        ),
        "PNG more data than pixels": lambda: png(100, 100, 8, 0)[:-12]
        + chunk(b"IDAT", os.urandom(30_000_000)) + chunk(b"IEND", b""),
        "PNG 10,000 animated": lambda: animated(10_000),
        "PNG noise, 36 MB": lambda: noise(12, "PNG", compress_level=1),
        "PNG noise, 16 MB": lambda: noise(5.3, "PNG", compress_level=1),
        "PNG noise, RGBA": lambda: noise(7.9, "PNG", "RGBA", compress_level=1),
    }  # fmt: skip
    return files


def other_attacks() -> Files:
    """Return WebP, BMP, GIF and TIFF files that claim much."""
    huge = {"square": (16_000, 16_000), "thin": (16_383, 2), "wide": (65_535, 900)}
    files: Files = {}
    for shape, size in huge.items():
        files[f"BMP, {shape}"] = partial(bmp, *size)
        files[f"GIF, {shape}"] = partial(gif, *size)
        files[f"TIFF, {shape}"] = partial(tiff, *size)
        files[f"TIFF of eight samples, {shape}"] = partial(tiff, *size, samples=8)
        if max(size) < 16_384:
            files[f"WebP, {shape}"] = partial(webp, *size)
            files[f"WebP without loss, {shape}"] = partial(webp, *size, kind=b"VP8L")
    return files | {
        "GIF beyond its screen": lambda: gif(16_000, 16_000, screen=(8, 8)),
        "GIF on a large screen": lambda: gif(8, 8, screen=(16_000, 16_000)),
        "TIFF with a large tile": lambda: tiff(64, 64, tile=(8192, 8192)),
        "TIFF with many strips": lambda: tiff(64, 64, strips=190_000) + bytes(1_600_000),
        "BMP upside down": lambda: bmp(4000, -4000),
        "BMP of one bit": lambda: bmp(30_000, 30_000, bits=1),
    }


def exif_loop() -> bytes:
    entries = struct.pack(">HHII", 0x0112, 3, 1, 6 << 16) + struct.pack(">HHII", 0x8769, 4, 1, 8)
    body = b"MM\0*\0\0\0\x08" + struct.pack(">H", 2) + entries + struct.pack(">I", 8)
    return segment(0xE1, b"Exif\0\0" + body)


def exif_many() -> bytes:
    entry = struct.pack(">HHII", 0x8769, 2, 65_000, 8)
    return segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 5000) + entry * 5000)


def ordinary_pictures() -> Files:
    """Return pictures as telephones, scanners and screens make them: all must be read."""
    return {
        "photograph, 12 MP": lambda: photograph(4032, 3024),
        "photograph, 12 MP, progressive": lambda: photograph(4032, 3024, progressive=True),
        "photograph, 50 MP": lambda: photograph(8160, 6120),
        "photograph, 50 MP, 4:4:4": lambda: photograph(8160, 6120, subsampling=0),
        "photograph, 9 MP, 4:4:4, progressive": lambda: photograph(
            3456, 2592, subsampling=0, progressive=True
        ),
        "photograph, 12 MP, CMYK": lambda: photograph(4032, 3024, "CMYK"),
        "panorama, 60 MP": lambda: photograph(18_700, 3199, "L"),
        "scan, 12 MP, PNG, grey": lambda: photograph(4032, 3024, "L", "PNG"),
        "screen, 12 MP, PNG, RGB": lambda: photograph(4032, 3024, "RGB", "PNG", flat=True),
        "screen, 12 MP, PNG, RGBA": lambda: photograph(4032, 3024, "RGBA", "PNG", flat=True),
        "photograph, 8 MP, PNG, RGB": lambda: photograph(3264, 2448, "RGB", "PNG"),
        "photograph, 2 MP, WebP": lambda: photograph(1600, 1200, "RGB", "WEBP"),
        "scan, 9 MP, TIFF, grey": lambda: photograph(3508, 2480, "L", "TIFF"),
        "scan, 9 MP, TIFF by fax": lambda: photograph(
            3508, 2480, "1", "TIFF", flat=True, compression="group4"
        ),
        "screen, 2 MP, BMP": lambda: photograph(1920, 1080, "RGB", "BMP", flat=True),
        "screen, 2 MP, GIF": lambda: photograph(1920, 1080, "RGB", "GIF", flat=True),
    }


@cache
def photograph(
    width: int, height: int, mode: str = "RGB", form: str = "JPEG", *, flat: bool = False,
    **options: int | str,
) -> bytes:  # fmt: skip
    """Return a 7 on paper with some grain."""
    from PIL import ImageDraw

    picture = Image.new("L", (width, height), 220)
    stroke, low = max(8, height // 24), height // 5
    draw, left = ImageDraw.Draw(picture), width // 2 - height // 6
    points = [(left, low), (left + height // 3, low), (left + height // 8, height - low)]
    draw.line(points, fill=30, width=stroke)
    if not flat:
        grain = np.random.default_rng(0).integers(-4, 5, (height, width), np.int16)
        picture = Image.fromarray((np.asarray(picture) + grain).astype(np.uint8))
    file, was = io.BytesIO(), ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = 100_000_000
    options |= {"quality": 90} if form in ("JPEG", "WEBP") else {}
    picture.convert(mode).save(file, form, **options)
    ImageFile.MAXBLOCK = was
    return file.getvalue()


def largest_accepted() -> Files:
    """Return the largest file of each kind that is still accepted."""
    kinds: dict[str, tuple[Callable[[int, int], bytes], int]] = {}
    for name, sampling in (("grey", GREY), ("YCbCr", COLOUR), ("4:2:0", HALVED), ("CMYK", CMYK),
                           ("4×2", ODD), ("4×4", [(1, 1), (4, 4), (1, 1)])):  # fmt: skip
        kinds[f"JPEG {name}"] = partial(jpeg, sampling=sampling), 65_500
        kinds[f"JPEG {name}, turned"] = partial(jpeg, sampling=sampling, before=exif(6)), 65_500
        if name != "grey":
            kinds[f"JPEG {name}, a scan each"] = partial(jpeg, sampling=sampling, each=True), 65_500
    for scans in (1, 10, 100):
        kinds[f"JPEG progressive, {scans}"] = partial(progressive, scans=scans), 65_500
        kinds[f"JPEG refined, {scans}"] = partial(progressive, scans=scans, refine=True), 65_500
    kinds["JPEG progressive, 3 colours"] = partial(progressive, scans=1, count=3), 65_500
    for depth, kind in ((1, 0), (8, 0), (16, 0), (8, 2), (8, 3), (8, 4), (16, 6)):
        kinds[f"PNG {kind}, {depth} bits"] = partial(png, depth=depth, kind=kind), 65_535
    kinds["PNG interlaced"] = partial(png, depth=16, kind=6, interlaced=True), 65_535
    kinds["PNG hard to undo"] = partial(png, depth=16, kind=6, filter_=4), 5000
    files: Files = {}
    for name, (make, most) in kinds.items():
        for shape, ratio in (("square", 1.0), ("thin", 60.0), ("tall", 1 / 60)):
            if name.startswith("PNG") and ratio != 1 and "16 bits" not in name:
                continue
            size = find_largest(make, ratio, most)
            files[f"largest {name}, {shape}, {size[0]}×{size[1]}"] = partial(make, *size)
    return files


def find_largest(make: Callable[[int, int], bytes], ratio: float, most: int) -> tuple[int, int]:
    """Return the largest (width, height) with which a file is accepted."""

    def size(area: float) -> tuple[int, int]:
        return int((area * ratio) ** 0.5), int((area / ratio) ** 0.5)

    low, high = 1e5, min(2.5e8, (most**2) / max(ratio, 1 / ratio))
    for _ in range(9):
        middle = (low * high) ** 0.5
        try:
            fits = picture_cost(make(*size(middle))) <= 1
        except PictureError:
            fits = False
        low, high = (middle, high) if fits else (low, middle)
    return size(low)


def valid_files() -> list[bytes]:
    """Return small valid files of all kinds, to be mutated."""
    picture = Image.effect_noise((64, 48), 40)
    files = []
    for mode in ("L", "RGB", "CMYK"):
        for options in ({}, {"progressive": True}, {"restart_marker_blocks": 1}):
            file = io.BytesIO()
            tags = Image.Exif()
            tags[0x0112] = 6
            picture.convert(mode).save(file, "JPEG", exif=tags, comment=b"a comment", **options)
            files.append(file.getvalue())
    for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16"):
        file = io.BytesIO()
        base = picture if mode != "I;16" else Image.fromarray(np.asarray(picture).astype(np.uint16))
        (base if mode == "I;16" else picture.convert(mode)).save(file, "PNG")
        files.append(file.getvalue())
    for form in ("BMP", "GIF", "WEBP", "TIFF"):
        for mode in ("L", "RGB"):
            file = io.BytesIO()
            options = {"compression": "tiff_lzw"} if form == "TIFF" and mode == "L" else {}
            picture.convert(mode).save(file, form, **options)
            files.append(file.getvalue())
    files += [png(64, 48, 16, 6, interlaced=True), animated(3), progressive(64, 48, 4, refine=True)]
    files += [jpeg(64, 48, COLOUR, each=True), insert(jpeg(64, 48, ODD), mpf(2))]
    return files


def mutate_headers(count: int, seed: int = 0) -> "list[bytes]":
    """Return `count` files with mutated headers: sizes, counts, lengths, repeated segments."""
    rng, valid, files = random.Random(seed), valid_files(), []
    extreme = (0, 1, 2, 7, 0x10, 0x40, 0x7F, 0x80, 0xC0, 0xC2, 0xC4, 0xD8, 0xDA, 0xF0, 0xFE, 0xFF)
    while len(files) < count:
        data = bytearray(rng.choice(valid))
        header = min(len(data), 700)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(2, min(header, len(data) - 2))
            kind = rng.random()
            if kind < 0.5:
                data[at] = rng.choice(extreme)
            elif kind < 0.65:
                data[at : at + 2] = struct.pack(">H", rng.choice((0, 2, 255, 4096, 8000, 65_500)))
            elif kind < 0.8:
                # The picture's own size.
                place = data.find(b"IHDR") + 4
                if place > 4:
                    data[place : place + 8] = struct.pack(
                        ">II", *(rng.choice((1, 64, 3000, 3500, 60_000)) for _ in range(2))
                    )
                    data[place + 13 : place + 17] = struct.pack(
                        ">I", zlib.crc32(data[place - 4 : place + 13])
                    )
                else:
                    place = next((data.find(b"\xff" + m) for m in (b"\xc0", b"\xc2")
                                  if data.find(b"\xff" + m) > 0), 2)  # fmt: skip
                    data[place + 5 : place + 9] = struct.pack(
                        ">HH", *(rng.choice((16, 900, 3500, 7700, 65_500)) for _ in range(2))
                    )
            elif kind < 0.9:
                end = min(len(data), at + rng.randint(2, 200))
                data[at:at] = data[at:end] * rng.choice((1, 10, 500))
            elif len(data) > 40:
                del data[at : at + rng.randint(1, 20)]
        files.append(bytes(data))
    return files
