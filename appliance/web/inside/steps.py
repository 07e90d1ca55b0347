"""One digit's steps through a network as the page shows them: a picture or bars, and a sentence."""

from typing import Any, NamedTuple

import numpy as np

from appliance.reading import Array
from appliance.web.inside.feature_maps import (
    Sheet,
    limit_maps,
    max_magnitude,
    render_grey,
    render_sheet,
    units_to_map,
)
from appliance.web.language import Texts
from model.activations import SHARES, SOFTMAX, Step, Tracer
from model.network import DIGITS, NOT_A_DIGIT

_SPEC_NAMES = {
    "conv": ("inputs", "outputs", "kernel"),
    "dense": ("inputs", "outputs"),
    "book-output": ("inputs", "outputs"),
    "max-pool": ("size",),
    "average-pool": ("size",),
    "dropout": ("share",),
}
"""The names of the first values in a layer's spec; the sentences on the layers have them."""


class StepView(NamedTuple):
    """One step as the page shows it.

    `sentence` is the key of its sentence, which `sizes` fill in. `is_answer` says that each value
    stands for an answer, `signed` that the colours go below zero.
    """

    kind: str
    sheet: Sheet
    shape: str
    sentence: str
    sizes: dict[str, Any]
    values: Array
    is_answer: bool
    signed: bool
    map_count: int
    shown_count: int
    parameter_count: int

    @property
    def map_sheets(self) -> list[Sheet]:
        """The maps one by one, on one scale of colours."""
        limit = max_magnitude(self.values)
        return [render_sheet(each[None], limit, width=100) for each in limit_maps(self.values)]

    @property
    def magnitude(self) -> str:
        return format_number(max_magnitude(self.values))

    @property
    def parameters(self) -> str:
        return format_number(self.parameter_count)

    def render_bars(self, t: Texts) -> str | None:
        """Return the values as bars, None where they do not stand for answers."""
        if not self.is_answer:
            return None
        from appliance.web.draw.bars import render_scores

        values = np.nan_to_num(self.values).tolist()
        if self.kind in (SOFTMAX, SHARES):
            labels = [f"{100 * each:.1f} %" for each in values]
        else:
            labels = [f"{each:.2f}".replace("-", "−") for each in values]
        names = _answer_names(t)[: len(values)]
        description = ", ".join(
            f"{name}: {label}" for name, label in zip(names, labels, strict=True)
        )
        return render_scores(values, names, labels, t(f"inside.kind_{self.kind}"), description)


def trace_steps(tracer: Tracer, glyph: Array) -> list[StepView]:
    """Return the steps of a glyph (28, 28) through a network."""
    steps = tracer.steps(glyph.ravel())
    weighing = [place for place, each in enumerate(steps) if each.kind in ("dense", "book-output")]
    # From the last layer with weights on, each unit stands for one answer.
    last = max(weighing, default=len(steps) - 1)
    return [
        _to_view(step, is_first=place == 0, is_scores=place == last, is_answer=place >= last)
        for place, step in enumerate(steps)
    ]


def first_filter_results(steps: list[StepView]) -> list[Sheet]:
    """Return the map of each filter in the first layer, [] where that layer is no convolution."""
    first = next((each for each in steps if each.parameter_count), None)
    return first.map_sheets if first and first.kind == "conv" else []


def likeliest_answer(probabilities: Array, t: Texts) -> tuple[str, int]:
    """Return the likeliest answer and its probability in per cent."""
    probabilities = np.nan_to_num(probabilities)
    best = int(probabilities.argmax())
    return _answer_names(t)[best], round(100 * float(probabilities[best]))


def format_number(value: float) -> str:
    """Return an int with thin spaces, which no language takes for a decimal point, or a float."""
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    return f"{value:.3g}".replace("-", "−")


def _to_view(step: Step, *, is_first: bool, is_scores: bool, is_answer: bool) -> StepView:
    values, kind = step.values, step.kind.replace("-", "_")
    maps = limit_maps(values) if values.ndim == 3 else units_to_map(values)
    sentence = kind
    if kind == "dense" and is_scores:
        sentence = "scores"
    elif kind == "conv" and step.spec[0] > 1:
        sentence = "conv_more"
    elif kind == "image" and not is_first:
        sentence = "laid_out"
    sizes = dict(zip(_SPEC_NAMES.get(step.kind, ()), step.spec, strict=False))
    if "share" in sizes:
        sizes["share"] = f"{100 * sizes['share']:.0f}"
    return StepView(
        kind=kind,
        sheet=render_grey(maps[0]) if is_first else render_sheet(maps),
        shape=" × ".join(map(str, step.shape[1:] if is_first else step.shape)),
        sentence=sentence,
        sizes={
            **sizes,
            "units": int(values.size),
            "rows": values.shape[-2] if values.ndim == 3 else 1,
            "columns": values.shape[-1],
        },
        values=values,
        is_answer=is_answer and values.ndim == 1 and len(values) <= NOT_A_DIGIT + 1,
        signed=not is_first,
        map_count=len(values) if values.ndim == 3 else 1,
        shown_count=len(maps),
        parameter_count=step.parameters,
    )


def _answer_names(t: Texts) -> list[str]:
    return [*map(str, range(DIGITS)), t("teaching.not_a_digit")]
