"""The one training loop, for every network."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model.datasets import Bytes, Split
from model.layers import Array
from model.losses import LOSSES
from model.network import Network, build
from model.optimisers import SCHEDULES, SGD
from model.presets import Preset

Order = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training digits gave.

    `loss` is the mean over its batches, `validation` the share of held-out digits right after it,
    `best` whether no epoch before it was as good.
    """

    number: int
    of: int
    loss: float
    validation: float
    best: bool


@dataclass
class Training:
    """A finished or interrupted training: `network` holds the best weights seen."""

    network: Network
    epochs: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None
    interrupted: bool = False


def train(
    preset: Preset,
    data: Split,
    *,
    seed: int,
    epochs: int,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_batch: Callable[[int, float], None] = lambda epoch, share: None,
) -> Training:
    """Train a new network by a preset's recipe and return it with its best weights.

    `seed` decides the initial weights, the held-out digits, the order and the augmentation, so one
    seed gives one network on one machine. Memory does not grow with the data: a batch at a time is
    scaled from uint8 to float32 in 0…1. Ctrl-C (KeyboardInterrupt) ends it early with the best so
    far. `on_batch` gets the epoch's number and the share of it that is done.
    """
    network = build(preset.layers, seed)
    loss, schedule = LOSSES[preset.loss], SCHEDULES[preset.schedule]
    optimiser = SGD(network, momentum=preset.momentum)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(data))
    # A small data set still trains on most of itself.
    held_out = min(preset.validation, len(data) // 6)
    validation, training = np.sort(shuffled[:held_out]), shuffled[held_out:]
    batches = max(1, -(-len(training) // preset.batch))

    result = Training(network)
    kept: tuple[Epoch, dict[str, Array]] | None = None
    number = 0
    losses: list[float] = []

    def finish_epoch() -> None:
        nonlocal kept
        share = count_right(network, data, validation) / max(1, held_out)
        best = kept is None or share > kept[0].validation
        epoch = Epoch(number, epochs, float(np.mean(losses)), share, best)
        if best:
            # In one step: an interrupt leaves the old epoch with its weights, or the new with its.
            kept = epoch, {name: values.copy() for name, values, _ in network.parameters()}
        result.epochs.append(epoch)
        on_epoch(epoch)

    try:
        for number in range(1, epochs + 1):
            losses = []
            order = rng.permutation(training)
            for done in range(batches):
                rows = order[done * preset.batch : (done + 1) * preset.batch]
                x = scaled(data.images[rows])
                if preset.augment is not None:
                    x = preset.augment(x, rng)
                scores = network.forward(x, training=True)
                value, gradient = loss(scores, data.labels[rows])
                network.backward(gradient)
                progress = (number - 1 + done / batches) / epochs
                optimiser.step(preset.step * schedule(progress))
                losses.append(value)
                on_batch(number, (done + 1) / batches)
            finish_epoch()
    except KeyboardInterrupt:
        result.interrupted = True
        if losses and (not result.epochs or result.epochs[-1].number < number):
            finish_epoch()
    if kept is not None:
        result.best, best_weights = kept
        for name, values, _ in network.parameters():
            values[...] = best_weights[name]
    return result


def scaled(images: Bytes) -> Array:
    """Return uint8 pixels as float32 in 0…1."""
    return np.multiply(images, np.float32(1 / 255), dtype=np.float32)


def count_right(network: Network, data: Split, rows: Order) -> int:
    """Return how many of the digits at `rows` the network gets right, 500 at a time."""
    right = 0
    for start in range(0, len(rows), 500):
        some = rows[start : start + 500]
        scores = network.forward(scaled(data.images[some]))
        right += int(np.count_nonzero(scores.argmax(axis=1) == data.labels[some]))
    return right
