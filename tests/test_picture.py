import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from appliance import picture
from appliance.errors import PictureError
from appliance.picture import open_picture, picture_from_bytes, pictures_in

# Dark in the upper left corner, so that a turn can be seen.
CORNER = np.full((40, 60), 200, np.uint8)
CORNER[:10, :10] = 20


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def grey_of(data: bytes) -> np.ndarray:
    return picture_from_bytes(data, "it", at=0).grey


def test_grey_stays_as_it_is() -> None:
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


def test_what_is_transparent_is_white_paper() -> None:
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.putpixel((5, 5), (0, 0, 0, 255))
    grey = grey_of(encoded(image))
    assert grey[0, 0] == 255
    assert grey[5, 5] == 0


def test_a_large_photograph_is_decoded_smaller_and_keeps_its_own_size() -> None:
    frame = picture_from_bytes(encoded(Image.new("RGB", (4000, 3200)), "JPEG"), "it", at=0)
    assert frame.size == (4000, 3200)
    assert frame.grey.shape == (1600, 2000)


def test_too_many_pixels_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picture, "MOST_PIXELS_WHOLE", 2399)
    image = Image.fromarray(CORNER)
    for data in (encoded(image), encoded(image, "JPEG", progressive=True)):
        with pytest.raises(PictureError, match="60×40 pixels are too many"):
            grey_of(data)
    # A common JPEG is decoded reduced, and may have more.
    assert grey_of(encoded(image, "JPEG")).shape == (40, 60)
    monkeypatch.setattr(picture, "MOST_PIXELS", 2399)
    with pytest.raises(PictureError, match="60×40 pixels are too many"):
        grey_of(encoded(image, "JPEG"))


def test_a_decompression_bomb_is_a_sentence() -> None:
    header = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    )
    bomb = header + chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")
    with pytest.raises(PictureError, match="too many"):
        grey_of(bomb)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    return encoded(Image.fromarray(CORNER), "JPEG", exif=exif)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(with_exif()) - 1), st.integers(1, 255))
def test_a_damaged_byte_gives_a_picture_or_a_sentence(position: int, change: int) -> None:
    data = bytearray(with_exif())
    data[position] ^= change
    try:
        frame = picture_from_bytes(bytes(data), "it", at=0)
    except PictureError:
        return
    assert frame.grey.dtype == np.uint8
    assert frame.grey.ndim == 2


@pytest.mark.parametrize("cut", [0, 1, 8, 40, 60])
def test_what_is_no_whole_picture_is_a_sentence(cut: int) -> None:
    with pytest.raises(PictureError, match=r"not a JPEG or PNG picture|damaged"):
        grey_of(encoded(Image.fromarray(CORNER))[:cut])


def test_other_formats_and_single_pixels_are_refused() -> None:
    with pytest.raises(PictureError, match="not a JPEG or PNG picture"):
        grey_of(encoded(Image.fromarray(CORNER), "GIF"))
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
