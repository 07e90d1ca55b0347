"""What the benches of the reader share: their options, blocks of work, answers counted."""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, add_reader, load_reader, positive_int
from appliance.console import clock, say
from appliance.training.pool import count_cores, map_blocks

if TYPE_CHECKING:
    from appliance.reader.reader import Reader
    from appliance.reading import Reading

BLOCK = 25
"""Frames that one process simulates and reads at a time."""

Source = tuple[Path | None, Path | None]
"""Where a reader comes from: its network's file and the settings', None for the usual ones."""


def add_bench(
    parsers: Any, name: str, summary: str, example: str, *, count: int, of: str, alone: bool = False
) -> argparse.ArgumentParser:
    """Return the parser of one bench of the reader, with the options that all of them have.

    One that measures time works `alone`, in one process.
    """
    parser = add_command(parsers, name, summary, f"python -m tests.bench {name} {example}".strip())
    parser.add_argument(
        "--count", type=positive_int, default=count, metavar="N", help=f"{of} (default: {count:,})"
    )
    parser.add_argument("--seed", type=positive_int, default=1, metavar="S", help="default: 1")
    parser.add_argument(
        "--quick", action="store_true",
        help="a tenth of the count, to see that it runs; writes files only with --out",
    )  # fmt: skip
    if not alone:
        parser.add_argument(
            "--processes", type=positive_int, metavar="N",
            help="share the work; the figures are the same (default: one a core)",
        )  # fmt: skip
    parser.add_argument(
        "--shape", type=_shape, default=(480, 640), metavar="WxH",
        help="size of the simulated frames (default: 640x480)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help=f"where reading-{name}.md, .json and .svg are written (default: docs/measured)",
    )  # fmt: skip
    add_reader(parser)
    return parser


def get_count(args: argparse.Namespace) -> int:
    """Return how many the options want, at least one."""
    return max(1, args.count // 10) if args.quick else int(args.count)


def get_processes(args: argparse.Namespace) -> int:
    return args.processes or count_cores()


def get_source(args: argparse.Namespace) -> Source:
    """Return where the reader comes from; raises its error now if it cannot be had."""
    source = args.network, args.config
    get_reader(source)
    return source


@lru_cache(maxsize=2)
def get_reader(source: Source) -> "Reader":
    """Return a process's own reader: one cannot be sent to another process."""
    network, config = source
    return load_reader(argparse.Namespace(network=network, config=config))


@dataclass
class Score:
    """Answers to frames: how many are right, wrong, wrong with confidence, refused and why.

    `simulating` and `reading` are the seconds of the processor that these took.
    """

    total: int = 0
    right: int = 0
    wrong: int = 0
    confident: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    simulating: float = 0.0
    reading: float = 0.0

    def add(self, truth: int | None, reading: "Reading") -> None:
        """Count the answer to one frame; any digit is wrong where there is none to be read."""
        from model.network import SURE

        self.total += 1
        if reading.digit is None:
            self.refusals[_kind(reading.reason)] += 1
        elif reading.digit == truth:
            self.right += 1
        else:
            self.wrong += 1
            self.confident += reading.confidence >= SURE

    def include(self, other: "Score") -> None:
        """Count another's answers too."""
        for name in ("total", "right", "wrong", "confident", "simulating", "reading"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.refusals += other.refusals

    @property
    def refused(self) -> int:
        return self.refusals.total()

    @property
    def accuracy(self) -> float:
        return self.right / max(1, self.total)

    @property
    def answered(self) -> float:
        """The share that got a digit at all."""
        return (self.right + self.wrong) / max(1, self.total)

    @property
    def commonest_refusal(self) -> str:
        """The commonest reason with its count; of two as common, the first by name."""
        best = min(self.refusals.items(), key=lambda item: (-item[1], item[0]), default=None)
        return f"{best[0]} ({best[1]})" if best else ""

    def to_json(self) -> dict[str, Any]:
        """Return the counts, without the seconds: the same whoever counted."""
        return {
            "total": self.total,
            "right": self.right,
            "wrong": self.wrong,
            "wrong_and_confident": self.confident,
            "refused": dict(sorted(self.refusals.items())),
        }


def read_and_score(
    score: Score, source: Source, truth: int | None, simulate: "Callable[[], Any]"
) -> "Reading":
    """Read the scene that `simulate` gives, count and return the reading; both are timed."""
    from appliance.reading import make_frame

    started = time.process_time()
    scene = simulate()
    simulated = time.process_time()
    reading = get_reader(source).read(make_frame(scene.grey, 0.0))
    score.reading += time.process_time() - simulated
    score.simulating += simulated - started
    score.add(truth, reading)
    return reading


def score_blocks(
    work: Callable[..., Score], tasks: Sequence[tuple[str, tuple[Any, ...]]], processes: int
) -> dict[str, Score]:
    """Return the score of each cell, summed over its blocks: `tasks` are (cell, block) in turn."""
    scores: dict[str, Score] = {}
    started = time.monotonic()
    results = map_blocks(work, (block for _, block in tasks), processes)
    for place, ((cell, _), score) in enumerate(zip(tasks, results, strict=True)):
        scores.setdefault(cell, Score()).include(score)
        if place + 1 == len(tasks) or tasks[place + 1][0] != cell:
            total = scores[cell]
            say(
                f"{cell}: {total.right} right, {total.wrong} wrong, {total.refused} refused "
                f"of {total.total} ({clock(time.monotonic() - started)})"
            )
    return scores


def iterate_blocks(count: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the one after the last of each block of so many frames."""
    for start in range(0, count, BLOCK):
        yield start, min(start + BLOCK, count)


def mean_milliseconds(scores: Sequence[Score]) -> dict[str, float]:
    """Return what a frame took to simulate and to read, on one core of those that shared them."""
    frames = max(1, sum(score.total for score in scores))
    return {
        "simulate": 1000 * sum(score.simulating for score in scores) / frames,
        "read": 1000 * sum(score.reading for score in scores) / frames,
    }


def _kind(reason: str | None) -> str:
    reason = reason or "no reason"
    return "unsure between two" if reason.startswith("unsure") else reason


def _shape(text: str) -> tuple[int, int]:
    """Return (height, width) of "WIDTHxHEIGHT"."""
    width, _, height = text.lower().replace("×", "x").partition("x")
    try:
        shape = int(height), int(width)
    except ValueError:
        shape = 0, 0
    if not all(60 <= side <= 4000 for side in shape):
        raise argparse.ArgumentTypeError(f"{text[:20]} is no size from 60x60 to 4000x4000")
    return shape
