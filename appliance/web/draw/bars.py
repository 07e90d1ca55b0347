"""Bars as an SVG, in the colour of the text around it: upright for counts, across for scores."""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 480, 120
_BOTTOM, _TOP = 98, 14


def drawn(counts: Sequence[int], names: Sequence[str], title: str, words: str) -> str:
    """Return an SVG with a bar for each count, its name below every third of them.

    The count stands above the highest; `words` say what is seen to those who do not see.
    """
    most = max(counts, default=0)
    pitch = WIDTH / max(1, len(counts))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" class="bars-chart"'
        ' role="img" aria-labelledby="bars-name bars-says" font-size="11" fill="currentColor">',
        f'<title id="bars-name">{escape(title)}</title>',
        f'<desc id="bars-says">{escape(words)}</desc>',
        f'<path d="M0 {_BOTTOM + 0.5}H{WIDTH}" stroke="currentColor" stroke-opacity=".3"/>',
    ]
    for place, (count, name) in enumerate(zip(counts, names, strict=True)):
        height = (_BOTTOM - _TOP) * count / max(1, most)
        middle = pitch * (place + 0.5)
        if count:
            parts.append(
                f'<rect x="{middle - 0.36 * pitch:.1f}" y="{_BOTTOM - height:.1f}" '
                f'width="{0.72 * pitch:.1f}" height="{height:.1f}" rx="2"/>'
            )
        if count and place == counts.index(most):
            parts.append(_text(middle, _BOTTOM - height - 3, str(count)))
        if place % 3 == 0:
            parts.append(_text(middle, HEIGHT - 6, name))
    return "\n".join([*parts, "</svg>"])


_ACROSS, _LINE, _NAMES, _VALUES = 380, 24, 104, 62


def across(
    values: Sequence[float], names: Sequence[str], told: Sequence[str], title: str, words: str
) -> str:
    """Return an SVG with a line for each finite value: its name, a bar from zero, and it as told.

    The highest has the class "top". `words` say what is seen to those who do not see.
    """
    height = _LINE * len(values)
    least, most = min(0.0, *values), max(0.0, *values)
    room = _ACROSS - _NAMES - _VALUES
    scale = room / max(most - least, 1e-30)
    zero = _NAMES - least * scale
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_ACROSS} {height}" class="scores"'
        ' role="img" aria-labelledby="scores-name scores-says" font-size="14" fill="currentColor">',
        f'<title id="scores-name">{escape(title)}</title>',
        f'<desc id="scores-says">{escape(words)}</desc>',
        f'<path d="M{zero:.1f} 0V{height}" stroke="currentColor" stroke-opacity=".4"/>',
    ]
    top = list(values).index(max(values))
    for place, (value, name, said) in enumerate(zip(values, names, told, strict=True)):
        y = _LINE * place
        start, width = min(zero, zero + value * scale), abs(value) * scale
        parts += [
            '<g class="top" font-weight="700">' if place == top else "<g>",
            _text(_NAMES - 8, y + 17, name, "end"),
            f'<rect x="{start:.1f}" y="{y + 4}" width="{width:.1f}" height="{_LINE - 8}" rx="2"/>',
            _text(_ACROSS, y + 17, said, "end"),
            "</g>",
        ]
    return "\n".join([*parts, "</svg>"])


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
