"""A night small enough for the emulated board: python -m tests.proofs.pi_zero.short_night.

`prepare` lays down an owner's captures and a base set in MNIST's form. `retrain` is the command
`digits retrain` with fewer examples and epochs, asking of fewer digits whether the base set is one,
and with a checkpoint after almost every batch. `begin` is `digits retrain` with all of its sizes
but two: 100 examples through the camera, and one epoch of eight batches; what it needs of memory
does not depend on how many there are of either.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from appliance.__main__ import main
from appliance.training import preflight, retrain
from appliance.training.resumable_run import Sizes
from model import train

BASE, ODD_ONES, OTHERS = 120, 30, 2
BATCHES = 8


# What only the tests need is imported where nothing is measured.


def captures(state: Path) -> None:
    import numpy as np

    from appliance.captures.store import Captures
    from appliance.simulator.handwriting import LETTERS, PLAIN
    from tests.owner import ODD, correct, glyphs

    state.mkdir(parents=True, exist_ok=True)
    others = [digit for digit in range(10) if digit != 4]
    images = [glyphs(LETTERS[ODD], ODD_ONES, 5), *(glyphs(PLAIN[n], OTHERS, n) for n in others)]
    labels = [4] * ODD_ONES + [digit for digit in others for _ in range(OTHERS)]
    held = Captures(state / "captures.db")
    correct(held, np.concatenate(images), np.array(labels, np.uint8))
    held.close()


def base(data: Path) -> None:
    from appliance.training.examples import draw_digits
    from tests.conftest import write_idx

    data.mkdir(parents=True)
    for name, count in (("train", BASE), ("t10k", 20)):
        digits = draw_digits(count)
        write_idx(data / f"{name}-images-idx3-ubyte", digits.images.reshape(-1, 28, 28))
        write_idx(data / f"{name}-labels-idx1-ubyte", digits.labels)


def smaller(**sizes: Any) -> None:
    """Have a night be of fewer examples and the like than it is by itself."""
    retrain.Sizes = partial(Sizes, **sizes)  # type: ignore[misc,assignment]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["prepare", "retrain", "captures", "begin"])
    parser.add_argument("state", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    if args.what in ("prepare", "captures"):
        captures(args.state)
    if args.what == "prepare":
        base(args.data)
    if args.what == "retrain":
        retrain.CHECKPOINT_SECONDS = 0.01
        smaller(examples=20, batch=10, epochs=1)
        preflight._SAMPLE = 50
    if args.what == "begin":
        smaller(examples=100, epochs=1)
        whole = train.permutation
        train.permutation = lambda *of: whole(*of)[: BATCHES * Sizes().batch]
    if args.what in ("retrain", "begin"):
        sys.exit(main(["retrain", "--state", str(args.state), "--data", str(args.data)]))
