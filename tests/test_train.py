from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.datasets import Split, load_split
from model.evaluate import evaluate
from model.presets import PRESETS, preset
from model.train import Epoch, count_right, scaled, train

SMALL = replace(
    PRESETS["appliance"], layers=(("dense", 784, 24), ("relu",), ("dense", 24, 10)), batch=32
)


@pytest.fixture(scope="module")
def data(tiny_mnist: Path) -> Split:
    return load_split(tiny_mnist, "train")


def test_it_learns_to_read_digits_it_has_not_seen(data: Split, tiny_mnist: Path) -> None:
    training = train(SMALL, data, seed=1, epochs=12)
    losses = [epoch.loss for epoch in training.epochs]
    assert losses[-1] < losses[0] / 3
    tally = evaluate(training.network, load_split(tiny_mnist, "test"))
    assert tally.accuracy >= 0.95


def test_the_sigmoid_preset_with_squared_error_learns_too(data: Split, tiny_mnist: Path) -> None:
    training = train(PRESETS["sgd-30"], data, seed=1, epochs=10)
    assert evaluate(training.network, load_split(tiny_mnist, "test")).accuracy >= 0.9


def test_one_seed_gives_the_same_bits(data: Split) -> None:
    def weights(seed: int) -> bytes:
        network = train(SMALL, data, seed=seed, epochs=2).network
        return b"".join(values.tobytes() for _, values, _ in network.parameters())

    assert weights(1) == weights(1) != weights(2)


def test_the_best_epoch_is_kept(data: Split) -> None:
    # A step that grows ruins what was learned; what is returned must not be ruined.
    reckless = replace(SMALL, step=0.2, schedule="constant", momentum=0.98, augment=None)
    training = train(reckless, data, seed=3, epochs=8)
    assert training.best is not None
    assert training.best.validation == max(epoch.validation for epoch in training.epochs)
    assert [epoch.number for epoch in training.epochs if epoch.best][-1] == training.best.number


@pytest.mark.parametrize("last", [1, 2, 5])
def test_ctrl_c_keeps_the_best_so_far(data: Split, last: int) -> None:
    def interrupt(epoch: Epoch) -> None:
        if epoch.number == last:
            raise KeyboardInterrupt

    training = train(SMALL, data, seed=1, epochs=50, on_epoch=interrupt)
    assert [epoch.number for epoch in training.epochs] == list(range(1, last + 1))
    assert training.interrupted
    assert training.best is not None
    # The network that is returned is the one of that epoch.
    rng = np.random.default_rng(1)
    held_out = rng.permutation(len(data))[:100]
    right = count_right(training.network, data, held_out)
    assert right / 100 == training.best.validation


def test_ctrl_c_in_the_first_epoch_keeps_what_was_learned(data: Split) -> None:
    def interrupt(epoch: int, share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    training = train(SMALL, data, seed=1, epochs=5, on_batch=interrupt)
    assert training.interrupted
    assert training.best is not None
    assert training.best.number == 1


def test_validation_digits_are_never_trained_on(data: Split) -> None:
    class Recorder:
        """An augmentation that changes nothing and remembers what it was given."""

        def __init__(self) -> None:
            self.seen: set[bytes] = set()

        def __call__(self, glyphs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            self.seen |= {row.tobytes() for row in glyphs}
            return glyphs

    recorder = Recorder()
    train(replace(SMALL, augment=recorder), data, seed=1, epochs=1)  # type: ignore[arg-type]
    every = {row.tobytes() for row in scaled(data.images)}
    assert len(every - recorder.seen) == 100  # a sixth of 600


def test_an_unknown_preset_is_a_sentence_with_the_names() -> None:
    with pytest.raises(KeyError) as caught:
        preset("giant")
    assert str(caught.value) == "there is no preset 'giant': choose one of appliance, sgd-30"
