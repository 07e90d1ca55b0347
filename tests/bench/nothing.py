"""nothing: how often a picture without a digit gets one."""

import argparse
from collections import Counter
from typing import Any

from tests.bench import harness, pages

WANTED = 0.005
"""At most this share of each may get a digit at all."""
TEXTURES = "textures"


def add(parsers: Any) -> None:
    parser = harness.add_bench(
        parsers,
        "nothing",
        "read blank paper, textures, letters, signs, words, scribbles and noise",
        "",
        count=10_000,
        of="pictures of each, and a tenth of words, signs, scribbles and doodles",
    )
    parser.set_defaults(measure=measure)


def measure(args: argparse.Namespace) -> None:
    from appliance.simulator.handwriting import LETTERS, SIGNS
    from appliance.simulator.scenes import NO_DIGIT_KINDS, NOISES

    folder, source = pages.make_folder(args), harness.get_source(args)
    count, processes = harness.get_count(args), harness.get_processes(args)
    written = "blank", "letters", "word", "signs", "scribble", "doodle"
    textures = [kind for kind in NO_DIGIT_KINDS if kind not in (*written, *NOISES)]
    # The textures share one count, as one kind of picture.
    counts = dict.fromkeys(("blank", "letters", *NOISES), count)
    counts |= {kind: max(1, count // 10) for kind in written if kind not in counts}
    counts |= {kind: max(1, count // len(textures)) for kind in textures}
    tasks = [
        (kind, (source, kind, args.shape, args.seed, *block))
        for kind in (*written, *textures, *NOISES)
        for block in harness.iterate_blocks(counts[kind])
    ]
    scores = harness.score_blocks(read_block, tasks, processes)
    names = [("letter", name) for name in LETTERS] + [("sign", name) for name in SIGNS]
    each = max(1, count // (10 * len(LETTERS)))
    singles = [
        (f"{what} {name}", (source, what, name, args.shape, args.seed, *block))
        for what, name in names
        for block in harness.iterate_blocks(each)
    ]
    taken = _count_confusions(singles, processes)
    whole = harness.Score()
    for kind in textures:
        whole.include(scores[kind])
    groups = {**{kind: scores[kind] for kind in written}, TEXTURES: whole}
    groups |= {kind: scores[kind] for kind in NOISES}
    pages.publish(
        folder,
        "nothing",
        _write_page(args, groups, {kind: scores[kind] for kind in textures}, taken, each),
        {
            "seed": args.seed,
            "shape": list(args.shape),
            "kinds": {kind: score.to_json() for kind, score in scores.items()},
            "each_sign": each,
            "taken": {name: dict(sorted(digits.items())) for name, digits in taken.items()},
            "milliseconds": harness.mean_milliseconds(list(scores.values())),
        },
        lambda figure: _plot(figure, groups),
    )


def read_block(
    source: harness.Source, kind: str, shape: tuple[int, int], seed: int, first: int, end: int
) -> harness.Score:
    """Return the score of some pictures of a kind without a digit."""
    import numpy as np

    from appliance.simulator import scenes
    from appliance.simulator.paper import random_conditions

    score = harness.Score()
    for number in range(first, end):
        # The kind is part of the seed: no two kinds lie on the same sheets.
        rng = np.random.default_rng([seed, number, scenes.NO_DIGIT_KINDS.index(kind)])
        conditions = random_conditions(rng)

        def simulate(rng: Any = rng, conditions: Any = conditions) -> scenes.Scene:
            return scenes.render_no_digit(kind, conditions, rng, shape)

        harness.read_and_score(score, source, None, simulate)
    return score


def read_sign(
    source: harness.Source,
    what: str,
    name: str,
    shape: tuple[int, int],
    seed: int,
    first: int,
    end: int,
) -> Counter[str]:
    """Return the digits that photographs of one letter or sign were taken for, with counts."""
    import numpy as np

    from appliance.simulator import scenes
    from appliance.simulator.handwriting import LETTERS, SIGNS
    from appliance.simulator.paper import random_conditions

    signs = LETTERS if what == "letter" else SIGNS
    score, digits = harness.Score(), Counter[str]()
    for number in range(first, end):
        rng = np.random.default_rng([seed, number, list(signs).index(name)])
        conditions = random_conditions(rng)

        def simulate(rng: Any = rng, conditions: Any = conditions) -> scenes.Scene:
            # One sign is set on the sheet as one digit is.
            return scenes.render_digit(0, signs[name], conditions, rng, shape)

        reading = harness.read_and_score(score, source, None, simulate)
        if reading.digit is not None:
            digits[str(reading.digit)] += 1
    return digits


def _count_confusions(
    tasks: list[tuple[str, tuple[Any, ...]]], processes: int
) -> dict[str, Counter[str]]:
    from appliance.console import say
    from appliance.training.pool import map_blocks

    say(f"each letter and sign by itself: {len({name for name, _ in tasks})} of them")
    taken: dict[str, Counter[str]] = {}
    counts = map_blocks(read_sign, (block for _, block in tasks), processes)
    for (name, _), digits in zip(tasks, counts, strict=True):
        taken.setdefault(name, Counter()).update(digits)
    return taken


def _write_page(
    args: argparse.Namespace,
    groups: dict[str, harness.Score],
    textures: dict[str, harness.Score],
    taken: dict[str, Counter[str]],
    each: int,
) -> str:
    cost = harness.mean_milliseconds(list(groups.values()))
    rows = [(kind, *_row(score)) for kind, score in groups.items()]
    high = [kind for kind, score in groups.items() if score.answered > WANTED]
    verdict = (
        f"Above {100 * WANTED:g} %: {', '.join(high)}."
        if high
        else f"None is above {100 * WANTED:g} %."
    )
    confusions = [
        (count, name, digit)
        for name, digits in taken.items()
        for digit, count in sorted(digits.items())
    ]
    confusions.sort(key=lambda item: (-item[0], item[1], item[2]))
    head = ["what", "pictures", "got a digit", "share", "≥ 0.9", "mostly refused as"]
    return "\n".join(
        [
            "# Pictures without a digit",
            "",
            f"Written by `python -m tests.bench nothing`. Simulated photographs at {args.shape[1]}×"
            f"{args.shape[0]} with a natural mix of conditions, read by the whole reader: how "
            "many got a digit, that of the mark that is most prominent.",
            "",
            pages.make_table(head, rows),
            "",
            verdict,
            "",
            "The textures one by one:",
            "",
            pages.make_table(head, ((kind, *_row(score)) for kind, score in textures.items())),
            "",
            f"What was taken for a digit most, of {each:,} photographs of each letter and sign by "
            "itself:",
            "",
            pages.make_table(
                ["what", "taken for", "times", "share"],
                (
                    (name, digit, count, pages.format_percent(count / each))
                    for count, name, digit in confusions[:10]
                ),
            ),
            "",
            f"A frame took {cost['simulate']:.1f} ms to simulate and {cost['read']:.1f} ms to "
            "read, on one core.",
        ]
    )


def _row(score: harness.Score) -> tuple[object, ...]:
    return (
        f"{score.total:,}",
        score.wrong,
        f"{100 * score.answered:.2f} %",
        score.confident,
        score.commonest_refusal,
    )


def _plot(figure: Any, groups: dict[str, harness.Score]) -> None:
    figure.set_size_inches(6, 3.2)
    axis = figure.subplots()
    names = list(groups)[::-1]
    axis.barh(names, [100 * groups[name].answered for name in names], label="got a digit")
    axis.barh(
        names,
        [100 * groups[name].confident / max(1, groups[name].total) for name in names],
        label="with confidence ≥ 0.9",
        height=0.4,
    )
    axis.axvline(100 * WANTED, color="0.4", linewidth=0.8)
    axis.set_xlabel("% of the pictures")
    axis.grid(axis="x", alpha=0.3)
    axis.legend(fontsize=8)
