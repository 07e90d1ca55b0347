import io
import json
import os
import platform
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from appliance.errors import PictureError
from appliance.picture import (
    MOST_FRAME,
    MOST_MEMORY,
    PictureQueue,
    open_picture,
    picture_from_bytes,
    picture_from_chunks,
    pictures_in,
)
from appliance.storage.picture_check import MOST_BYTES, read_picture_file
from tests import hostile_pictures as hostile

ROOT = Path(__file__).parent.parent

# Dark in the upper left corner, so that a turn can be seen.
CORNER = np.full((40, 60), 200, np.uint8)
CORNER[:10, :10] = 20


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def grey_of(data: bytes) -> np.ndarray:
    return picture_from_bytes(data, "it", at=0).grey


def test_a_grey_picture_is_unchanged() -> None:
    frame = picture_from_bytes(encoded(Image.fromarray(CORNER)), "it", at=5.0)
    np.testing.assert_array_equal(frame.grey, CORNER)
    assert (frame.size, frame.at) == ((60, 40), 5.0)


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (4, (-1, 0))]
    + [(5, (0, 0)), (6, (0, -1)), (7, (-1, -1)), (8, (-1, 0))],
)
def test_exif_orientation_is_honoured(orientation: int, corner: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    frame = picture_from_bytes(
        encoded(Image.fromarray(CORNER), "JPEG", quality=95, exif=exif), "it", at=0
    )
    assert frame.grey.shape == ((40, 60) if orientation < 5 else (60, 40))
    assert frame.size == frame.grey.shape[::-1]
    dark = [place for place in ((0, 0), (0, -1), (-1, 0), (-1, -1)) if frame.grey[place] < 100]
    assert dark == [corner]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "CMYK"])
def test_every_kind_of_picture_becomes_grey(mode: str) -> None:
    image = Image.fromarray(CORNER)
    if mode == "I;16":
        image = Image.fromarray(CORNER.astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    grey = grey_of(encoded(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert grey.dtype == np.uint8
    assert grey.shape == (40, 60)
    assert grey[3, 3] < 60 < 150 < grey[30, 50]


def test_transparency_becomes_white_paper() -> None:
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.putpixel((5, 5), (0, 0, 0, 255))
    grey = grey_of(encoded(image))
    assert grey[0, 0] == 255
    assert grey[5, 5] == 0


def test_light_strokes_on_a_transparent_ground_become_a_slate() -> None:
    alpha = Image.fromarray(255 - CORNER)
    image = Image.new("RGBA", alpha.size, (255, 255, 255, 0))
    image.putalpha(alpha.point(lambda value: 255 if value > 200 else 0))
    grey = grey_of(encoded(image))
    assert (grey[3, 3], grey[30, 50]) == (255, 0)


def test_a_light_picture_with_transparent_corners_stays_on_white() -> None:
    image = Image.fromarray(CORNER).convert("RGBA")
    image.putpixel((59, 39), (0, 0, 0, 0))
    assert grey_of(encoded(image))[39, 59] == 255


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_that_use_eight_are_as_bright_as_eight(form: str) -> None:
    image = Image.fromarray(CORNER.astype(np.uint16))
    np.testing.assert_array_equal(grey_of(encoded(image, form)), CORNER)


OTHERS: dict[tuple[str, str], list[dict[str, object]]] = {
    **{("BMP", mode): [{}] for mode in ("1", "L", "P", "RGB", "RGBA")},
    **{("GIF", mode): [{}, {"interlace": 1}] for mode in ("L", "P", "RGB")},
    **{("WEBP", mode): [{"lossless": True}, {"quality": 90}] for mode in ("L", "RGB", "RGBA")},
    **{
        ("TIFF", mode): [
            {"compression": kind} for kind in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")
        ]
        for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16")
    },
    ("TIFF", "1 by fax"): [{"compression": "group4"}],
}


@pytest.mark.parametrize(("form", "mode"), OTHERS)
def test_webp_bmp_gif_and_tiff_are_read_too(form: str, mode: str) -> None:
    image = Image.fromarray(CORNER)
    if mode == "I;16":
        image = Image.fromarray(CORNER.astype(np.uint16) * 257)
    else:
        image = image.convert(mode.split()[0])
    for options in OTHERS[form, mode]:
        frame = picture_from_bytes(encoded(image, form, **options), "it", at=0)
        assert frame.size == (60, 40)
        assert frame.grey[3, 3] < 60 < 150 < frame.grey[30, 50]


@pytest.mark.parametrize("form", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_picture_of_several_is_read(form: str) -> None:
    first, second = Image.fromarray(CORNER), Image.fromarray(CORNER[::-1, ::-1])
    grey = grey_of(encoded(first, form, save_all=True, append_images=[second] * 3))
    assert grey[3, 3] < 60 < 150 < grey[-3, -3]


@pytest.mark.parametrize("form", ["WEBP", "TIFF"])
def test_the_orientation_of_the_others_is_honoured(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    frame = picture_from_bytes(encoded(Image.fromarray(CORNER), form, exif=exif), "it", at=0)
    assert (frame.size, frame.grey.shape) == ((40, 60), (60, 40))
    assert frame.grey[3, -3] < 60


def test_pillow_gets_a_tiff_without_what_decoding_needs_not() -> None:
    data = encoded(Image.fromarray(CORNER), "TIFF", description="secret", software="secret" * 1000)
    with Image.open(io.BytesIO(read_picture_file([data], "it").data)) as image:
        assert not {270, 305} & set(image.tag_v2)


def test_a_large_photograph_is_decoded_smaller_and_keeps_its_own_size() -> None:
    frame = picture_from_bytes(encoded(Image.new("RGB", (4000, 3200)), "JPEG"), "it", at=0)
    assert frame.size == (4000, 3200)
    assert frame.grey.shape == (1600, 2000)


@pytest.mark.slow
def test_what_costs_too_much_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(Image, "open", never)
    for data in COSTLY.values():
        with pytest.raises(PictureError, match=r"in such a file cost \d+\.\d times"):
            grey_of(data())


COSTLY = {
    "pixels": lambda: hostile.png(30_000, 30_000, 1, 0),
    "rows": lambda: hostile.png(2, 6_249_999, 1, 0),
    "a frame": lambda: hostile.png(4100, 4000, 1, 0),
    "coefficients": lambda: hostile.jpeg(5000, 3500, hostile.COLOUR, each=True),
    "coefficients of a progressive one": lambda: hostile.progressive(7000, 5000, 1),
    "scans": lambda: hostile.progressive(3528, 3528, 200),
    "refinements": lambda: hostile.progressive(2000, 2000, 1000, refine=True),
    "blocks": lambda: hostile.jpeg(65_500, 20_000),
}


def test_a_thin_picture_and_one_of_four_colours_are_decoded_reduced() -> None:
    assert grey_of(hostile.jpeg(65_500, 300)).size < MOST_FRAME
    assert grey_of(hostile.jpeg(6000, 4800, hostile.CMYK)).shape == (2400, 3000)


@pytest.mark.slow
def test_a_hostile_file_is_read_or_refused_within_its_bound() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EACH_HOSTILE], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    peaks = json.loads(done.stdout)
    assert len(peaks) > 40
    # The file's bytes, as they come and without what is left out, and Pillow itself.
    assert {name: peak for name, peak in peaks.items() if peak > MOST_MEMORY + 8e6} == {}


EACH_HOSTILE = """
import json
from contextlib import suppress
from appliance.errors import PictureError
from appliance.picture import picture_from_bytes
from tests import hostile_pictures as hostile

def memory(what):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(each.split()[1]) * 1024 for each in lines if each.startswith(what))

picture_from_bytes(hostile.jpeg(64, 64), "it")
peaks = {}
for name, make in (hostile.known_attacks() | hostile.other_attacks()).items():
    # Those that take seconds to make are tests/proofs/worst_pictures.py's alone.
    if any(each in name for each in ("60 MB", "gigabyte", "noise", "5,000,000")):
        continue
    data = make()
    open("/proc/self/clear_refs", "w").write("5")
    before = memory("VmRSS")
    with suppress(PictureError):
        picture_from_bytes(data, "it")
    peaks[name] = memory("VmHWM") - before
print(json.dumps(peaks))
"""
"""Prints how much more memory than before each took at most."""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_with_the_services_malloc_settings_memory_of_pictures_is_freed() -> None:
    unit = (ROOT / "systemd" / "digits.service").read_text().splitlines()
    given = [line.split("=", 1)[1] for line in unit if line.startswith("Environment=MALLOC_")]
    assert len(given) == 3
    environment = {**os.environ, **dict(each.split("=", 1) for each in given)}
    done = subprocess.run(
        [sys.executable, "-c", SERVED], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stderr
    # Left to itself glibc has a hundred megabytes and more here.
    assert int(done.stdout) < 12e6


SERVED = """
import threading, queue
from appliance.picture import picture_from_bytes
from tests import hostile_pictures as hostile
def resident():
    lines = open('/proc/self/status').read().splitlines()
    return next(int(each.split()[1]) * 1024 for each in lines if 'VmRSS' in each)
asked, done, kept = queue.Queue(), queue.Queue(), []
def serve():
    for data in iter(asked.get, None):
        size = picture_from_bytes(data, 'it').size
        kept.append(bytearray(200_000))
        done.put(size)
threads = [threading.Thread(target=serve) for _ in range(4)]
for thread in threads: thread.start()
files = [hostile.jpeg(side, side, hostile.COLOUR) for side in (200, 1000, 2000, 3000, 3199)]
files.append(hostile.progressive(3500, 3500, 1))
files.append(hostile.png(3400,3400,8,2))
for _ in range(4): asked.put(files[0])
for _ in range(4): done.get()
before = resident()
for data in files * 4:
    asked.put(data); done.get()
print(resident() - before - 200_000 * len(files) * 4)
for _ in threads: asked.put(None)
"""
"""Threads that stay decode pictures of all sizes; prints what the process has more afterwards."""


def test_pillow_gets_nothing_but_the_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(CORNER)
    data = encoded(image, "JPEG", exif=exif, comment=b"secret", icc_profile=b"secret" * 30_000)
    file = read_picture_file([data], "it")
    assert (file.orientation, file.size) == (6, (60, 40))
    assert b"secret" not in file.data
    assert len(file.data) < 2000
    info = PngInfo()
    for place in range(50):
        info.add_text(f"k{place}", "secret", zip=place % 2 == 0)
    file = read_picture_file([encoded(image, pnginfo=info)], "it")
    assert file.data.count(b"IDAT") == 1
    assert b"tEXt" not in file.data
    np.testing.assert_array_equal(grey_of(encoded(image, pnginfo=info)), CORNER)


def test_a_png_is_turned_as_its_exif_says_wherever_that_stands() -> None:
    data = encoded(Image.fromarray(CORNER))
    exif = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"
    assert grey_of(data[:-12] + chunk(b"eXIf", exif) + data[-12:]).shape == (60, 40)


def test_what_follows_a_picture_is_not_read() -> None:
    data = encoded(Image.fromarray(CORNER), "JPEG")

    def chunks() -> Iterator[bytes]:
        yield data + b"a film" * 1000
        for _ in range(MOST_BYTES // 1_000_000):
            yield bytes(1_000_000)
        raise AssertionError("more is asked for than a picture has")

    assert picture_from_chunks(chunks(), "it", at=0).grey.shape == (40, 60)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (lambda: hostile.jpeg(64, 64, marker=0xC9), "arithmetic JPEG is not read"),
        (
            lambda: hostile.insert(hostile.jpeg(64, 64), hostile.DQT * 11_000),
            "10,000 parts",
        ),
        (lambda: hostile.animated(11_000), "10,000 parts"),
        (lambda: hostile.jpeg(64, 64)[:-2] + bytes(MOST_BYTES), "not end within 32 MB"),
        (lambda: hostile.jpeg(64, 64, marker=0xC1, bits=12), "Pillow reads no such JPEG here"),
        (lambda: hostile.tiff(64, 64, compression=7), "TIFF with a JPEG in it is not read"),
        (lambda: hostile.tiff(64, 64, tile=(65_520, 65_520)), "a tile is larger"),
        (lambda: hostile.tiff(64, 64, strips=300_000), "cut off"),
        (lambda: hostile.bmp(64, 64, compression=1), "a packed BMP is not read"),
        (lambda: b"GIF89a" + b"\x10\0\x10\0\0\0\0" + b"!\xfe\1x\0" * 300_000, "has no frame"),
        (lambda: b"\0\0\0\x18ftypheic" + bytes(99), "a HEIC picture is not read: save or share it"),
        (lambda: b"\0\0\0\x18ftypavif" + bytes(99), "a AVIF picture is not read"),
        (lambda: b"%PDF-1.7", "not a JPEG, PNG, WebP, BMP, GIF or TIFF picture"),
        (
            lambda: hostile.insert(hostile.jpeg(8, 8), hostile.frame(0xC0, 9, 9, [(1, 1)])),
            "two fra",
        ),
        (
            lambda: hostile.insert(hostile.jpeg(8, 8), hostile.frame(0xC0, 9, 9, [])),
            "cut off",
        ),
        (
            lambda: hostile.insert(hostile.jpeg(8, 8), hostile.frame(0xC0, 9, 9, [(0, 0)])),
            "cut off",
        ),
    ],
)
def test_an_unsupported_kind_is_refused_with_its_reason(
    data: Callable[[], bytes], error: str
) -> None:
    with pytest.raises(PictureError, match=error):
        grey_of(data())


@pytest.mark.slow
def test_random_headers_give_a_picture_or_an_error() -> None:
    for data in hostile.mutate_headers(300, seed=7):
        with suppress(PictureError):
            assert grey_of(data).size <= MOST_FRAME


def test_pictures_get_their_turn_one_at_a_time_in_order_of_arrival() -> None:
    queue, came, threads = PictureQueue(), [], []

    def wait(place: int) -> None:
        with queue.turn():
            came.append(place)

    with queue.turn() as granted:
        assert granted
        for place in range(5):
            threads.append(threading.Thread(target=wait, args=(place,)))
            threads[-1].start()
            while queue.pending < place + 2:
                pass
        with queue.turn(timeout=0) as granted:
            assert not granted
        assert came == []
    for thread in threads:
        thread.join()
    assert came == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="it"), queue.turn():
        raise ValueError("it")
    with queue.turn(timeout=0) as granted:
        assert granted


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    return encoded(Image.fromarray(CORNER), "JPEG", exif=exif)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(with_exif()) - 1), st.integers(1, 255))
def test_a_damaged_byte_gives_a_picture_or_an_error(position: int, change: int) -> None:
    data = bytearray(with_exif())
    data[position] ^= change
    try:
        frame = picture_from_bytes(bytes(data), "it", at=0)
    except PictureError:
        return
    assert frame.grey.dtype == np.uint8
    assert frame.grey.ndim == 2


@pytest.mark.parametrize("cut", [0, 1, 8, 40, 60])
def test_a_truncated_picture_is_refused(cut: int) -> None:
    with pytest.raises(PictureError, match=r"not a JPEG, PNG, .* picture|damaged"):
        grey_of(encoded(Image.fromarray(CORNER))[:cut])


def test_a_single_row_of_pixels_is_refused() -> None:
    with pytest.raises(PictureError, match="1×40 pixels are no picture"):
        grey_of(encoded(Image.fromarray(CORNER[:, :1])))


def test_files_that_cannot_be_opened_raise_what_the_system_says(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_picture(tmp_path / "none.jpg", "none.jpg")
    with pytest.raises(IsADirectoryError):
        open_picture(tmp_path, "a folder")


def test_a_folder_lists_its_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt", "c.jpeg"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "d.png")  # opening it would wait for ever
    assert [path.name for path in pictures_in(tmp_path)] == ["a.jpg", "b.PNG", "c.jpeg"]
