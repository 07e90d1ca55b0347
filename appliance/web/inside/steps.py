"""One digit's steps through a network as the page shows them: a picture or bars, and a sentence."""

from typing import Any, NamedTuple

import numpy as np

from appliance.reading import Array
from appliance.web.inside.feature_maps import Sheet, cells, grey, largest, sheet, shown
from appliance.web.language import Texts
from model.activations import SHARES, SOFTMAX, Step, Tracer
from model.network import DIGITS, NOT_A_DIGIT

_SIZES = {
    "conv": ("inputs", "outputs", "kernel"),
    "dense": ("inputs", "outputs"),
    "book-output": ("inputs", "outputs"),
    "max-pool": ("size",),
    "average-pool": ("size",),
    "dropout": ("share",),
}
"""What a layer's spec begins with, for its sentence."""


class Shown(NamedTuple):
    """One step as the page shows it; `answers` tells that its values stand for the answers."""

    kind: str
    sheet: Sheet
    shape: str
    says: str
    of: dict[str, Any]
    values: Array
    answers: bool
    signed: bool
    maps: int
    shown: int
    parameters: int

    @property
    def each(self) -> list[Sheet]:
        """The maps one by one, in the colours of all."""
        most = largest(self.values)
        return [sheet(map[None], most, width=100) for map in shown(self.values)]

    @property
    def most(self) -> str:
        return number(largest(self.values))

    @property
    def learned(self) -> str:
        return number(self.parameters)

    def bars(self, t: Texts) -> str | None:
        """Return the answers as bars, None where the values stand for nothing with a name."""
        if not self.answers:
            return None
        from appliance.web.draw.bars import render_scores

        values = np.nan_to_num(self.values).tolist()
        shares = self.kind in (SOFTMAX, SHARES)
        told = [f"{100 * each:.1f} %" if shares else _signed(each) for each in values]
        names = _names(len(values), t)
        words = ", ".join(f"{name}: {said}" for name, said in zip(names, told, strict=True))
        return render_scores(values, names, told, t(f"inside.kind_{self.kind}"), words)


def stepped(tracer: Tracer, glyph: Array) -> list[Shown]:
    """Return the steps of a glyph (28, 28) through a network."""
    steps = tracer.steps(glyph.ravel())
    weighs = [place for place, each in enumerate(steps) if each.kind in ("dense", "book-output")]
    # From the last layer that weighs on, each unit stands for one answer.
    last = max(weighs, default=len(steps) - 1)
    return [
        _shown(step, first=place == 0, scores=place == last, answers=place >= last)
        for place, step in enumerate(steps)
    ]


def _shown(step: Step, *, first: bool, scores: bool, answers: bool) -> Shown:
    values, kind = step.values, step.kind.replace("-", "_")
    maps = shown(values) if values.ndim == 3 else cells(values)
    says = kind
    if kind == "dense" and scores:
        says = "scores"
    elif kind == "conv" and step.spec[0] > 1:
        says = "conv_more"
    elif kind == "image" and not first:
        says = "laid_out"
    of = dict(zip(_SIZES.get(step.kind, ()), step.spec, strict=False))
    if "share" in of:
        of["share"] = f"{100 * of['share']:.0f}"
    return Shown(
        kind=kind,
        sheet=grey(maps[0]) if first else sheet(maps),
        shape=" × ".join(map(str, step.shape[1:] if first else step.shape)),
        says=says,
        of={
            **of,
            "units": int(values.size),
            "rows": values.shape[-2] if values.ndim == 3 else 1,
            "columns": values.shape[-1],
        },
        values=values,
        answers=answers and values.ndim == 1 and len(values) <= NOT_A_DIGIT + 1,
        signed=not first,
        maps=len(values) if values.ndim == 3 else 1,
        shown=len(maps),
        parameters=step.parameters,
    )


def _names(count: int, t: Texts) -> list[str]:
    return [*map(str, range(DIGITS)), t("teaching.not_a_digit")][:count]


def found(steps: list[Shown]) -> list[Sheet]:
    """Return what each filter of the first layer finds, where that layer gives pictures."""
    first = next((each for each in steps if each.parameters), None)
    return first.each if first and first.kind == "conv" else []


def answer(shares: Array, t: Texts) -> tuple[str, int]:
    """Return the likeliest answer and its probability in per cent."""
    shares = np.nan_to_num(shares)
    best = int(shares.argmax())
    return _names(NOT_A_DIGIT + 1, t)[best], round(100 * float(shares[best]))


def number(value: float) -> str:
    """Return a number with thin spaces, which no language takes for a decimal point."""
    return (
        f"{value:,}".replace(",", "\u202f")
        if isinstance(value, int)
        else f"{value:.3g}".replace("-", "−")
    )


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
