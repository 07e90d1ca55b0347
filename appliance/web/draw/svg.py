"""The parts of an SVG chart: elements and text, scales, round numbers for an axis."""

from collections.abc import Iterable
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple


class Scale(NamedTuple):
    """Maps `low`…`high` of the data to `start`…`end` of the drawing; high must not equal low."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def round_ticks(low: float, high: float) -> list[float]:
    """Return two to six multiples of 1, 2 or 5 times a power of ten that enclose a range."""
    spread = max(high - low, 1e-6)
    power = 10.0 ** floor(log10(spread / 4))
    step = next(power * each for each in (1, 2, 5, 10, 20) if spread <= 4 * power * each)
    first, last = floor(low / step + 1e-6), ceil(high / step - 1e-6)
    return [round(step * each, 9) for each in range(first, max(last, first + 1) + 1)]


def element(tag: str, /, *children: str, **attributes: float | str) -> str:
    """Return an element around its children, which are SVG already.

    `stroke_width=2` is stroke-width="2", `class_` is class; numbers keep one decimal place.
    """
    pairs = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_to_attribute(value)}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{pairs}>{''.join(children)}</{tag}>" if children else f"<{tag}{pairs}/>"


def text(x: float, y: float, words: str, anchor: str = "middle", **attributes: float | str) -> str:
    """Return words at their baseline; `anchor` says which end is at x: start, middle or end."""
    return element("text", escape(words, quote=False), x=x, y=y, text_anchor=anchor, **attributes)


def line_path(points: Iterable[tuple[float, float]]) -> str:
    """Return the `d` of a path from point to point."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def chart(
    name: str,
    width: int,
    height: int,
    title: str,
    description: str,
    *children: str,
    **attributes: float | str,
) -> str:
    """Return an SVG of the class `name`; screen readers read its title and its description."""
    return element(
        "svg",
        element("title", escape(title, quote=False), id=f"{name}-title"),
        element("desc", escape(description, quote=False), id=f"{name}-description"),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        class_=name,
        role="img",
        aria_labelledby=f"{name}-title {name}-description",
        **attributes,
    )


def _to_attribute(value: float | str) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
