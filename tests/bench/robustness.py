"""robustness: each factor of the simulator by itself, at five strengths."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import harness, pages

if TYPE_CHECKING:
    from model.datasets import Bytes

STRENGTHS = 0.1, 0.3, 0.5, 0.7, 0.9
MIDDLE = 0.5
WANTED = 0.97
"""What every factor is to leave at the middle strength."""
REFERENCE = "none"


def add(parsers: Any) -> None:
    parser = harness.add_bench(
        parsers,
        "robustness",
        "read MNIST's test digits on simulated paper, one factor at a time at five strengths",
        "--data mnist",
        count=1000,
        of="digits a cell of the table",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", required=True, help="MNIST's files")
    parser.add_argument(
        "--factor", nargs="+", metavar="NAME", help="only these factors (default: all)"
    )
    parser.set_defaults(measure=measure)


def measure(args: argparse.Namespace) -> None:
    import numpy as np

    from appliance.errors import SettingsError
    from appliance.simulator.paper import FACTORS
    from model.datasets import load_split

    for name in args.factor or ():
        if name not in FACTORS:
            raise SettingsError(f"--factor {name[:40]}: one of {', '.join(FACTORS)}")
    folder, source = pages.make_folder(args), harness.get_source(args)
    data = load_split(args.data, "test")
    count = min(harness.get_count(args), len(data))
    chosen = np.sort(np.random.default_rng(args.seed).permutation(len(data))[:count])
    images, labels = data.take(chosen)
    factors = list(args.factor or FACTORS)
    cells = [(REFERENCE, 0.0), *((name, strength) for name in factors for strength in STRENGTHS)]
    tasks = [
        (
            f"{name} {strength}",
            (source, name, strength, args.shape, args.seed, first, images[first:end],
             labels[first:end]),
        )
        for name, strength in cells
        for first, end in harness.iterate_blocks(count)
    ]  # fmt: skip
    scores = harness.score_blocks(read_block, tasks, harness.get_processes(args))
    pages.publish(
        folder,
        "robustness",
        _write_page(args, factors, scores, count),
        {
            "seed": args.seed,
            "digits": count,
            "shape": list(args.shape),
            "cells": {cell: score.to_json() for cell, score in scores.items()},
            "milliseconds": harness.mean_milliseconds(list(scores.values())),
        },
        lambda figure: _plot(figure, factors, scores),
    )


def read_block(
    source: harness.Source,
    name: str,
    strength: float,
    shape: tuple[int, int],
    seed: int,
    first: int,
    images: "Bytes",
    labels: "Bytes",
) -> harness.Score:
    """Return the score of some digits, uint8 (n, 784), under one factor.

    A digit's own seed decides the rest of its photograph, whatever the factor and its strength.
    """
    import numpy as np

    from appliance.simulator import scenes
    from appliance.simulator.paper import Conditions
    from model.datasets import Scaling

    conditions = Conditions(**{} if name == REFERENCE else {name: strength})
    scans = Scaling()(images).reshape(-1, 28, 28)
    score = harness.Score()
    for place, (scan, label) in enumerate(zip(scans, labels.tolist(), strict=True)):
        rng = np.random.default_rng([seed, first + place])

        def simulate(scan: Any = scan, label: int = label, rng: Any = rng) -> scenes.Scene:
            return scenes.render_digit(label, scan, conditions, rng, shape)

        harness.read_and_score(score, source, label, simulate)
    return score


def _write_page(
    args: argparse.Namespace, factors: list[str], scores: dict[str, harness.Score], count: int
) -> str:
    height, width = args.shape
    cost = harness.mean_milliseconds(list(scores.values()))
    reference = scores[f"{REFERENCE} 0.0"]
    middle = {name: scores[f"{name} {MIDDLE}"] for name in factors}
    rows = [
        (
            name,
            *(pages.format_percent(scores[f"{name} {each}"].accuracy) for each in STRENGTHS),
            each.refused,
            each.commonest_refusal,
            each.wrong,
            each.confident,
        )
        for name, each in middle.items()
    ]
    low = [f"{name} ({pages.format_percent(each.accuracy)})" for name, each in middle.items()
           if each.accuracy < WANTED]  # fmt: skip
    verdict = (
        f"Below {pages.format_percent(WANTED)} at the middle strength: {', '.join(low)}."
        if low
        else f"At the middle strength every factor keeps {pages.format_percent(WANTED)} or more."
    )
    return "\n".join(
        [
            "# Robustness",
            "",
            "Written by `python -m tests.bench robustness --data MNIST`. The same "
            f"{count:,} of MNIST's test digits in every cell, photographed by the simulator at "
            f"{width}×{height} with one factor and no other (`digits simulate --list` says what "
            "each does), and read by the whole reader. Accuracy, a refusal counting as not right; "
            "the last four columns are at strength 0.5.",
            "",
            f"Without any factor: {pages.format_percent(reference.accuracy)} right, "
            f"{reference.refused} refused, {reference.wrong} wrong, {reference.confident} of them "
            "with confidence 0.9 or more.",
            "",
            pages.make_table(
                ["factor", *map(str, STRENGTHS), "refused", "mostly as", "wrong", "≥ 0.9"], rows
            ),
            "",
            verdict,
            "",
            f"A frame took {cost['simulate']:.1f} ms to simulate and {cost['read']:.1f} ms to "
            "read, on one core.",
        ]
    )


def _plot(figure: Any, factors: list[str], scores: dict[str, harness.Score]) -> None:
    across = min(6, len(factors))
    down = -(-len(factors) // across)
    figure.set_size_inches(1.8 * across, 1.5 * down + 0.3)
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    reference = 100 * scores[f"{REFERENCE} 0.0"].accuracy
    for axis, name in zip(axes.flat, factors, strict=False):
        cells = [scores[f"{name} {strength}"] for strength in STRENGTHS]
        right = [reference, *(100 * cell.accuracy for cell in cells)]
        wrong = [100 * cell.wrong / cell.total for cell in cells]
        axis.axhline(100 * WANTED, color="0.7", linewidth=0.8)
        axis.plot([0, *STRENGTHS], right, marker="o", markersize=3, linewidth=1.2)
        axis.plot(STRENGTHS, wrong, color="tab:red", linewidth=1)
        axis.set_title(name, fontsize=9)
        axis.set_ylim(-3, 103)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(factors) :]:
        axis.axis("off")
    figure.supxlabel("strength", fontsize=9)
    figure.supylabel("% right (blue), wrong (red)", fontsize=9)
