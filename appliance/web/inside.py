"""What is inside the network that reads: its filters, one digit layer by layer, what it gets wrong.

The view needs no script. What costs a Pi Zero time is made once: the pictures of a network when it
begins to read, the steps of a digit when somebody looks at it first.
"""

import json
import secrets
import shlex
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from flask import Blueprint, Response, render_template, request

from appliance.networks import Networks
from appliance.outputs.latest import Latest, Recent
from appliance.reader import Reader
from appliance.reading import Array
from appliance.vision.glyph import glyph
from appliance.vision.strokes import PLAIN, drawn
from appliance.web.asked import whole
from appliance.web.bars import across
from appliance.web.kept import Kept, KeptFew
from appliance.web.language import Texts, spoken, texts
from appliance.web.maps import Sheet, cells, grey, largest, scale, sheet, shown, thumb
from appliance.web.pictures import png
from appliance.web.problem import problem
from appliance.web.reliability import drawn as drawn_reliability
from model.errors import ReportError
from model.network import DIGITS, NOT_A_DIGIT, Network
from model.report import OF_SHIPPED, Report, Wrong
from model.report import load as load_report
from model.trace import SHARES, SOFTMAX, Step, Tracer, filters

_SECONDS = 2
"""So long the newest reading is the one that was found before."""
_LOOKED_AT, _STEPPED, _PAGES = 32, 12, 30
_MOST_NUMBER = 10**12
_OWN = 3
"""The digit that is shown before anything was read."""
_SIZES = {
    "conv": ("inputs", "outputs", "kernel"),
    "dense": ("inputs", "outputs"),
    "book-output": ("inputs", "outputs"),
    "max-pool": ("size",),
    "average-pool": ("size",),
    "dropout": ("share",),
}
"""What a layer's spec begins with, for its sentence."""
_FACTS = "id", "preset", "made", "parameters", "multiply_adds", "validation_accuracy", "test"


def blueprint(
    *,
    reader: Reader,
    networks: Networks,
    latest: Latest,
    drawn: Recent,
    clock: Callable[[], float] = time.monotonic,
) -> Blueprint:
    """Return the routes; `drawn` has the pictures that were sent and read."""
    routes = Blueprint("inside", __name__)
    digits = _Digits(latest, drawn, clock)
    read_with, told = Kept[_Network](), Kept[bytes]()
    stepped, pages = KeptFew[list[_Shown]](_STEPPED), KeptFew[bytes](_PAGES)
    # Numbers of readings begin anew with a restart; an ETag of before must not match then.
    boot = secrets.token_hex(4)
    colours = scale()

    @routes.errorhandler(ValueError)
    def wrong(error: ValueError) -> Response:
        return problem(400, str(error))

    def now() -> tuple[str, "_Network"]:
        """Return the network that reads, under a stamp that its report changes too."""
        networks.look()
        # In this order: what is made of a new network under the old one's id is made again.
        id, network = reader.id, reader.network
        file = networks.vault.report_file(id[:12])
        # During a promotion the card may be that of the one before.
        stamp = f"{boot}-{id[:12]}-{networks.id}"
        with suppress(OSError):
            at = file.stat()
            stamp += f"-{at.st_mtime_ns}-{at.st_size}"

        def made() -> _Network:
            found, trouble = None, None
            for each in (file, OF_SHIPPED):
                try:
                    found = found or load_report(each, id)
                except ReportError:
                    trouble = str(each)
            return _Network(id[:12], network, found, trouble)

        return stamp, read_with.of(stamp, made)

    @routes.get("/api/v1/inside")
    def api() -> Response:
        stamp, network = now()
        if stamp in request.if_none_match:
            return _tagged(Response(status=304), stamp)
        body = told.of(stamp, lambda: json.dumps(_told(network)).encode())
        return _tagged(Response(body, mimetype="application/json"), stamp)

    @routes.get("/inside")
    def page() -> Response:
        stamp, network = now()
        digit, gone = digits.asked()
        place, t = whole("layer", 1, _MOST_NUMBER) or 1, texts(spoken())
        sent, from_camera = digits.sent(), digits.camera() is not None
        chips = "".join(f"{each.number}" for each in sent)
        tag = f"{stamp}{digit.key}{gone:d}{from_camera:d}.{place}.{t.language}{chips}"
        if tag in request.if_none_match:
            return _tagged(Response(status=304), tag)

        def rendered() -> bytes:
            steps = stepped.of((stamp, digit.key), lambda: _stepped(network, digit))
            # A network that was promoted meanwhile may have fewer layers.
            number = min(place, len(steps))
            step = steps[number - 1]
            page = render_template(
                "inside.html",
                digit=digit,
                gone=gone,
                own=range(10),
                sent=sent,
                from_camera=from_camera,
                steps=steps,
                step=step,
                number=number,
                bars=step.bars(t),
                answer=_answer(steps[-1].values, t),
                least=round(100 * reader.least_confidence),
                scale=colours,
                network=network,
                found=_found(steps),
                facts=_facts(networks.card(), network, t),
                right=network.report and _right(network.report),
                confusion=network.report and _confusion(network.report),
                reliability=network.report and drawn_reliability(network.report.bins, t),
                command=_command(networks, network.id),
                card=None if networks.chosen else network.id,
            )
            return page.encode()

        response = Response(pages.of(tag, rendered), mimetype="text/html")
        return _tagged(response, tag)

    return routes


class _Network:
    """What is shown of a network that does not change while it reads."""

    def __init__(
        self, id: str, network: Network, report: Report | None, trouble: str | None
    ) -> None:
        self.id = id
        self.tracer = Tracer(network)
        self.report = report
        self.trouble = trouble
        of_all = filters(network)
        pictures = shown(of_all)
        most = largest(pictures)
        self.filters_in_all = len(of_all)
        self.filters = [sheet(each[None], most, width=100) for each in pictures]
        self.strengths = [tuple(map(_number, _ends(each))) for each in pictures]
        self.wrong = [
            (each, None if each.pixels is None else thumb(each.pixels.reshape(28, 28)))
            for each in (report.wrong if report else ())
        ]


@dataclass(frozen=True)
class _Digit:
    """A digit to step through: a reading's by its number, or one of the project's own."""

    glyph: Array = field(repr=False)
    number: int | None = None
    own: int | None = None

    @property
    def key(self) -> str:
        return f".{self.number}" if self.own is None else f".own{self.own}"

    @property
    def query(self) -> dict[str, int | None]:
        """What an address of the view names it by."""
        return {"reading": self.number, "digit": self.own}

    @property
    def url(self) -> str:
        return grey(self.glyph).url


class _Digits:
    """The digits that can be looked at, each for longer than its reading is kept elsewhere."""

    def __init__(self, latest: Latest, drawn: Recent, clock: Callable[[], float]) -> None:
        self._latest, self._drawn, self._clock = latest, drawn, clock
        self._newest = Kept[_Digit | None]()
        self._lock = threading.Lock()
        self._looked_at: dict[int, _Digit] = {}

    def asked(self) -> tuple[_Digit, bool]:
        """Return the digit that the query names, and whether it is another for one that is gone.

        Raises ValueError for a query that names none.
        """
        own, number = whole("digit", 0, 9), whole("reading", -_MOST_NUMBER, _MOST_NUMBER)
        if own is not None:
            return _own(own), False
        found = None if number is None else self._of(number)
        if found is not None:
            return found, False
        return self.camera() or _own(_OWN), number is not None

    def camera(self) -> _Digit | None:
        """Return the camera's newest reading with a mark, looked for every two seconds."""
        return self._newest.of(int(self._clock() // _SECONDS), self._find_newest)

    def sent(self) -> list[_Digit]:
        """Return the last few that were drawn or sent, the newest first."""
        return [
            _Digit(reading.glyph, number)
            for number, reading in self._drawn.newest(4)
            if reading.glyph is not None
        ]

    def _find_newest(self) -> _Digit | None:
        for number, _ in self._latest.recent.newest(1):
            return self._of(number)
        return None

    def _of(self, number: int) -> _Digit | None:
        with self._lock:
            found = self._looked_at.pop(number, None)
            if found is None:
                reading = (self._latest.recent if number > 0 else self._drawn).of(number)
                if reading is None or reading.glyph is None:
                    return None
                found = _Digit(reading.glyph, number)
            self._looked_at[number] = found
            for old in list(self._looked_at)[:-_LOOKED_AT]:
                del self._looked_at[old]
            return found


@lru_cache
def _own(digit: int) -> _Digit:
    cover = drawn(PLAIN[digit], (64, 64), centre=(32, 32), height=40, width=6, slant=0.1)
    return _Digit(glyph(cover), own=digit)


# ---- one digit on its way ----


@dataclass(frozen=True)
class _Shown:
    """One step as the page shows it; `answers` tells that its values stand for the answers."""

    kind: str
    sheet: Sheet
    shape: str
    says: str
    of: dict[str, Any] = field(repr=False)
    values: Array = field(repr=False)
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
        return _number(largest(self.values))

    @property
    def learned(self) -> str:
        return _number(self.parameters)

    def bars(self, t: Texts) -> str | None:
        """Return the answers as bars, None where the values stand for nothing with a name."""
        if not self.answers:
            return None
        values = np.nan_to_num(self.values).tolist()
        shares = self.kind in (SOFTMAX, SHARES)
        told = [f"{100 * each:.1f} %" if shares else _signed(each) for each in values]
        names = _names(len(values), t)
        words = ", ".join(f"{name}: {said}" for name, said in zip(names, told, strict=True))
        return across(values, names, told, t(f"inside.kind_{self.kind}"), words)


def _stepped(network: _Network, digit: _Digit) -> list[_Shown]:
    steps = network.tracer.steps(digit.glyph.ravel())
    weighs = [place for place, each in enumerate(steps) if each.kind in ("dense", "book-output")]
    # From the last layer that weighs on, each unit stands for one answer.
    last = max(weighs, default=len(steps) - 1)
    return [
        _shown(step, first=place == 0, scores=place == last, answers=place >= last)
        for place, step in enumerate(steps)
    ]


def _shown(step: Step, *, first: bool, scores: bool, answers: bool) -> _Shown:
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
    return _Shown(
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


def _found(steps: list[_Shown]) -> list[Sheet]:
    """Return what each filter of the first layer finds, where that layer gives pictures."""
    first = next((each for each in steps if each.parameters), None)
    return first.each if first and first.kind == "conv" else []


def _answer(shares: Array, t: Texts) -> tuple[str, int]:
    """Return the likeliest answer and its probability in per cent."""
    shares = np.nan_to_num(shares)
    best = int(shares.argmax())
    return _names(NOT_A_DIGIT + 1, t)[best], round(100 * float(shares[best]))


def _ends(values: Array) -> tuple[float, float]:
    values = np.nan_to_num(values)
    return float(values.min(initial=0)), float(values.max(initial=0))


# ---- how it reads ----


def _right(report: Report) -> dict[str, str]:
    tally = report.tally
    counts = {"right": tally.right, "total": tally.total, "refused": tally.refused}
    told = {name: _number(count) for name, count in counts.items()}
    return {**told, "share": f"{100 * tally.accuracy:.2f} %"}


def _confusion(report: Report) -> list[list[tuple[int, str]]]:
    """Return each digit's counts with how much they are to stand out: right, none, or e1 to e3."""
    counts = report.confusion
    most = max(int((counts * (1 - np.eye(*counts.shape, dtype=np.int64))).max()), 1)
    return [
        [
            (count, "right" if answer == label else f"e{-(-3 * count // most)}" if count else "")
            for answer, count in enumerate(row)
        ]
        for label, row in enumerate(counts.tolist())
    ]


def _command(networks: Networks, id: str) -> str:
    """Return the command that writes the report, with the digits, of the network that reads."""
    words = ["digits", "evaluate", "--mnist", "mnist"]
    if networks.chosen:
        words += ["--network", networks.chosen]
    elif (file := networks.vault.folder / f"{id}.npz").exists():
        words += ["--network", str(file)]
    return shlex.join([*words, "--report", str(networks.vault.report_file(id))])


def _facts(card: dict[str, Any], network: _Network, t: Texts) -> list[tuple[str, str]]:
    """Return what is told of the network that reads, by the keys of the networks' facts."""
    tally = network.report and network.report.tally
    told = {**card, **({"test": {"right": tally.right, "total": tally.total}} if tally else {})}
    found = [(key, _fact(key, told.get(key), t)) for key in _FACTS]
    return [(key, value) for key, value in found if value]


def _fact(key: str, value: Any, t: Texts) -> str:
    """Return a card's fact in words, "" for one that is not there or not what it should be."""
    match value:
        case {"right": int(right), "total": int(total)} if total > 0:
            share = f"{100 * right / total:.2f} %"
            return t("networks.right_of", share=share, right=_number(right), total=_number(total))
        case float() if key == "validation_accuracy":
            return f"{100 * value:.2f} %"
        case int() | float():
            return _number(value)
        case str():
            return value
        case _:
            return ""


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _number(value: float) -> str:
    """Return a number with thin spaces, which no language takes for a decimal point."""
    return (
        f"{value:,}".replace(",", "\u202f")
        if isinstance(value, int)
        else f"{value:.3g}".replace("-", "−")
    )


# ---- the API ----


def _told(network: _Network) -> dict[str, Any]:
    report = network.report
    return {
        "id": network.id,
        "layers": network.tracer.layers,
        "filters": [each.url for each in network.filters],
        "report": report
        and {
            "accuracy": report.tally.accuracy,
            "right": report.tally.right,
            "total": report.tally.total,
            "refused": report.tally.refused,
            "confusion": report.confusion.tolist(),
            "calibration_error": report.calibration_error,
            "bins": report.as_json()["bins"],
            "wrong": [_told_wrong(each) for each in report.wrong],
        },
    }


def _told_wrong(wrong: Wrong) -> dict[str, Any]:
    pixels = wrong.pixels
    return {
        "number": wrong.number,
        "label": wrong.label,
        "answer": wrong.answer,
        "confidence": wrong.confidence,
        "glyph": None if pixels is None else png(pixels.reshape(28, 28)),
    }


def _tagged(response: Response, tag: str) -> Response:
    response.set_etag(tag)
    response.headers["Cache-Control"] = "no-cache"
    return response
