"""sheets: several digits in view; each is to be found, read right and in order."""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.console import clock, say
from appliance.training.pool import map_blocks
from tests.bench import harness, pages

if TYPE_CHECKING:
    from appliance.reading import Answer, Box
    from model.datasets import Split

FEWEST, MOST = 2, 12
HARDNESS = 0.5
WANTED = 0.98
"""The share of sheets on which every digit is to be right and in order."""
_OWN_HAND = 0.5


@dataclass(frozen=True)
class Sheet:
    """What was made of one sheet of `count` digits.

    `found` have a mark's centre in their box, `right` are answered right; `in_order` tells that
    those found are in reading order, `whole` that the answers are the sheet's digits, no more and
    no fewer. `answers` are the confidence of each answer and whether it is right. The seconds are
    the processor's for simulating and reading.
    """

    count: int
    found: int
    right: int
    in_order: bool
    whole: bool
    answers: tuple[tuple[float, bool], ...]
    simulating: float
    reading: float


def add(parsers: Any) -> None:
    parser = harness.add_bench(
        parsers,
        "sheets",
        f"read simulated sheets of {FEWEST} to {MOST} digits, and photographs of sheets",
        "--data mnist",
        count=1000,
        of="simulated sheets",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", required=True, help="MNIST's files")
    parser.add_argument(
        "--photos-sheets", type=Path, metavar="DIR",
        help="photographs of sheets; beside the folder a sheets.tsv: file, box, label",
    )  # fmt: skip
    parser.set_defaults(measure=measure)


def measure(args: argparse.Namespace) -> None:
    folder = pages.make_folder(args)
    real: dict[str, Sheet] = {}
    if args.photos_sheets:
        real = read_photographs(args.photos_sheets, harness.get_source(args))
    sheets = read_simulated(args, harness.get_count(args))
    pages.publish(
        folder,
        "sheets",
        _write_page(args, sheets, real),
        {
            "seed": args.seed,
            "shape": list(args.shape),
            "sheets": len(sheets),
            "by_count": {
                count: {
                    "sheets": len(group),
                    "whole": sum(sheet.whole for sheet in group),
                    "digits": sum(sheet.count for sheet in group),
                    "found": sum(sheet.found for sheet in group),
                    "right": sum(sheet.right for sheet in group),
                }
                for count, group in _group_by_count(sheets).items()
            },
            "photographs": {
                name: {"digits": s.count, "found": s.found, "right": s.right,
                       "in_order": s.in_order, "whole": s.whole}
                for name, s in real.items()
            },
            "milliseconds": {"simulate": _mean(s.simulating for s in sheets),
                             "read": _mean(s.reading for s in sheets)},
        },
        lambda figure: _plot(figure, sheets),
    )  # fmt: skip


def read_simulated(args: argparse.Namespace, count: int) -> list[Sheet]:
    """Return what is made of so many simulated sheets, half of MNIST's test digits."""
    from model.datasets import load_split

    source, processes = harness.get_source(args), harness.get_processes(args)
    data = load_split(args.data, "test")
    tasks = (
        (source, args.shape, args.seed, first, _draw_scans(data, args.seed, first, end))
        for first, end in harness.iterate_blocks(count)
    )
    sheets: list[Sheet] = []
    started = time.monotonic()
    for block in map_blocks(read_block, tasks, processes):
        sheets += block
        if len(sheets) % 250 == 0 or len(sheets) == count:
            say(f"{len(sheets)} of {count} sheets ({clock(time.monotonic() - started)})")
    return sheets


def _draw_scans(data: "Split", seed: int, first: int, end: int) -> list[tuple[Any, Any]]:
    """Return the scans uint8 (n, 784) and labels (n,) that each of some sheets may show."""
    import numpy as np

    generators = (np.random.default_rng([seed, number]) for number in range(first, end))
    return [
        data.take(rng.integers(len(data), size=int(rng.integers(FEWEST, MOST + 1))))
        for rng in generators
    ]


def read_block(
    source: harness.Source,
    shape: tuple[int, int],
    seed: int,
    first: int,
    drawn: Sequence[tuple[Any, Any]],
) -> list[Sheet]:
    """Return what is made of some sheets; half of their scans give way to the project's hand."""
    import numpy as np

    from appliance.reading import make_frame
    from appliance.simulator import scenes
    from appliance.simulator.handwriting import HANDS
    from appliance.simulator.paper import random_conditions
    from model.datasets import Scaling

    scaling = Scaling()
    sheets = []
    for number, (images, labels) in enumerate(drawn, start=first):
        rng = np.random.default_rng([seed, number, 1])
        digits: list[int] = labels.tolist()
        writings: list[scenes.Writing] = list(scaling(images).reshape(-1, 28, 28))
        for place in range(len(digits)):
            if rng.random() < _OWN_HAND:
                digits[place] = int(rng.integers(10))
                variants = list(HANDS[digits[place]].values())
                writings[place] = variants[rng.integers(len(variants))]
        started = time.process_time()
        scene = scenes.render_sheet(digits, writings, random_conditions(rng, HARDNESS), rng, shape)
        simulated = time.process_time()
        reading = harness.get_reader(source).read(make_frame(scene.grey, 0.0))
        sheets.append(
            compare_marks(
                scene.digits, scene.boxes, reading.marks, simulated - started,
                time.process_time() - simulated,
            )
        )  # fmt: skip
    return sheets


def compare_marks(
    digits: Sequence[int],
    boxes: "Sequence[Box]",
    marks: "Sequence[Answer]",
    simulating: float = 0.0,
    reading: float = 0.0,
) -> Sheet:
    """Return how the marks of a sheet agree with its digits; a refused mark is no answer.

    A mark is of the digit in whose box its centre lies, of several the one with the nearest centre.
    """
    places = [_place(mark.box, boxes) for mark in marks]
    given: dict[int, set[int | None]] = {}
    for mark, place in zip(marks, places, strict=True):
        if place is not None:
            given.setdefault(place, set()).add(mark.digit)
    found = list(dict.fromkeys(place for place in places if place is not None))
    return Sheet(
        count=len(digits),
        found=len(found),
        # A digit that was read twice, as another the second time, is not right.
        right=sum(answers - {None} == {digits[place]} for place, answers in given.items()),
        in_order=found == sorted(found),
        whole=[mark.digit for mark in marks if mark.digit is not None] == list(digits),
        answers=tuple(
            (mark.confidence, place is not None and digits[place] == mark.digit)
            for mark, place in zip(marks, places, strict=True)
            if mark.digit is not None
        ),
        simulating=simulating,
        reading=reading,
    )


def _place(box: "Box", boxes: "Sequence[Box]") -> int | None:
    """Return which of the boxes a mark's centre lies in."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    inside = [
        ((x - (x0 + x1) / 2) ** 2 + (y - (y0 + y1) / 2) ** 2, place)
        for place, (x0, y0, x1, y1) in enumerate(boxes)
        if x0 <= x <= x1 and y0 <= y <= y1
    ]
    return min(inside)[1] if inside else None


def read_photographs(folder: Path, source: harness.Source) -> dict[str, Sheet]:
    """Return what is made of each photograph of the list beside its folder, by its file."""
    from appliance.errors import PictureError
    from appliance.picture import open_picture

    table_file = folder.parent / "sheets.tsv"
    if not table_file.is_file():
        raise PictureError(
            f"{table_file}: not there: write a line for each digit: file, box, label"
        )
    truths: dict[str, list[tuple[Box, int]]] = {}
    for number, line in enumerate(table_file.read_text(encoding="utf-8").splitlines()[1:], start=2):
        try:
            file, box, label = line.split("\t")
            x0, y0, x1, y1 = (int(side) for side in box.split(","))
            truths.setdefault(file, []).append(((x0, y0, x1, y1), int(label)))
        except ValueError:
            raise PictureError(
                f"{table_file}, line {number}: not a file, x0,y0,x1,y1 and a label between tabs"
            ) from None
    sheets = {}
    for file, marks in truths.items():
        started = time.process_time()
        reading = harness.get_reader(source).read(open_picture(folder.parent / file, file))
        boxes, digits = zip(*marks, strict=True)
        seconds = time.process_time() - started
        sheets[Path(file).name] = compare_marks(digits, boxes, reading.marks, reading=seconds)
    return sheets


def _group_by_count(sheets: Sequence[Sheet]) -> dict[int, list[Sheet]]:
    groups: dict[int, list[Sheet]] = {}
    for sheet in sorted(sheets, key=lambda sheet: sheet.count):
        groups.setdefault(sheet.count, []).append(sheet)
    return groups


def _mean(seconds: Iterator[float]) -> float:
    values = list(seconds)
    return 1000 * sum(values) / max(1, len(values))


def _write_page(args: argparse.Namespace, sheets: Sequence[Sheet], real: dict[str, Sheet]) -> str:
    def make_row(name: object, group: Sequence[Sheet]) -> tuple[object, ...]:
        digits = sum(sheet.count for sheet in group)
        whole = sum(sheet.whole for sheet in group)
        return (
            name,
            len(group),
            whole,
            pages.format_percent(whole / len(group)),
            digits,
            pages.format_percent(sum(sheet.found for sheet in group) / digits),
            pages.format_percent(sum(sheet.right for sheet in group) / digits),
        )

    whole = sum(sheet.whole for sheet in sheets) / len(sheets)
    verdict = "at least" if whole >= WANTED else "less than"
    parts = [
        "# Sheets with several digits",
        "",
        "Written by `python -m tests.bench sheets --data MNIST`. Simulated photographs at "
        f"{args.shape[1]}×{args.shape[0]} of {FEWEST} to {MOST} digits, half of them MNIST's test "
        "digits and half the project's own hand, in a natural mix of conditions up to strength "
        f"{HARDNESS}. A sheet is right when its answers are its digits in reading order, no more "
        "and no fewer; refused marks are no answers.",
        "",
        pages.make_table(
            ["digits", "sheets", "right", "share", "digits in all", "found", "digits right"],
            [
                *(make_row(count, group) for count, group in _group_by_count(sheets).items()),
                make_row("all", sheets),
            ],
        ),
        "",
        f"{pages.format_percent(whole)} of the sheets are right, "
        f"{verdict} {pages.format_percent(WANTED)}. "
        f"A sheet took {_mean(s.simulating for s in sheets):.1f} ms to simulate and "
        f"{_mean(s.reading for s in sheets):.1f} ms to read, on one core.",
    ]
    if real:
        digits = sum(sheet.count for sheet in real.values())
        right = sum(sheet.right for sheet in real.values())
        parts += [
            "",
            "## Photographs of sheets",
            "",
            pages.make_table(
                ["photograph", "digits", "found", "right", "in order", "all right"],
                (
                    (name, s.count, s.found, s.right, *("yes" if each else "no"
                                                        for each in (s.in_order, s.whole)))
                    for name, s in real.items()
                ),
            ),
            "",
            f"{right} of {digits} digits right ({pages.format_percent(right / digits)}).",
        ]  # fmt: skip
    return "\n".join(parts)


def _plot(figure: Any, sheets: Sequence[Sheet]) -> None:
    figure.set_size_inches(6, 3.2)
    axis = figure.subplots()
    groups = _group_by_count(sheets)
    whole = [100 * sum(s.whole for s in each) / len(each) for each in groups.values()]
    right = [
        100 * sum(s.right for s in each) / sum(s.count for s in each) for each in groups.values()
    ]
    axis.axhline(100 * WANTED, color="0.7", linewidth=0.8)
    axis.plot(list(groups), right, marker="o", markersize=3, label="digits right")
    axis.plot(list(groups), whole, marker="o", markersize=3, label="sheets right")
    axis.set(xlabel="digits on the sheet", ylabel="%")
    axis.grid(alpha=0.3)
    axis.legend()
