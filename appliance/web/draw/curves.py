"""A training's curves as an SVG: the loss above, what is read of the held-out digits below.

Both share the axis of the epochs. Lines and words take the colour of the text around them, so that
they can be read on light and on dark; classes let the page colour them.
"""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, isfinite, log10
from typing import Any

from appliance.web.language import Texts

WIDTH, HEIGHT = 360, 300
_LEFT, _RIGHT = 44, 350
_LOSS, _READ = (26, 122), (168, 264)
"""Top and bottom of the two plots."""

Point = tuple[float, float]


def drawn(
    curve: Sequence[Sequence[float]], epochs: Sequence[dict[str, Any]], of: int, t: Texts
) -> str:
    """Return an SVG of a training of so many epochs, 0 where that is told by the epochs alone.

    `t` has its words.

    `curve` has pairs of what was done, 0…1, and the loss there; `epochs` has for each epoch that
    is over its `number`, how many there are (`of`), and the shares 0…1 read, `validation` and
    `camera`, or None. What is not finite is left out.
    """
    of = max((int(each["of"]) for each in epochs), default=of)
    losses = _finite(curve)
    held_out, others = (
        _finite([(each["number"] / each["of"], each[key]) for each in epochs if each.get(key)])
        for key in ("validation", "camera")
    )
    read = [y for _, y in held_out + others]
    # A range of less than a point would show noise as a fall.
    least, most = min(read, default=0.0), max(read, default=1.0)
    of_read = _ticks(max(0, min(least, most - 0.01)), most)
    of_loss = _ticks(0, max((y for _, y in losses), default=1))
    named = t("curve.read_others" if others else "curve.read")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" class="curve" '
        'role="img" aria-labelledby="curve-name curve-says" fill="none" font-size="11">',
        f'<title id="curve-name">{escape(t("curve.title"), quote=False)}</title>',
        f'<desc id="curve-says">{escape(_words(losses, held_out, others, t), quote=False)}</desc>',
        _text(_LEFT, 14, t("curve.loss"), "start"),
        *_grid(_LOSS, [(each, f"{each:g}") for each in of_loss], of),
        _line(losses, _LOSS, of_loss, "loss"),
        _text(_LEFT, 156, named, "start"),
        *_grid(_READ, [(each, f"{100 * each:.4g} %") for each in of_read], of),
        _line(others, _READ, of_read, "others", ' stroke-dasharray="5 3"'),
        _line(held_out, _READ, of_read, "held-out"),
        *(_text(_x(each / of), _READ[1] + 16, str(each), "middle") for each in _numbers(of)),
        _text((_LEFT + _RIGHT) / 2, HEIGHT - 6, t("curve.epoch" if of else "curve.done"), "middle"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _finite(points: Sequence[Sequence[float]]) -> list[Point]:
    return [(float(x), float(y)) for x, y in points if isfinite(x) and isfinite(y)]


def _words(losses: list[Point], held_out: list[Point], others: list[Point], t: Texts) -> str:
    said = []
    if losses:
        first, last = (f"{loss:.3f}" for _, loss in (losses[0], losses[-1]))
        said.append(t("curve.says_loss", first=first, last=last))
    for points, key in ((held_out, "curve.says_held_out"), (others, "curve.says_others")):
        if points:
            first, last = (f"{share:.2%}" for _, share in (points[0], points[-1]))
            said.append(t(key, first=first, last=last, count=len(points)))
    return " ".join(said) or t("curve.nothing")


def _ticks(low: float, high: float) -> list[float]:
    """Return two to six round numbers that enclose a range."""
    spread = max(high - low, 1e-6)
    power = 10.0 ** floor(log10(spread / 4))
    step = next(power * each for each in (1, 2, 5, 10, 20) if spread <= 4 * power * each)
    first, last = floor(low / step + 1e-6), ceil(high / step - 1e-6)
    return [round(step * each, 9) for each in range(first, max(last, first + 1) + 1)]


def _numbers(of: int) -> range:
    """Return the epochs that have their number at the axis: of many, not each has room."""
    return range(0, of + 1, ceil(of / 8)) if of else range(0)


def _grid(place: tuple[int, int], ticks: list[tuple[float, str]], of: int) -> list[str]:
    """Return a plot's lines across, each with its value in words, and the marks of the epochs."""
    parts = [
        f'<path d="M{_x(number / of):.1f} {place[1]}v4" stroke="currentColor"/>'
        for number in _numbers(of)
    ]
    for value, words in ticks:
        y = _y(value, place, [each for each, _ in ticks])
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="currentColor" stroke-opacity=".2"/>'
        )
        parts.append(_text(_LEFT - 5, y + 4, words, "end"))
    return parts


def _line(
    points: list[Point], place: tuple[int, int], ticks: list[float], name: str, more: str = ""
) -> str:
    """Return the line through points, with a dot for each epoch, and for a point that is alone."""
    at = [(_x(x), _y(y, place, ticks)) for x, y in points]
    if not at:
        return ""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in at)
    dots = at if place is _READ or len(at) == 1 else []
    return (
        f'<g class="{name}"><path d="M{path}" stroke="currentColor" stroke-width="2"{more}/>'
        + "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="currentColor"/>' for x, y in dots
        )
        + "</g>"
    )


def _y(value: float, place: tuple[int, int], ticks: list[float]) -> float:
    top, bottom = place
    return bottom - (value - ticks[0]) / (ticks[-1] - ticks[0]) * (bottom - top)


def _x(share: float) -> float:
    return _LEFT + min(1.0, max(0.0, share)) * (_RIGHT - _LEFT)


def _text(x: float, y: float, words: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="currentColor">{escape(words, quote=False)}</text>'
