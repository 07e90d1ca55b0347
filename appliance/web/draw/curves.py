"""A training's learning curves: the loss above, the accuracy on held-out digits below.

Both plots share the axis of the epochs. Lines and words take the colour of the text around them,
so that they can be read on light and on dark; classes let the page colour them.
"""

from collections.abc import Sequence
from math import ceil, isfinite
from typing import Any, NamedTuple

from appliance.web.draw.svg import Scale, chart, element, line_path, round_ticks, text
from appliance.web.language import Texts

_WIDTH, _HEIGHT = 360, 300
_LEFT, _RIGHT = 44, 350
_X = Scale(0, 1, _LEFT, _RIGHT)
_MOST_NUMBERS = 8
"""Epochs that have their number at the axis: there is no room for all of many."""

Point = tuple[float, float]


def render_learning_curves(
    curve: Sequence[Sequence[float]],
    epochs: Sequence[dict[str, Any]],
    epoch_count: int,
    t: Texts,
) -> str:
    """Return an SVG of a training; points that are not finite are left out.

    `curve` has pairs of how far the training was, 0…1, and its loss there. `epochs` has, for each
    epoch that is over, its `number`, how many there are (`of`), and its accuracies 0…1 on the
    `validation` digits and on the `camera`'s, or None. `epoch_count` counts while no epoch is
    over; 0 means it is not known. `t` has the words.
    """
    epoch_count = max((int(each["of"]) for each in epochs), default=epoch_count)
    losses = _finite(curve)
    held_out, others = (
        _finite([(each["number"] / each["of"], each[key]) for each in epochs if each.get(key)])
        for key in ("validation", "camera")
    )
    accuracies = [y for _, y in held_out + others]
    # A range of less than a hundredth would show noise as a fall.
    lowest, highest = min(accuracies, default=0.0), max(accuracies, default=1.0)
    loss = _Plot.over(0, max((y for _, y in losses), default=1), top=26, bottom=122)
    accuracy = _Plot.over(max(0, min(lowest, highest - 0.01)), highest, top=168, bottom=264)
    numbers = range(0, epoch_count + 1, ceil(epoch_count / _MOST_NUMBERS)) if epoch_count else ()
    numbered = [(number, _X(number / epoch_count)) for number in numbers]
    marks = [x for _, x in numbered]
    return chart(
        "curve",
        _WIDTH,
        _HEIGHT,
        t("curve.title"),
        _description(losses, held_out, others, t),
        _text(_LEFT, 14, t("curve.loss"), "start"),
        *loss.grid([f"{each:g}" for each in loss.ticks], marks),
        loss.line(losses, "loss", dots=len(losses) == 1),
        _text(_LEFT, 156, t("curve.read_others" if others else "curve.read"), "start"),
        *accuracy.grid([f"{100 * each:.4g} %" for each in accuracy.ticks], marks),
        accuracy.line(others, "others", stroke_dasharray="5 3"),
        accuracy.line(held_out, "held-out"),
        *(_text(x, 280, str(number)) for number, x in numbered),
        _text((_LEFT + _RIGHT) / 2, _HEIGHT - 6, t("curve.epoch" if epoch_count else "curve.done")),
        fill="none",
        font_size=11,
    )


class _Plot(NamedTuple):
    """One of the two plots: the ticks of its axis and where a value lies in the drawing."""

    ticks: list[float]
    y: Scale

    @classmethod
    def over(cls, low: float, high: float, *, top: int, bottom: int) -> "_Plot":
        ticks = round_ticks(low, high)
        return cls(ticks, Scale(ticks[0], ticks[-1], bottom, top))

    def grid(self, labels: list[str], marks: list[float]) -> list[str]:
        """Return a labelled line across for each tick, and a mark on the axis for epochs."""
        parts = [
            element("path", d=f"M{x:.1f} {self.y.start}v4", stroke="currentColor") for x in marks
        ]
        for tick, label in zip(self.ticks, labels, strict=True):
            y = self.y(tick)
            across = f"M{_LEFT} {y:.1f}H{_RIGHT}"
            parts += [
                element("path", d=across, stroke="currentColor", stroke_opacity=".2"),
                _text(_LEFT - 5, y + 4, label, "end"),
            ]
        return parts

    def line(self, points: list[Point], name: str, dots: bool = True, **style: str) -> str:
        """Return a line through the points, "" for none, with a dot at each unless told not to."""
        if not points:
            return ""
        at = [(_X(min(1.0, max(0.0, x))), self.y(y)) for x, y in points]
        return element(
            "g",
            element("path", d=line_path(at), stroke="currentColor", stroke_width=2, **style),
            *(
                element("circle", cx=x, cy=y, r=2.5, fill="currentColor")
                for x, y in (at if dots else ())
            ),
            class_=name,
        )


def _finite(points: Sequence[Sequence[float]]) -> list[Point]:
    return [(float(x), float(y)) for x, y in points if isfinite(x) and isfinite(y)]


def _description(losses: list[Point], held_out: list[Point], others: list[Point], t: Texts) -> str:
    sentences = []
    if losses:
        first, last = (f"{loss:.3f}" for _, loss in (losses[0], losses[-1]))
        sentences.append(t("curve.says_loss", first=first, last=last))
    for points, key in ((held_out, "curve.says_held_out"), (others, "curve.says_others")):
        if points:
            first, last = (f"{share:.2%}" for _, share in (points[0], points[-1]))
            sentences.append(t(key, first=first, last=last, count=len(points)))
    return " ".join(sentences) or t("curve.nothing")


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return text(x, y, words, anchor, fill="currentColor")
