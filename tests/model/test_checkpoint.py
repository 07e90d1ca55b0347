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
from model.train import ExtraPictures, TrainingRun
from tests.model.test_train import SMALL, SMALL_CONV, noise

ABOUT = {"data": "a few digits", "seed": 1}


@pytest.fixture(scope="module")
def data(tiny_mnist: Path) -> Split:
    return load_split(tiny_mnist, "train")


def course(data: Split, preset: Preset, *, start: Network | None = None) -> TrainingRun:
    preset = replace(preset.for_camera(), validation=50)
    mixed = [ExtraPictures(noise(60), 0.2, held_out=10), ExtraPictures(noise(20, 3), 0.1)]
    return TrainingRun(preset, data, seed=1, epochs=2, mixed=mixed, start=start)


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


def test_a_teacher_is_learned_from_but_for_what_is_mixed_in_untaught(data: Split) -> None:
    teacher = course(data, SMALL).network
    # It answers 7 to everything.
    teacher.weights[...] = 0
    teacher.layers[-1].parameters["bias"][7] = 9
    preset = replace(SMALL.for_camera(), augment=None)
    other = noise(60, 5)
    other = Split(255 - other.images, other.labels)
    mixed = [ExtraPictures(noise(20, 3), 0.3), ExtraPictures(other, 0.2, taught=True)]
    taught = TrainingRun(preset, data, seed=1, epochs=8, mixed=mixed, teacher=teacher)
    taught.run()
    network = taught.result().network

    def shares(images: np.ndarray, labels: int | np.ndarray) -> tuple[float, float]:
        found = network.probabilities(preset.inputs(images))
        return float(found[np.arange(len(found)), labels].mean()), float(found[:, 7].mean())

    assert shares(noise(20, 3).images, 3)[0] > 0.9
    images, labels = data.take(np.flatnonzero(data.labels != 7)[:100])
    assert shares(images, labels) == pytest.approx((0.5, 0.5), abs=0.1)
    assert shares(other.images, 5) == pytest.approx((0.5, 0.5), abs=0.1)


def test_no_file_is_a_beginning(data: Split, tmp_path: Path) -> None:
    going = course(data, SMALL)
    assert not checkpoint.load(tmp_path / "none.npz", going, ABOUT)
    assert going.progress == 0


@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "other", "foreign", "empty", "recipe", "older"]
)
def test_what_cannot_be_taken_up_is_a_sentence(
    data: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
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
        case "older":
            monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    file.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"cannot be taken up again .*: it begins anew"):
        checkpoint.load(file, course(data, preset), about)
