"""A night small enough for the emulated board: python -m tests.pi_zero.short_night.

`prepare` lays down an owner's captures and a base set in MNIST's form. `retrain` is the command
`digits retrain` with fewer examples and epochs, asking of fewer digits whether the base set is one,
and with a checkpoint after almost every batch.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np

from appliance import retrain, worth
from appliance.__main__ import main
from appliance.captures import Captures
from appliance.night import Sizes, own_hand
from appliance.vision.strokes import LETTERS, PLAIN
from tests.conftest import write_idx
from tests.owner import ODD, correct, glyphs

SIZES = Sizes(examples=20, batch=10, epochs=1)
BASE, ODD_ONES, OTHERS = 120, 30, 2


def prepare(state: Path, data: Path) -> None:
    data.mkdir(parents=True)
    state.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", BASE), ("t10k", 20)):
        digits = own_hand(count)
        write_idx(data / f"{name}-images-idx3-ubyte", digits.images.reshape(-1, 28, 28))
        write_idx(data / f"{name}-labels-idx1-ubyte", digits.labels)
    others = [digit for digit in range(10) if digit != 4]
    images = [glyphs(LETTERS[ODD], ODD_ONES, 5), *(glyphs(PLAIN[n], OTHERS, n) for n in others)]
    labels = [4] * ODD_ONES + [digit for digit in others for _ in range(OTHERS)]
    captures = Captures(state / "captures.db")
    correct(captures, np.concatenate(images), np.array(labels, np.uint8))
    captures.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["prepare", "retrain"])
    parser.add_argument("state", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    if args.what == "prepare":
        prepare(args.state, args.data)
        sys.exit()
    retrain.CHECKPOINT_SECONDS = 0.01
    retrain.Sizes = partial(Sizes, SIZES.examples, batch=SIZES.batch, epochs=SIZES.epochs)  # type: ignore[misc,assignment]
    worth._ASKED = 50
    sys.exit(main(["retrain", "--state", str(args.state), "--data", str(args.data)]))
