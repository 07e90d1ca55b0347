"""The reliability diagram: how sure the network was against how often it was right."""

from collections.abc import Sequence
from math import log10

from appliance.web.draw.svg import Scale, chart, element, text
from appliance.web.language import Texts
from model.calibration import Bin

_WIDTH, _HEIGHT = 380, 336
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 352, 14, 284
_TICKS = 0.0, 0.25, 0.5, 0.75, 1.0
_x, _y = Scale(0, 1, _LEFT, _RIGHT), Scale(0, 1, _BOTTOM, _TOP)


def render_reliability_diagram(bins: Sequence[Bin], t: Texts) -> str:
    """Return an SVG with a disc for each bin, the larger the more answers; `t` has its words."""
    line = {"fill": "none", "stroke": "currentColor"}
    parts = []
    for tick in _TICKS:
        x, y = _x(tick), _y(tick)
        parts += [
            element(
                "path",
                d=f"M{_LEFT} {y:.1f}H{_RIGHT}M{x:.1f} {_TOP}V{_BOTTOM}",
                stroke_opacity=".2",
                **line,
            ),
            text(_LEFT - 6, y + 4, _percent(tick), "end"),
            text(x, _BOTTOM + 18, _percent(tick)),
        ]
    turned = f"translate(12 {(_TOP + _BOTTOM) / 2}) rotate(-90)"
    parts += [
        element("path", d=f"M{_LEFT} {_BOTTOM}L{_RIGHT} {_TOP}", stroke_dasharray="5 4", **line),
        text((_LEFT + _RIGHT) / 2, _HEIGHT - 12, t("inside.said")),
        text(0, 0, t("inside.was_right"), transform=turned),
    ]
    discs = [
        element(
            "circle",
            cx=_x(each.confidence),
            cy=_y(each.accuracy),
            r=2.5 + 2 * log10(max(1, each.count)),
        )
        for each in bins
    ]
    if discs:
        parts.append(element("g", *discs, class_="bins", fill_opacity=".75", stroke="currentColor"))
    return chart(
        "reliability",
        _WIDTH,
        _HEIGHT,
        t("inside.reliability"),
        _description(bins, t),
        *parts,
        fill="currentColor",
        font_size=12,
    )


def _description(bins: Sequence[Bin], t: Texts) -> str:
    return " ".join(
        t(
            "inside.reliability_says",
            count=each.count,
            said=_percent(each.confidence),
            right=_percent(each.accuracy),
        )
        for each in bins
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
