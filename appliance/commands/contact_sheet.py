"""A contact sheet of misread pictures: frame, ink, mark, glyph and answer of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from appliance.reading import Reading

_WIDE, _HIGH, _GAP, _CAPTION = 220, 165, 8, 22
"""Pixels: a wide cell, the height of all, the gap between them, the caption below."""
_COLUMNS = 2
_CELL_WIDTHS = _WIDE, _WIDE, _HIGH, _HIGH
_PAGE, _CELL, _TEXT = (255, 255, 255), (232, 232, 232), (20, 20, 20)
_PRIMARY, _OTHER = (220, 30, 30), (60, 110, 220)


@dataclass(frozen=True)
class Failure:
    """A misread picture with its label: "0" to "9", or "none" for no digit."""

    file: Path
    label: str
    reading: "Reading"

    @property
    def caption(self) -> str:
        """The picture's name, its label, and the answer."""
        reading = self.reading
        answer = f"refused, {reading.reason}" if reading.digit is None else str(reading.digit)
        # Pillow's own font has no arrow, and its oldest knows Latin-1 alone.
        name = f"{self.file.parent.name}/{self.file.name}".encode("ascii", "replace").decode()
        return f"{name}: {self.label} -> {answer} ({reading.confidence:.2f})"


def render_contact_sheet(failures: Sequence[Failure]) -> "Image.Image":
    """Return a picture with a strip for each failure, in two columns.

    On the frame the box of the primary mark is red, the other boxes are blue.
    """
    from PIL import Image, ImageDraw

    strip = sum(_CELL_WIDTHS) + (len(_CELL_WIDTHS) - 1) * _GAP
    columns = min(_COLUMNS, max(1, len(failures)))
    rows = -(-len(failures) // columns)
    down = _HIGH + _CAPTION + 2 * _GAP
    size = columns * (strip + 2 * _GAP) + (columns - 1) * _GAP, rows * down + _GAP
    page = Image.new("RGB", size, _PAGE)
    draw = ImageDraw.Draw(page)
    font = _load_font()
    for number, failure in enumerate(failures):
        x = _GAP + (number % columns) * (strip + 3 * _GAP)
        y = _GAP + (number // columns) * down
        draw.text((x, y + _HIGH + 3), failure.caption, fill=_TEXT, font=font)
        for side, picture in zip(_CELL_WIDTHS, _render_cells(failure.reading), strict=True):
            draw.rectangle((x, y, x + side - 1, y + _HIGH - 1), fill=_CELL)
            if picture is not None:
                scaled = _fit(picture, side)
                page.paste(
                    scaled, (x + (side - scaled.width) // 2, y + (_HIGH - scaled.height) // 2)
                )
            x += side + _GAP
    return page


def _render_cells(reading: "Reading") -> "list[Image.Image | None]":
    """Return the four pictures of a strip, ink dark but in the glyph; None for a missing one."""
    ink, mark = (_to_image(1 - array) if array is not None else None
                 for array in (reading.ink, reading.mark))  # fmt: skip
    glyph = _to_image(reading.glyph) if reading.glyph is not None else None
    return [_render_frame(reading), ink, mark, glyph]


def _render_frame(reading: "Reading") -> "Image.Image | None":
    """Return the frame, scaled to its cell, with a box around each mark."""
    from PIL import Image, ImageDraw

    if reading.frame is None:
        return None
    picture = _fit(Image.fromarray(reading.frame.grey), _WIDE).convert("RGB")
    width, height = reading.frame.size
    draw = ImageDraw.Draw(picture)
    boxes = [(mark.box, _OTHER) for mark in reading.marks if mark.box != reading.box]
    boxes += [(reading.box, _PRIMARY)] if reading.box else []
    for (x0, y0, x1, y1), colour in boxes:
        across, down = picture.width / width, picture.height / height
        right, bottom = max(x1 * across - 1, x0 * across), max(y1 * down - 1, y0 * down)
        draw.rectangle((x0 * across, y0 * down, right, bottom), outline=colour)
    return picture


def _fit(picture: "Image.Image", width: int) -> "Image.Image":
    """Return a picture scaled to fit a cell of this width, aspect kept."""
    from PIL import Image

    scale = min(width / picture.width, _HIGH / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    # An enlarged picture shows its pixels; a reduced one averages them.
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return picture.resize(size, how)


def _to_image(ink: Any) -> "Image.Image":
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.rint(255 * np.clip(ink, 0, 1)).astype(np.uint8))


def _load_font() -> Any:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(13)
    except TypeError:
        # Pillow before 10.1 has one font of one size.
        return ImageFont.load_default()
