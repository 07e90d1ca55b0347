"""The network that reads as the view shows it: its filters, its report, its facts."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from appliance.networks.live import LiveNetwork
from appliance.reading import Array
from appliance.web.draw.pictures import to_png_url
from appliance.web.inside.feature_maps import limit_maps, max_magnitude, render_sheet, tile_greys
from appliance.web.inside.steps import format_number
from appliance.web.language import Texts
from model.activations import Tracer, filters
from model.errors import ReportError
from model.evaluation_report import OF_SHIPPED, Report, Wrong
from model.evaluation_report import load as load_report
from model.network import Network

_FACTS = "id", "preset", "made", "parameters", "multiply_adds", "validation_accuracy", "test"


class NetworkView:
    """What stays the same while a network reads; `id` has 12 characters.

    The report is the one in `report_file`, else the one that ships. `damaged_report` names a file
    that is not a whole report.
    """

    def __init__(self, network: Network, checksum: str, report_file: Path) -> None:
        self.id = checksum[:12]
        self.tracer = Tracer(network)
        self.report, self.damaged_report = _load_report(checksum, report_file)
        all_filters = filters(network)
        shown = limit_maps(all_filters)
        limit = max_magnitude(shown)
        self.filter_count = len(all_filters)
        self.filters = [render_sheet(each[None], limit, width=100) for each in shown]
        self.weight_ranges = [tuple(map(format_number, _value_range(each))) for each in shown]
        wrong = self.report.wrong if self.report else []
        pixels = [each.pixels for each in wrong if each.pixels is not None]
        # The same on every page of the view: a file of their own is sent once.
        are_complete = 0 < len(pixels) == len(wrong)
        self.wrong_png = tile_greys(np.reshape(pixels, (-1, 28, 28))) if are_complete else None

    def accuracy(self) -> dict[str, str] | None:
        """Return the report's counts in words, None without a report."""
        if self.report is None:
            return None
        tally = self.report.tally
        counts = {"right": tally.right, "total": tally.total, "refused": tally.refused}
        words = {name: format_number(count) for name, count in counts.items()}
        return {**words, "share": f"{100 * tally.accuracy:.2f} %"}

    def confusion(self) -> list[list[tuple[int, str]]] | None:
        """Return each digit's counts with a class each: right, e1 to e3 for mistakes, "" for 0."""
        if self.report is None:
            return None
        counts = self.report.confusion
        most = max(int((counts * (1 - np.eye(*counts.shape, dtype=np.int64))).max()), 1)
        return [
            [
                (
                    count,
                    "right" if answer == label else f"e{-(-3 * count // most)}" if count else "",
                )
                for answer, count in enumerate(row)
            ]
            for label, row in enumerate(counts.tolist())
        ]

    def facts(self, card: dict[str, Any], t: Texts) -> list[tuple[str, str]]:
        """Return the keys and words of what the card, or the report, says of the network."""
        if self.report is not None:
            tally = self.report.tally
            card = {**card, "test": {"right": tally.right, "total": tally.total}}
        facts = [(key, _fact_in_words(key, card.get(key), t)) for key in _FACTS]
        return [(key, words) for key, words in facts if words]

    def to_json(self) -> dict[str, Any]:
        report = self.report
        return {
            "id": self.id,
            "layers": self.tracer.layers,
            "filters": [each.url for each in self.filters],
            "report": report
            and {
                "accuracy": report.tally.accuracy,
                "right": report.tally.right,
                "total": report.tally.total,
                "refused": report.tally.refused,
                "confusion": report.confusion.tolist(),
                "calibration_error": report.calibration_error,
                "bins": report.to_json()["bins"],
                "wrong": [_wrong_to_json(each) for each in report.wrong],
            },
        }


def report_command(networks: LiveNetwork, id: str) -> str:
    """Return the command that writes a network's report, with the pixels of the wrong digits."""
    words = ["digits", "evaluate", "--mnist", "mnist"]
    if networks.configured_file:
        words += ["--network", networks.configured_file]
    elif (file := networks.vault.folder / f"{id}.npz").exists():
        words += ["--network", str(file)]
    return shlex.join([*words, "--report", str(networks.vault.report_file(id))])


def _load_report(checksum: str, file: Path) -> tuple[Report | None, str | None]:
    report, damaged = None, None
    for each in (file, OF_SHIPPED):
        try:
            report = report or load_report(each, checksum)
        except ReportError:
            damaged = str(each)
    return report, damaged


def _value_range(values: Array) -> tuple[float, float]:
    values = np.nan_to_num(values)
    return float(values.min(initial=0)), float(values.max(initial=0))


def _fact_in_words(key: str, value: Any, t: Texts) -> str:
    """Return a card's fact in words, "" for one that is missing or not what it should be."""
    match value:
        case {"right": int(right), "total": int(total)} if total > 0:
            return t(
                "networks.right_of",
                share=f"{100 * right / total:.2f} %",
                right=format_number(right),
                total=format_number(total),
            )
        case float() if key == "validation_accuracy":
            return f"{100 * value:.2f} %"
        case int() | float():
            return format_number(value)
        case str():
            return value
        case _:
            return ""


def _wrong_to_json(wrong: Wrong) -> dict[str, Any]:
    pixels = wrong.pixels
    return {
        "number": wrong.number,
        "label": wrong.label,
        "answer": wrong.answer,
        "confidence": wrong.confidence,
        "glyph": None if pixels is None else to_png_url(pixels.reshape(28, 28)),
    }
