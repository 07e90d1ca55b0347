"""A training that is left after any batch goes on bit for bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model import checkpoint
from model.datasets import Split, load_split
from model.errors import CheckpointError
from model.network import Network
from model.presets import Preset
from model.train import Course, Mixed
from tests.test_train import SMALL, SMALL_CONV, noise

ABOUT = {"data": "a few digits", "seed": 1}


@pytest.fixture(scope="module")
def data(tiny_mnist: Path) -> Split:
    return load_split(tiny_mnist, "train")


def course(data: Split, preset: Preset, *, start: Network | None = None) -> Course:
    preset = replace(preset.for_camera(), validation=50)
    mixed = [Mixed(noise(60), 0.2, held_out=10), Mixed(noise(20, 3), 0.1)]
    return Course(preset, data, seed=1, epochs=2, mixed=mixed, start=start)


def after(batches: int) -> "Leave":
    return Leave(batches)


class Leave:
    def __init__(self, batches: int) -> None:
        self.left = batches

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize("preset", [SMALL, SMALL_CONV])
def test_left_after_any_batch_and_taken_up_again_it_ends_with_the_same_bits(
    data: Split, preset: Preset, tmp_path: Path
) -> None:
    whole = course(data, preset)
    whole.run()
    wanted = whole.result()
    file = tmp_path / "training.npz"
    going, pieces = course(data, preset), 0
    while not going.finished:
        going.run(leave=after(7))
        checkpoint.save(file, going, ABOUT)
        going = course(data, preset)
        assert checkpoint.load(file, going, ABOUT)
        pieces += 1
    found = going.result()
    assert pieces > 4
    assert found.network.weights.tobytes() == wanted.network.weights.tobytes()
    assert found.network.statistics.tobytes() == wanted.network.statistics.tobytes()
    assert found.epochs == wanted.epochs
    assert found.best == wanted.best


def test_it_goes_on_from_the_weights_it_is_given(data: Split) -> None:
    first = course(data, SMALL)
    first.run()
    start = first.result().network
    second = course(data, SMALL, start=start)
    assert second.network.weights.tobytes() == start.weights.tobytes()


def test_a_teacher_is_learned_from_where_nothing_is_mixed_in(data: Split) -> None:
    teacher = course(data, SMALL).network
    # It answers the same to everything: 7, and most of all to what looks like a 2.
    teacher.weights[...] = 0
    teacher.layers[-1].parameters["bias"][7] = 9
    preset = replace(SMALL.for_camera(), augment=None)
    mixed = [Mixed(noise(20, 3), 0.3)]
    taught = Course(preset, data, seed=1, epochs=6, mixed=mixed, teacher=teacher)
    taught.run()
    network = taught.result().network
    x = preset.inputs(data.take(np.arange(100))[0])
    assert (network.probabilities(x).argmax(axis=1) == 7).mean() > 0.95
    assert (network.probabilities(preset.inputs(noise(20).images)).argmax(axis=1) == 3).all()


def test_no_file_is_a_beginning(data: Split, tmp_path: Path) -> None:
    going = course(data, SMALL)
    assert not checkpoint.load(tmp_path / "none.npz", going, ABOUT)
    assert going.progress == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "foreign", "empty", "recipe"])
def test_what_cannot_be_taken_up_is_a_sentence(data: Split, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "training.npz"
    going = course(data, SMALL)
    going.run(leave=after(5))
    checkpoint.save(file, going, ABOUT)
    raw = bytearray(file.read_bytes())
    about, preset = ABOUT, SMALL
    match damage:
        case "cut":
            raw = raw[: len(raw) // 2]
        case "flipped":
            raw[len(raw) // 2] ^= 16
        case "foreign":
            raw = bytearray(b"a diary of 1921, not a training")
        case "empty":
            raw.clear()
        case "other":
            about = {**ABOUT, "seed": 2}
        case "recipe":
            preset = SMALL_CONV
    file.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"cannot be taken up again .*: it begins anew"):
        checkpoint.load(file, course(data, preset), about)
