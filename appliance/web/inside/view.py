"""What is inside the network that reads: its filters, one digit layer by layer, what it gets wrong.

The view needs no script. What costs a Pi Zero time is made once: the pictures of a network when it
begins to read, the steps of a digit when somebody looks at it first.
"""

import json
import secrets
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from flask import Blueprint, Response, render_template, request

from appliance.networks.live import LiveNetwork
from appliance.outputs.latest import Latest, Recent
from appliance.reader.reader import Reader
from appliance.reading import Array
from appliance.web.cache import Cache, set_etag
from appliance.web.draw.pictures import png
from appliance.web.inside.digit import MOST_NUMBER, Digits
from appliance.web.inside.feature_maps import greys, largest, scale, sheet, shown
from appliance.web.inside.steps import Shown, found, number, stepped
from appliance.web.inside.steps import answer as likeliest
from appliance.web.language import Texts, request_texts
from appliance.web.problem import problem
from appliance.web.request_args import int_arg
from model.activations import Tracer, filters
from model.errors import ReportError
from model.network import Network

# Imported where somebody looks: the start does without.
if TYPE_CHECKING:
    from model.evaluation_report import Report, Wrong

_STEPPED, _PAGES = 12, 30
_FACTS = "id", "preset", "made", "parameters", "multiply_adds", "validation_accuracy", "test"


def blueprint(
    *,
    reader: Reader,
    networks: LiveNetwork,
    latest: Latest,
    drawn: Recent,
    clock: Callable[[], float] = time.monotonic,
) -> Blueprint:
    """Return the routes; `drawn` has the pictures that were sent and read."""
    routes = Blueprint("inside", __name__)
    digits = Digits(latest, drawn, clock)
    read_with, told = Cache[_Network](), Cache[bytes]()
    kept_steps, pages = Cache[list[Shown]](_STEPPED), Cache[bytes](_PAGES)
    # Numbers of readings begin anew with a restart; an ETag of before must not match then.
    boot = secrets.token_hex(4)

    def now() -> tuple[str, "_Network"]:
        """Return the network that reads, under a stamp that its report changes too."""
        networks.refresh()
        # In this order: what is made of a new network under the old one's id is made again.
        id, network = reader.id, reader.network
        file = networks.vault.report_file(id[:12])
        # During a promotion the card may be that of the one before.
        stamp = f"{boot}-{id[:12]}-{networks.id}"
        with suppress(OSError):
            at = file.stat()
            stamp += f"-{at.st_mtime_ns}-{at.st_size}"

        def made() -> _Network:
            from model.evaluation_report import OF_SHIPPED
            from model.evaluation_report import load as load_report

            report, trouble = None, None
            for each in (file, OF_SHIPPED):
                try:
                    report = report or load_report(each, id)
                except ReportError:
                    trouble = str(each)
            return _Network(id[:12], network, report, trouble)

        return stamp, read_with.get(stamp, made)

    @routes.get("/api/v1/inside")
    def api() -> Response:
        stamp, network = now()
        if stamp in request.if_none_match:
            return set_etag(Response(status=304), stamp)
        body = told.get(stamp, lambda: json.dumps(_told(network)).encode())
        return set_etag(Response(body, mimetype="application/json"), stamp)

    @routes.get("/inside")
    def page() -> Response:
        stamp, network = now()
        digit, gone = digits.asked()
        place, t = int_arg("layer", 1, MOST_NUMBER) or 1, request_texts()
        sent, from_camera = digits.sent(), digits.camera() is not None
        chips = "".join(f"{each.number}" for each in sent)
        tag = f"{stamp}{digit.key}{gone:d}{from_camera:d}.{place}.{t.language}{chips}"
        if tag in request.if_none_match:
            return set_etag(Response(status=304), tag)

        def rendered() -> bytes:
            from appliance.web.inside.reliability import render_reliability_diagram

            steps = kept_steps.get((stamp, digit.key), lambda: stepped(network.tracer, digit.glyph))
            # A network that was promoted meanwhile may have fewer layers.
            here = min(place, len(steps))
            step = steps[here - 1]
            page = render_template(
                "inside.html",
                digit=digit,
                gone=gone,
                own=range(10),
                sent=sent,
                from_camera=from_camera,
                steps=steps,
                step=step,
                number=here,
                bars=step.bars(t),
                answer=likeliest(steps[-1].values, t),
                least=round(100 * reader.least_confidence),
                scale=scale(),
                network=network,
                stamp=stamp,
                found=found(steps),
                facts=_facts(networks.card(), network, t),
                right=network.report and _right(network.report),
                confusion=network.report and _confusion(network.report),
                reliability=network.report and render_reliability_diagram(network.report.bins, t),
                command=_command(networks, network.id),
                card=None if networks.configured_file else network.id,
            )
            return page.encode()

        response = Response(pages.get(tag, rendered), mimetype="text/html")
        return set_etag(response, tag)

    @routes.get("/inside/wrong.png")
    def wrong_ones() -> Response:
        stamp, network = now()
        if network.wrong is None:
            return problem(404, "there are no pictures of what this network got wrong")
        response = Response(network.wrong, mimetype="image/png")
        if request.args.get("of") == stamp:
            response.headers["Cache-Control"] = "private, max-age=86400"
            return response
        return set_etag(response, stamp)

    return routes


class _Network:
    """What is shown of a network that does not change while it reads."""

    def __init__(
        self, id: str, network: Network, report: "Report | None", trouble: str | None
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
        self.strengths = [tuple(map(number, _ends(each))) for each in pictures]
        pixels = [each.pixels for each in report.wrong if each.pixels is not None] if report else []
        # They are the same on every page of the view: a file of their own is sent once.
        whole = report and 0 < len(pixels) == len(report.wrong)
        self.wrong = greys(np.reshape(pixels, (-1, 28, 28))) if whole else None


def _ends(values: Array) -> tuple[float, float]:
    values = np.nan_to_num(values)
    return float(values.min(initial=0)), float(values.max(initial=0))


# ---- how it reads ----


def _right(report: "Report") -> dict[str, str]:
    tally = report.tally
    counts = {"right": tally.right, "total": tally.total, "refused": tally.refused}
    told = {name: number(count) for name, count in counts.items()}
    return {**told, "share": f"{100 * tally.accuracy:.2f} %"}


def _confusion(report: "Report") -> list[list[tuple[int, str]]]:
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


def _command(networks: LiveNetwork, id: str) -> str:
    """Return the command that writes the report, with the digits, of the network that reads."""
    words = ["digits", "evaluate", "--mnist", "mnist"]
    if networks.configured_file:
        words += ["--network", networks.configured_file]
    elif (file := networks.vault.folder / f"{id}.npz").exists():
        words += ["--network", str(file)]
    return shlex.join([*words, "--report", str(networks.vault.report_file(id))])


def _facts(card: dict[str, Any], network: _Network, t: Texts) -> list[tuple[str, str]]:
    """Return what is told of the network that reads, by the keys of the networks' facts."""
    tally = network.report and network.report.tally
    told = {**card, **({"test": {"right": tally.right, "total": tally.total}} if tally else {})}
    facts = [(key, _fact(key, told.get(key), t)) for key in _FACTS]
    return [(key, value) for key, value in facts if value]


def _fact(key: str, value: Any, t: Texts) -> str:
    """Return a card's fact in words, "" for one that is not there or not what it should be."""
    match value:
        case {"right": int(right), "total": int(total)} if total > 0:
            share = f"{100 * right / total:.2f} %"
            return t("networks.right_of", share=share, right=number(right), total=number(total))
        case float() if key == "validation_accuracy":
            return f"{100 * value:.2f} %"
        case int() | float():
            return number(value)
        case str():
            return value
        case _:
            return ""


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


def _told_wrong(wrong: "Wrong") -> dict[str, Any]:
    pixels = wrong.pixels
    return {
        "number": wrong.number,
        "label": wrong.label,
        "answer": wrong.answer,
        "confidence": wrong.confidence,
        "glyph": None if pixels is None else png(pixels.reshape(28, 28)),
    }
