"""calibration: whether 0.9 means nine in ten, on photographs and simulated sheets."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.console import say
from appliance.training.pool import map_blocks
from tests.bench import harness, pages
from tests.bench.sheets import read_simulated

if TYPE_CHECKING:
    from model.calibration import Right
    from model.layers import Array

NONE = "none"
WANTED = 0.015
"""The expected calibration error is to be no more."""
LEVELS = 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99


@dataclass(frozen=True)
class Answers:
    """The answers to `of` digits: their confidence (n,) and whether they are right (n,)."""

    confidence: "Array"
    right: "Right"
    of: int

    def from_level(self, level: float) -> dict[str, float]:
        """Return how many are given at this confidence or more, of all digits, and how many err."""
        given = self.confidence >= level
        wrong = int((given & ~self.right).sum())
        count = int(given.sum())
        return {
            "level": level,
            "given": count,
            "coverage": count / max(1, self.of),
            "wrong": wrong,
            "error": wrong / max(1, count),
        }


def add(parsers: Any) -> None:
    parser = harness.add_bench(
        parsers,
        "calibration",
        "hold the confidence against the share that is right: calibration error, coverage, risk",
        "--photos photos --data mnist",
        count=1000,
        of="simulated sheets",
    )
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", required=True, help="folders named 0 to 9 and none"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", required=True, help="MNIST's files")
    parser.set_defaults(measure=measure)


def measure(args: argparse.Namespace) -> None:
    from model.calibration import calibration_error, reliability

    folder = pages.make_folder(args)
    photos = _read_photographs(args)
    sheets = read_simulated(args, harness.get_count(args))
    answers = {
        "photographs of digits": _answers(
            (answer for label, answer in photos if label != NONE),
            sum(label != NONE for label, _ in photos),
        ),
        # Every answer to a picture without a digit is wrong.
        "photographs, those without a digit too": _answers(
            (answer for _, answer in photos), len(photos)
        ),
        "simulated sheets": _answers(
            (answer for sheet in sheets for answer in sheet.answers),
            sum(sheet.count for sheet in sheets),
        ),
    }
    pages.publish(
        folder,
        "calibration",
        _write_page(answers, len(sheets)),
        {
            "seed": args.seed,
            "shape": list(args.shape),
            "sheets": len(sheets),
            "answers": {
                name: {
                    "answers": len(each.right),
                    "of": each.of,
                    "calibration_error": calibration_error(each.confidence, each.right),
                    "bins": [vars(one) for one in reliability(each.confidence, each.right)],
                    "levels": [each.from_level(level) for level in LEVELS],
                }
                for name, each in answers.items()
            },
        },
        lambda figure: _plot(figure, answers),
    )


def _answers(answers: Iterable[tuple[float, bool] | None], of: int) -> Answers:
    import numpy as np

    given = [answer for answer in answers if answer is not None]
    return Answers(
        np.array([confidence for confidence, _ in given], np.float32),
        np.array([right for _, right in given], bool),
        of,
    )


Labelled = tuple[str, tuple[float, bool] | None]
"""A photograph's label, and its answer's confidence and whether it is right; None: refused."""


def _read_photographs(args: argparse.Namespace) -> list[Labelled]:
    from appliance.errors import PictureError
    from appliance.picture import pictures_in

    files = [
        (label, file)
        for label in (*map(str, range(10)), NONE)
        if (args.photos / label).is_dir()
        for file in pictures_in(args.photos / label)
    ]
    if not files:
        raise PictureError(f"{args.photos}: there are no pictures in folders named 0 to 9 in it")
    if args.quick:
        files = files[::10]
    say(f"{len(files)} photographs")
    source = harness.get_source(args)
    tasks = ((source, files[first:end]) for first, end in harness.iterate_blocks(len(files)))
    return [
        each
        for block in map_blocks(read_files, tasks, harness.get_processes(args))
        for each in block
    ]


def read_files(source: harness.Source, files: Sequence[tuple[str, Path]]) -> list[Labelled]:
    """Return the answers to some photographs; one that cannot be opened is left out."""
    from appliance.errors import PictureError
    from appliance.picture import open_picture

    labelled: list[Labelled] = []
    for label, file in files:
        try:
            reading = harness.get_reader(source).read(open_picture(file, str(file)))
        except (PictureError, OSError) as error:
            say(f"left out: {error}")
            continue
        refused = reading.digit is None
        labelled.append(
            (label, None if refused else (reading.confidence, str(reading.digit) == label))
        )
    return labelled


def _write_page(answers: dict[str, Answers], sheets: int) -> str:
    from model.calibration import calibration_error, reliability

    errors = {
        name: calibration_error(each.confidence, each.right) for name, each in answers.items()
    }
    high = [f"{name} ({100 * error:.2f} %)" for name, error in errors.items() if error > WANTED]
    parts = [
        "# Calibration",
        "",
        "Written by `python -m tests.bench calibration --photos DIR --data MNIST`. The confidence "
        "of every answer of the whole reader against the share that is right: photographs, and "
        f"{sheets:,} simulated sheets of 2 to 12 digits, each mark with an answer. An answer where "
        "there is no digit is wrong. The expected calibration error is over 15 equal bins.",
        "",
        pages.make_table(
            ["of", "digits", "answers", "right", "calibration error"],
            (
                (name, each.of, len(each.right), int(each.right.sum()),
                 f"{100 * errors[name]:.2f} %")
                for name, each in answers.items()
            ),
        ),
        "",
        f"Above {100 * WANTED:g} %: {', '.join(high)}."
        if high
        else f"None is above {100 * WANTED:g} %.",
    ]  # fmt: skip
    for name, each in answers.items():
        parts += [
            "",
            f"## {name[0].upper()}{name[1:]}",
            "",
            pages.make_table(
                ["confidence", "answers", "mean confidence", "right"],
                (
                    (f"{one.low:.2f} to {one.high:.2f}", one.count,
                     f"{100 * one.confidence:.1f} %", f"{100 * one.accuracy:.1f} %")
                    for one in reliability(each.confidence, each.right)
                ),
            ),
            "",
            pages.make_table(
                ["answered from", "given", "of all digits", "wrong", "error"],
                (
                    (level["level"], level["given"], f"{100 * level['coverage']:.1f} %",
                     level["wrong"], f"{100 * level['error']:.2f} %")
                    for level in map(each.from_level, LEVELS)
                ),
            ),
        ]  # fmt: skip
    return "\n".join(parts)


def _plot(figure: Any, answers: dict[str, Answers]) -> None:
    from model.calibration import reliability, risk_coverage

    figure.set_size_inches(9, 3.6)
    belief, risk = figure.subplots(1, 2)
    belief.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    for name, each in answers.items():
        bins = reliability(each.confidence, each.right)
        (line,) = belief.plot(
            [one.confidence for one in bins],
            [one.accuracy for one in bins],
            label=name,
            linewidth=1,
        )
        # The larger a point, the more answers it stands for.
        belief.scatter(
            [one.confidence for one in bins],
            [one.accuracy for one in bins],
            [4 + 60 * (one.count / max(1, len(each.right))) ** 0.5 for one in bins],
            color=line.get_color(),
        )
        coverage, error = risk_coverage(each.confidence, each.right)
        share = len(each.right) / max(1, each.of)
        risk.plot(100 * share * coverage, 100 * error, label=name, linewidth=1.2)
    belief.set(xlabel="confidence", ylabel="share right", title="reliability")
    risk.set(xlabel="% of all digits answered", ylabel="% of the answers wrong", title="coverage")
    for axis in (belief, risk):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
