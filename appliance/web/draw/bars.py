"""Bar charts in the colour of the text around them: upright for counts, across for scores."""

from collections.abc import Sequence

from appliance.web.draw.svg import Scale, chart, element, text

_WIDTH, _HEIGHT, _TOP, _BOTTOM = 480, 120, 14, 98
_SCORES_WIDTH, _ROW, _NAME_WIDTH, _LABEL_WIDTH = 380, 24, 104, 62


def render_counts(counts: Sequence[int], names: Sequence[str], title: str, description: str) -> str:
    """Return an SVG with an upright bar for each count.

    The highest has its count above it, every third its name below.
    """
    highest = max(counts, default=0)
    height_of = Scale(0, max(1, highest), 0, _BOTTOM - _TOP)
    pitch = _WIDTH / max(1, len(counts))
    parts = [
        element(
            "path", d=f"M0 {_BOTTOM + 0.5}H{_WIDTH}", stroke="currentColor", stroke_opacity=".3"
        )
    ]
    for place, (count, name) in enumerate(zip(counts, names, strict=True)):
        middle, height = pitch * (place + 0.5), height_of(count)
        if count:
            parts.append(
                element(
                    "rect",
                    x=middle - 0.36 * pitch,
                    y=_BOTTOM - height,
                    width=0.72 * pitch,
                    height=height,
                    rx=2,
                )
            )
        if count and place == counts.index(highest):
            parts.append(text(middle, _BOTTOM - height - 3, str(count)))
        if place % 3 == 0:
            parts.append(text(middle, _HEIGHT - 6, name))
    return chart(
        "counts", _WIDTH, _HEIGHT, title, description, *parts, font_size=11, fill="currentColor"
    )


def render_scores(
    values: Sequence[float],
    names: Sequence[str],
    labels: Sequence[str],
    title: str,
    description: str,
) -> str:
    """Return an SVG with a row for each finite value: its name, a bar from zero, its label.

    The highest has the class "top".
    """
    height = _ROW * len(values)
    lowest, highest = min(0.0, *values), max(0.0, *values)
    x_of = Scale(lowest, max(highest, lowest + 1e-30), _NAME_WIDTH, _SCORES_WIDTH - _LABEL_WIDTH)
    zero = x_of(0)
    parts = [
        element("path", d=f"M{zero:.1f} 0V{height}", stroke="currentColor", stroke_opacity=".4")
    ]
    top = list(values).index(max(values))
    for place, (value, name, label) in enumerate(zip(values, names, labels, strict=True)):
        y, x = _ROW * place, x_of(value)
        parts.append(
            element(
                "g",
                text(_NAME_WIDTH - 8, y + 17, name, "end"),
                element(
                    "rect", x=min(zero, x), y=y + 4, width=abs(x - zero), height=_ROW - 8, rx=2
                ),
                text(_SCORES_WIDTH, y + 17, label, "end"),
                **({"class_": "top", "font_weight": "700"} if place == top else {}),
            )
        )
    return chart(
        "scores", _SCORES_WIDTH, height, title, description, *parts,
        font_size=14, fill="currentColor",
    )  # fmt: skip
