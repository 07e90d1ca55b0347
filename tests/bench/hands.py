"""hands: digits of other hands than MNIST's, as pictures and on simulated paper."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import harness, pages

if TYPE_CHECKING:
    from appliance.reading import Array, Grey
    from appliance.simulator.scenes import Scene

    Scans = tuple[Array, list[int]]

ENLARGED = 12
"""A picture is so many times as large as its scan."""
HARDNESS = 0.3
"""The conditions on paper are mild ones."""


def add(parsers: Any) -> None:
    parser = harness.add_bench(
        parsers,
        "hands",
        "read other hands: scikit-learn's digits, sets in files, the project's own variants",
        "--sets semeion-16.npz --drawings handwriting-28\n"
        "Every digit of a set is read twice: enlarged, dark on light, and on simulated paper.",
        count=200,
        of="digits of each variant of the project's own hand",
    )
    parser.add_argument(
        "--sets", nargs="+", type=Path, default=[], metavar="FILE",
        help=".npz files with images (n, h, w), bright on dark, and labels (n,)",
    )  # fmt: skip
    parser.add_argument(
        "--drawings", type=Path, metavar="DIR", help="28×28 pictures in folders named 0 to 9"
    )
    parser.set_defaults(measure=measure)


def measure(args: argparse.Namespace) -> None:
    from appliance.simulator.handwriting import HANDS

    folder, source = pages.make_folder(args), harness.get_source(args)
    count, processes = harness.get_count(args), harness.get_processes(args)
    sets = _load_sets(args)
    tasks: list[tuple[str, tuple[Any, ...]]] = []
    for name, (scans, labels) in sets.items():
        if args.quick:
            scans, labels = scans[::10], labels[::10]
        tasks += [
            (f"{name}, {how}", (source, how, scans[first:end], labels[first:end], args.seed, first,
                                args.shape))
            for how in ("as pictures", "on paper")
            for first, end in harness.iterate_blocks(len(labels))
        ]  # fmt: skip
    set_scores = harness.score_blocks(read_set, tasks, processes)
    hands = [
        (f"{digit} {variant}", (source, digit, variant, args.seed, *block, args.shape))
        for digit, variants in HANDS.items()
        for variant in variants
        for block in harness.iterate_blocks(count)
    ]
    hand_scores = harness.score_blocks(read_hand, hands, processes)
    pages.publish(
        folder,
        "hands",
        _write_page(args, set_scores, hand_scores, count),
        {
            "seed": args.seed,
            "shape": list(args.shape),
            "sets": {name: score.to_json() for name, score in set_scores.items()},
            "own": {name: score.to_json() for name, score in hand_scores.items()},
            "milliseconds": harness.mean_milliseconds(
                [*set_scores.values(), *hand_scores.values()]
            ),
        },
        lambda figure: _plot(figure, set_scores, hand_scores),
    )


def _load_sets(args: argparse.Namespace) -> "dict[str, Scans]":
    """Return the sets by name: scans float32 (n, h, w) in 0…1, ink bright, with their labels."""
    from appliance.console import say

    sets: dict[str, Scans] = {}
    if (theirs := _load_scikit_learn()) is not None:
        sets["scikit-learn 8×8"] = theirs
    else:
        say("scikit-learn's digits are left out: install the extra 'bench' for them")
    for file in args.sets:
        sets[file.stem] = _load_set(file)
    if args.drawings:
        sets["drawings 28×28"] = _load_drawings(args.drawings)
    return sets


def _load_scikit_learn() -> "Scans | None":
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        return None
    data = load_digits()
    return _scale_to_one(data.images), [int(each) for each in data.target]


def _load_set(file: Path) -> "Scans":
    import zipfile

    import numpy as np

    from appliance.errors import PictureError

    try:
        with np.load(file, allow_pickle=False) as data:
            images, labels = data["images"], data["labels"].astype(np.int64)
        # An .npy file gives an array, which is no context.
        fits = images.ndim == 3 and len(images) == len(labels) > 0 and images.dtype != object
        fits = fits and set(labels.tolist()) <= set(range(10))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, zipfile.BadZipFile):
        fits = False
    if not fits:
        raise PictureError(
            f"{file}: not a set: it is an .npz with images (n, h, w) and labels (n,) from 0 to 9"
        )
    return _scale_to_one(images), [int(label) for label in labels]


def _load_drawings(folder: Path) -> "Scans":
    """Return the pictures, dark on light, in a folder's folders 0 to 9; all of one size."""
    import numpy as np

    from appliance.errors import PictureError
    from appliance.picture import open_picture, pictures_in

    scans, labels = [], []
    for digit in range(10):
        place = folder / str(digit)
        for file in pictures_in(place) if place.is_dir() else ():
            grey = open_picture(file, str(file)).grey
            if grey.shape != (28, 28):
                raise PictureError(f"{file}: it is {grey.shape[1]}×{grey.shape[0]}, not 28×28")
            scans.append(_scale_to_one(255 - grey[None])[0])
            labels.append(digit)
    if not scans:
        raise PictureError(f"{folder}: there are no pictures in folders named 0 to 9 in it")
    return np.stack(scans), labels


def _scale_to_one(images: Any) -> "Array":
    """Return images float32 in 0…1, the brightest of all of them 1."""
    import numpy as np

    values: Array = images.astype(np.float32)
    return values / np.float32(max(float(values.max()), 1e-6))


def enlarge(scan: "Array") -> "Grey":
    """Return a scan float32 (h, w) enlarged smoothly, dark on light, with room around it."""
    import numpy as np
    from PIL import Image

    height, width = scan.shape
    margin = max(scan.shape) // 3
    scan = np.pad(scan, margin)
    size = (width + 2 * margin) * ENLARGED, (height + 2 * margin) * ENLARGED
    smooth = Image.fromarray(scan).resize(size, Image.Resampling.LANCZOS)
    paper, pen = np.float32(235), np.float32(200)
    ink = np.clip(np.asarray(smooth, np.float32), 0, 1)
    grey: Grey = np.rint(paper - pen * ink).astype(np.uint8)
    return grey


def read_set(
    source: harness.Source,
    how: str,
    scans: "Array",
    labels: Sequence[int],
    seed: int,
    first: int,
    shape: tuple[int, int],
) -> harness.Score:
    """Return the score of some scans, read as pictures or on simulated paper."""
    import numpy as np

    from appliance.simulator import scenes
    from appliance.simulator.paper import random_conditions

    score = harness.Score()
    for number, (scan, label) in enumerate(zip(scans, labels, strict=True), start=first):
        rng = np.random.default_rng([seed, number])

        def simulate(scan: Any = scan, label: int = label, rng: Any = rng) -> "Scene":
            if how == "as pictures":
                return scenes.Scene(enlarge(scan), (label,), ())
            return scenes.render_digit(label, scan, random_conditions(rng, HARDNESS), rng, shape)

        harness.read_and_score(score, source, label, simulate)
    return score


def read_hand(
    source: harness.Source, digit: int, variant: str, seed: int, first: int, end: int,
    shape: tuple[int, int],
) -> harness.Score:  # fmt: skip
    """Return the score of some digits of one variant of the project's own hand, on paper."""
    import numpy as np

    from appliance.simulator import scenes
    from appliance.simulator.handwriting import HANDS
    from appliance.simulator.paper import random_conditions

    score = harness.Score()
    for number in range(first, end):
        place = list(HANDS[digit]).index(variant)
        rng = np.random.default_rng([seed, number, digit, place])

        def simulate(rng: Any = rng) -> scenes.Scene:
            conditions = random_conditions(rng, HARDNESS)
            return scenes.render_digit(digit, HANDS[digit][variant], conditions, rng, shape)

        harness.read_and_score(score, source, digit, simulate)
    return score


def _write_page(
    args: argparse.Namespace,
    sets: dict[str, harness.Score],
    hands: dict[str, harness.Score],
    count: int,
) -> str:
    cost = harness.mean_milliseconds([*sets.values(), *hands.values()])

    def row(name: str, score: harness.Score) -> tuple[object, ...]:
        return (name, score.total, pages.format_percent(score.accuracy), score.refused,
                score.commonest_refusal, score.wrong, score.confident)  # fmt: skip

    head = ["", "digits", "right", "refused", "mostly as", "wrong", "≥ 0.9"]
    parts = [
        "# Other hands",
        "",
        "Written by `python -m tests.bench hands --sets FILE… --drawings DIR`. Digits of other "
        "hands, read "
        f"by the whole reader: as pictures, {ENLARGED} times as large and dark on light, and "
        f"written on simulated paper at {args.shape[1]}×{args.shape[0]} in a natural mix of mild "
        f"conditions (up to strength {HARDNESS}).",
        "",
    ]
    if sets:
        parts += [pages.make_table(["set", *head[1:]], (row(*item) for item in sets.items())), ""]
    else:
        parts += ["No set was there to be read.", ""]
    return "\n".join(
        [
            *parts,
            f"## The project's own hand, {count} of each variant, on paper",
            "",
            pages.make_table(["variant", *head[1:]], (row(*item) for item in hands.items())),
            "",
            f"A frame took {cost['simulate']:.1f} ms to simulate and {cost['read']:.1f} ms to "
            "read, on one core.",
        ]
    )


def _plot(figure: Any, sets: dict[str, harness.Score], hands: dict[str, harness.Score]) -> None:
    scores = sets | hands
    figure.set_size_inches(6, 0.16 * len(scores) + 0.8)
    axis = figure.subplots()
    names = list(scores)[::-1]
    axis.barh(names, [100 * scores[name].accuracy for name in names], label="right")
    axis.barh(
        names,
        [100 * scores[name].wrong / max(1, scores[name].total) for name in names],
        left=[100 * scores[name].accuracy for name in names],
        color="tab:red",
        label="wrong",
    )
    axis.set_xlabel("% (what is missing was refused)")
    axis.tick_params(axis="y", labelsize=7)
    axis.margins(y=0.01)
    axis.grid(axis="x", alpha=0.3)
    axis.legend(fontsize=7, loc="lower left")
