"""A contact sheet of what was read wrongly: frame, ink, mark and 28×28 of each, and the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from appliance.reading import Reading

_WIDE, _HIGH, _GAP, _CAPTION = 220, 165, 8, 22
_COLUMNS = 2
_SIDES = _WIDE, _WIDE, _HIGH, _HIGH
_PAGE, _CELL, _TEXT = (255, 255, 255), (232, 232, 232), (20, 20, 20)
_MEANT, _OTHER = (220, 30, 30), (60, 110, 220)


@dataclass(frozen=True)
class Failure:
    """A picture that was not read as its label says: "0" to "9", or "none" for no digit."""

    file: Path
    label: str
    reading: "Reading"

    @property
    def caption(self) -> str:
        """What it is called, what it is, and what it was taken for."""
        reading = self.reading
        answer = f"refused, {reading.reason}" if reading.digit is None else str(reading.digit)
        # Pillow's own font has no arrow, and its oldest knows Latin-1 alone.
        name = f"{self.file.parent.name}/{self.file.name}".encode("ascii", "replace").decode()
        return f"{name}: {self.label} -> {answer} ({reading.confidence:.2f})"


def contact_sheet(failures: Sequence[Failure]) -> "Image.Image":
    """Return a picture with a strip for each failure, in two columns.

    On the frame the box of the mark that counts is red, those of the others are blue.
    """
    from PIL import Image, ImageDraw

    strip = sum(_SIDES) + (len(_SIDES) - 1) * _GAP
    columns = min(_COLUMNS, max(1, len(failures)))
    rows = -(-len(failures) // columns)
    down = _HIGH + _CAPTION + 2 * _GAP
    size = columns * (strip + 2 * _GAP) + (columns - 1) * _GAP, rows * down + _GAP
    page = Image.new("RGB", size, _PAGE)
    draw = ImageDraw.Draw(page)
    font = _font()
    for number, failure in enumerate(failures):
        x = _GAP + (number % columns) * (strip + 3 * _GAP)
        y = _GAP + (number // columns) * down
        draw.text((x, y + _HIGH + 3), failure.caption, fill=_TEXT, font=font)
        for side, picture in zip(_SIDES, _pictures(failure.reading), strict=True):
            draw.rectangle((x, y, x + side - 1, y + _HIGH - 1), fill=_CELL)
            if picture is not None:
                fitting = _fitted(picture, side)
                page.paste(
                    fitting, (x + (side - fitting.width) // 2, y + (_HIGH - fitting.height) // 2)
                )
            x += side + _GAP
    return page


def _pictures(reading: "Reading") -> "list[Image.Image | None]":
    """Return a reading's strip, ink dark on light but on the 28×28; None for what it has not."""
    ink, mark = (_grey(1 - array) if array is not None else None
                 for array in (reading.ink, reading.mark))  # fmt: skip
    glyph = _grey(reading.glyph) if reading.glyph is not None else None
    return [_framed(reading), ink, mark, glyph]


def _framed(reading: "Reading") -> "Image.Image | None":
    """Return the frame as large as its cell, with a box around each mark."""
    from PIL import Image, ImageDraw

    if reading.frame is None:
        return None
    picture = _fitted(Image.fromarray(reading.frame.grey), _WIDE).convert("RGB")
    width, height = reading.frame.size
    draw = ImageDraw.Draw(picture)
    boxes = [(mark.box, _OTHER) for mark in reading.marks if mark.box != reading.box]
    boxes += [(reading.box, _MEANT)] if reading.box else []
    for (x0, y0, x1, y1), colour in boxes:
        across, down = picture.width / width, picture.height / height
        right, bottom = max(x1 * across - 1, x0 * across), max(y1 * down - 1, y0 * down)
        draw.rectangle((x0 * across, y0 * down, right, bottom), outline=colour)
    return picture


def _fitted(picture: "Image.Image", width: int) -> "Image.Image":
    """Return a picture as large as fits into a cell of this width, aspect kept."""
    from PIL import Image

    scale = min(width / picture.width, _HIGH / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    # Pixels of what is enlarged are to be seen; of what is reduced, none is to be lost.
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return picture.resize(size, how)


def _grey(ink: Any) -> "Image.Image":
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.rint(255 * np.clip(ink, 0, 1)).astype(np.uint8))


def _font() -> Any:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(13)
    except TypeError:
        # Pillow before 10.1 has one font of one size.
        return ImageFont.load_default()
