"""How far a confidence can be believed, as an SVG: what was said across, what was right upwards."""

from collections.abc import Sequence
from html import escape
from math import log10

from appliance.web.language import Texts
from model.calibration import Bin

WIDTH, HEIGHT = 380, 336
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 352, 14, 284
_TICKS = 0.0, 0.25, 0.5, 0.75, 1.0


def drawn(bins: Sequence[Bin], t: Texts) -> str:
    """Return an SVG with a disc for each bin, the larger the more answers; `t` has its words."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'class="reliability" role="img" aria-labelledby="reliability-name reliability-says" '
        'fill="currentColor" font-size="12">',
        f'<title id="reliability-name">{escape(t("inside.reliability"))}</title>',
        f'<desc id="reliability-says">{escape(_words(bins, t))}</desc>',
    ]
    for tick in _TICKS:
        x, y = _x(tick), _y(tick)
        parts += [
            f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}M{x:.1f} {_TOP}V{_BOTTOM}" stroke="currentColor" '
            'stroke-opacity=".2"/>',
            _text(_LEFT - 6, y + 4, _per_cent(tick), "end"),
            _text(x, _BOTTOM + 18, _per_cent(tick), "middle"),
        ]
    parts += [
        f'<path d="M{_LEFT} {_BOTTOM}L{_RIGHT} {_TOP}" stroke="currentColor" '
        'stroke-dasharray="5 4"/>',
        _text((_LEFT + _RIGHT) / 2, HEIGHT - 12, t("inside.said"), "middle"),
        f'<text transform="translate(12 {(_TOP + _BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(t("inside.was_right"))}</text>',
        '<g class="bins" fill-opacity=".75" stroke="currentColor">',
        *(
            f'<circle cx="{_x(each.confidence):.1f}" cy="{_y(each.accuracy):.1f}" '
            f'r="{2.5 + 2 * log10(max(1, each.count)):.1f}"/>'
            for each in bins
        ),
        "</g></svg>",
    ]
    return "\n".join(parts)


def _words(bins: Sequence[Bin], t: Texts) -> str:
    return " ".join(
        t(
            "inside.reliability_says",
            count=each.count,
            said=_per_cent(each.confidence),
            right=_per_cent(each.accuracy),
        )
        for each in bins
    )


def _per_cent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _x(share: float) -> float:
    return _LEFT + share * (_RIGHT - _LEFT)


def _y(share: float) -> float:
    return _BOTTOM - share * (_BOTTOM - _TOP)


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
