"""A training that is stopped after any batch goes on bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
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


def make_run(data: Split, preset: Preset, *, start: Network | None = None) -> TrainingRun:
    preset = replace(preset.for_camera(), validation=50)
    extra = [ExtraPictures(noise(60), 0.2, held_out=10), ExtraPictures(noise(20, 3), 0.1)]
    return TrainingRun(preset, data, seed=1, epochs=2, extra=extra, start=start)


def after(batches: int) -> Callable[[], bool]:
    """Return what says stop when it is asked for that many times."""
    asked = count(1)
    return lambda: next(asked) >= batches


@pytest.mark.parametrize("preset", [SMALL, SMALL_CONV])
def test_a_training_stopped_and_resumed_ends_with_the_same_bits(
    data: Split, preset: Preset, tmp_path: Path
) -> None:
    undisturbed = make_run(data, preset)
    undisturbed.train()
    expected = undisturbed.result()
    file = tmp_path / "training.npz"
    run, pieces = make_run(data, preset), 0
    while not run.finished:
        run.train(should_stop=after(7))
        checkpoint.save(file, run, ABOUT)
        run = make_run(data, preset)
        assert checkpoint.load(file, run, ABOUT)
        pieces += 1
    result = run.result()
    assert pieces > 4
    assert result.network.weights.tobytes() == expected.network.weights.tobytes()
    assert result.network.statistics.tobytes() == expected.network.statistics.tobytes()
    assert result.epochs == expected.epochs
    assert result.best == expected.best


def test_fine_tuning_starts_from_the_given_weights(data: Split) -> None:
    first = make_run(data, SMALL)
    first.train()
    start = first.result().network
    second = make_run(data, SMALL, start=start)
    assert second.network.weights.tobytes() == start.weights.tobytes()


def test_the_teacher_is_distilled_into_digits_and_distilled_pictures_alone(data: Split) -> None:
    teacher = make_run(data, SMALL).network
    # It answers 7 to everything.
    teacher.weights[...] = 0
    teacher.layers[-1].parameters["bias"][7] = 9
    preset = replace(SMALL.for_camera(), augment=None)
    other = noise(60, 5)
    other = Split(255 - other.images, other.labels)
    extra = [ExtraPictures(noise(20, 3), 0.3), ExtraPictures(other, 0.2, distilled=True)]
    student = TrainingRun(preset, data, seed=1, epochs=8, extra=extra, teacher=teacher)
    student.train()
    network = student.result().network

    def shares(images: np.ndarray, labels: int | np.ndarray) -> tuple[float, float]:
        result = network.probabilities(preset.inputs(images))
        return float(result[np.arange(len(result)), labels].mean()), float(result[:, 7].mean())

    assert shares(noise(20, 3).images, 3)[0] > 0.9
    images, labels = data.take(np.flatnonzero(data.labels != 7)[:100])
    assert shares(images, labels) == pytest.approx((0.5, 0.5), abs=0.1)
    assert shares(other.images, 5) == pytest.approx((0.5, 0.5), abs=0.1)


def test_without_a_file_the_training_starts_at_its_beginning(data: Split, tmp_path: Path) -> None:
    run = make_run(data, SMALL)
    assert not checkpoint.load(tmp_path / "none.npz", run, ABOUT)
    assert run.progress == 0


@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "other", "foreign", "empty", "recipe", "older"]
)
def test_a_checkpoint_that_cannot_be_resumed_raises_a_sentence(
    data: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    file = tmp_path / "training.npz"
    run = make_run(data, SMALL)
    run.train(should_stop=after(5))
    checkpoint.save(file, run, ABOUT)
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
        checkpoint.load(file, make_run(data, preset), about)
