from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.datasets import Scaling, Split, load_split
from model.errors import PresetError
from model.evaluate import evaluate
from model.network import NOT_A_DIGIT, Network
from model.presets import PRESETS, Preset, get_preset
from model.shuffle import split_rows
from model.train import Epoch, train

SMALL = replace(
    PRESETS["appliance"],
    layers=(("dense", 784, 24), ("relu",), ("dense", 24, 10)),
    batch=32,
    average=0.0,
)

SMALL_CONV = replace(
    PRESETS["appliance"],
    layers=(
        ("image", 28, 28),
        *(("conv", 1, 6, 5, 0, False), ("max-pool", 3), ("batch-norm", 6), ("relu",)),
        *(("flatten",), ("dropout", 0.2), ("dense", 384, 10)),
    ),
    optimiser="adamw",
    settings={"decay": 0.01},
    learning_rate=0.003,
    schedule="one-cycle",
    average=0.95,
    batch=32,
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


@pytest.mark.parametrize("preset", [SMALL, SMALL_CONV, PRESETS["sgd-16-16"]])
def test_one_seed_gives_the_same_bits(data: Split, preset: Preset) -> None:
    def weights(seed: int) -> bytes:
        return train(preset, data, seed=seed, epochs=2).network.weights.tobytes()

    assert weights(1) == weights(1) != weights(2)


def test_the_weights_of_the_best_epoch_are_returned(data: Split) -> None:
    # A step that grows ruins what was learned; what is returned must not be ruined.
    reckless = replace(
        SMALL, learning_rate=0.2, schedule="constant", settings={"momentum": 0.98}, augment=None
    )
    training = train(reckless, data, seed=3, epochs=8)
    assert training.best is not None
    assert training.best.validation == max(epoch.validation for epoch in training.epochs)
    assert [epoch.number for epoch in training.epochs if epoch.best][-1] == training.best.number


@pytest.mark.parametrize("last", [1, 2, 5])
def test_ctrl_c_keeps_the_best_so_far(data: Split, last: int) -> None:
    def interrupt(epoch: Epoch, network: Network) -> None:
        if epoch.number == last:
            raise KeyboardInterrupt

    training = train(SMALL, data, seed=1, epochs=50, on_epoch=interrupt)
    assert [epoch.number for epoch in training.epochs] == list(range(1, last + 1))
    assert training.interrupted
    assert training.best is not None
    # The network that is returned is the one of that epoch.
    images, labels = data.take(split_rows(len(data), 100, 1)[0])
    scores = training.network.forward(Scaling()(images))
    assert np.mean(scores.argmax(axis=1) == labels) == pytest.approx(training.best.validation)


def test_ctrl_c_in_the_first_epoch_keeps_what_was_learned(data: Split) -> None:
    def interrupt(epoch: int, share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    training = train(SMALL, data, seed=1, epochs=5, on_batch=interrupt)
    assert training.interrupted
    assert training.best is not None
    assert training.best.number == 1


def test_validation_digits_are_never_trained_on(data: Split) -> None:
    recorder = Recorder()
    train(replace(SMALL, augment=recorder), data, seed=1, epochs=1)  # type: ignore[arg-type]
    every = {row.tobytes() for row in Scaling()(data.images)}
    assert len(every - set(recorder.seen)) == 100  # a sixth of 600


def test_the_error_for_an_unknown_preset_lists_the_names() -> None:
    with pytest.raises(KeyError) as caught:
        get_preset("giant")
    assert str(caught.value).startswith("there is no preset 'giant': choose one of appliance, ")


def test_patience_ends_a_training_that_gets_no_better(data: Split) -> None:
    stuck = replace(SMALL, learning_rate=0.0, average=0.0, patience=3)
    # The first epoch is better than none, and the next three no better than it.
    training = train(stuck, data, seed=1, epochs=8)
    assert len(training.epochs) == 4
    assert training.best == training.epochs[-1]
    ruined = replace(
        SMALL, learning_rate=0.5, settings={"momentum": 0.99}, augment=None, patience=2
    )
    training = train(ruined, data, seed=3, epochs=40)
    assert training.best is not None
    assert training.epochs[-1].number - training.best.number == 2


def test_patience_waits_for_nothing_where_no_digits_are_held_out(data: Split) -> None:
    recipe = replace(PRESETS["sgd-none"], patience=1)
    assert len(train(recipe, data, seed=1, epochs=4).epochs) == 4


def test_a_diverging_training_ends_without_weights(
    data: Split,
) -> None:
    wild = replace(SMALL, learning_rate=1e20, schedule="constant", augment=None)
    with np.errstate(all="ignore"):
        training = train(wild, data, seed=1, epochs=5)
    assert training.diverged
    assert training.best is None
    assert len(training.epochs) == 1


def noise(count: int, label: int = NOT_A_DIGIT) -> Split:
    """Return pictures of noise, every one different, of one label."""
    rng = np.random.default_rng(9)
    images = rng.integers(256, size=(count, 784), dtype=np.uint8)
    return Split(images, np.full(count, label, np.uint8))


class Recorder:
    """An augmentation that changes nothing and records its arguments."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.strength: list[float] = []

    def __call__(
        self, glyphs: np.ndarray, rng: np.random.Generator, strength: np.ndarray
    ) -> np.ndarray:
        self.seen += [row.tobytes() for row in glyphs]
        self.strength += strength.tolist()
        return glyphs


def test_it_learns_to_refuse_what_is_no_digit(data: Split, tiny_mnist: Path) -> None:
    camera = noise(300)
    training = train(SMALL.for_camera(), data, seed=1, epochs=12, camera=camera)
    network = training.network
    assert network.shapes[-1] == (11,)
    assert training.best is not None
    assert training.best.camera == 1
    unseen = np.random.default_rng(77).random((200, 784), dtype=np.float32)
    assert (network.probabilities(unseen).argmax(axis=1) == NOT_A_DIGIT).mean() > 0.98
    tally = evaluate(network, load_split(tiny_mnist, "test"))
    assert tally.accuracy >= 0.93
    assert tally.refused <= 2


def test_photographs_take_their_share_of_each_batch_and_held_out_ones_none(data: Split) -> None:
    recorder, camera = Recorder(), noise(240)
    recipe = replace(SMALL.for_camera(), augment=recorder)  # type: ignore[arg-type]
    training = train(recipe, data, seed=1, epochs=6, camera=camera)
    assert len(recorder.seen) == 6 * 500
    every = [row.tobytes() for row in Scaling()(camera.images)]
    shown = [row for row in recorder.seen if row in set(every)]
    assert len(shown) / len(recorder.seen) == pytest.approx(recipe.camera_share, abs=0.03)
    for row, strength in zip(recorder.seen, recorder.strength, strict=True):
        assert strength == pytest.approx(recipe.camera_strength if row in every else 1)
    # The last sixth is held out, and the rest is learned from.
    assert set(shown) <= set(every[:200])
    assert len(set(shown)) > 170
    scans = {row.tobytes() for row in Scaling()(data.images)}
    held_out = Scaling()(data.take(recipe.split_rows(len(data), 1)[0])[0])
    assert not {row.tobytes() for row in held_out} & set(recorder.seen)
    assert set(recorder.seen) <= scans | set(every)
    assert training.epochs[-1].camera is not None


def test_the_best_epoch_is_the_one_with_the_most_of_both_right(data: Split) -> None:
    # At so large a step the two go up and down apart.
    reckless = replace(SMALL.for_camera(), learning_rate=0.3, schedule="constant", augment=None)
    camera = Split(data.images[::-1].copy(), data.labels[::-1].copy())
    training = train(reckless, data, seed=3, epochs=8, camera=camera)
    both = [(epoch.validation or 0) + (epoch.camera or 0) for epoch in training.epochs]
    assert training.best is not None
    assert both[training.best.number - 1] == max(both)


def test_training_through_the_camera_with_one_seed_gives_the_same_bits(data: Split) -> None:
    def weights(seed: int) -> bytes:
        camera = noise(100)
        recipe = SMALL_CONV.for_camera()
        return train(recipe, data, seed=seed, epochs=2, camera=camera).network.weights.tobytes()

    assert weights(1) == weights(1) != weights(2)


def test_only_a_recipe_with_photographs_can_be_for_the_camera() -> None:
    with pytest.raises(PresetError, match="sgd-30 does not learn through the camera: of the pre"):
        PRESETS["sgd-30"].for_camera()


def test_copies_are_learned_after_the_digit_itself(data: Split) -> None:
    recipe = PRESETS["scratch-rotated"]
    x, right, left = recipe.variants(data.images[:3], np.random.default_rng(1))
    assert x[0].min() == np.float32(0.01)
    assert not np.array_equal(right, left)
    np.testing.assert_allclose(right.sum(axis=1), x.sum(axis=1), rtol=0.1)


def test_averaged_weights_are_returned(data: Split) -> None:
    network = train(replace(SMALL, average=0.99), data, seed=1, epochs=3).network
    other = train(SMALL, data, seed=1, epochs=3).network
    assert not np.array_equal(network.weights, other.weights)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_learns(name: str, data: Split) -> None:
    recipe = PRESETS[name]
    training = train(recipe, data, seed=1, epochs=2)
    assert training.epochs[-1].loss < training.epochs[0].loss
