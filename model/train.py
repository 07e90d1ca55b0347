"""The one training loop, for every network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from model.datasets import Bytes, Split
from model.layers import Array
from model.losses import LOSSES, Loss, one_hot
from model.network import Network, build
from model.optimisers import OPTIMISERS, SCHEDULES, Optimiser
from model.order import Rows, Shuffled
from model.presets import Preset

# Enough rows at a time that an order costs nothing beside the training, few enough to forget.
_BLOCK = 4096


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training digits gave.

    `loss` is the mean over its batches, `validation` the share of held-out digits right after it
    (None where none are held out), `best` whether no epoch before it was better.
    """

    number: int
    of: int
    loss: float
    validation: float | None
    best: bool


@dataclass
class Training:
    """A finished, interrupted or diverged training: `network` holds the best weights seen."""

    network: Network
    epochs: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None
    interrupted: bool = False
    diverged: bool = False


def learn(
    network: Network, loss: Loss, optimiser: Optimiser, step: float, x: Array, y: Array
) -> float:
    """Take one step towards targets y (n, outputs) for inputs x (n, inputs); return the loss."""
    value, gradient = loss(network.forward(x, training=True), y)
    network.backward(gradient)
    optimiser.step(step)
    return value


def train(
    preset: Preset,
    data: Split,
    *,
    seed: int,
    epochs: int,
    photographs: Bytes | None = None,
    on_epoch: Callable[[Epoch, Network], None] = lambda epoch, network: None,
    on_batch: Callable[[int, float], None] = lambda epoch, share: None,
) -> Training:
    """Train a new network by a preset's recipe and return it with its best weights.

    `seed` decides the initial weights, the held-out digits, the order and the augmentation, so one
    seed gives one network on one machine. Memory does not grow with the data: a batch at a time is
    scaled from uint8 to float32. Ctrl-C (KeyboardInterrupt) ends it early with the best so far, and
    so do the preset's `patience` and weights that are no numbers any more. `photographs` (m, 784)
    are the first m digits as a camera sees them; a coin decides each time which of the two is
    learned from. `on_epoch` gets each epoch and the network as it is then, `on_batch` the epoch's
    number and the share of it that is done.
    """
    network = build(preset.layers, seed, initial=preset.initial)
    loss, schedule = LOSSES[preset.loss], SCHEDULES[preset.schedule]
    optimiser = OPTIMISERS[preset.optimiser](network, **preset.settings)
    average = Average(network, preset.average) if preset.average else None
    candidate = average.network if average else network
    rng = np.random.default_rng(seed)
    # Validation is the beginning of one order of all digits; training is the rest of it.
    shuffled = Shuffled(len(data), seed)
    held_out = preset.held_out(len(data))
    steps = max(1, -(-(len(data) - held_out) // preset.batch))

    result = Training(candidate)
    kept: tuple[Epoch, Array, Array] | None = None
    number = improved = 0
    most = -1
    total, batches = 0.0, 0

    def finish_epoch() -> None:
        nonlocal kept, most, improved
        right = _count_right(candidate, preset, data, shuffled[:held_out])
        # Weights that are no numbers any more, or that no file would hold, are never kept.
        result.diverged = not candidate.believable()
        # Of equals the later has learned longer; to be patient for, it is no better.
        best = not result.diverged and right >= most
        if right > most:
            most, improved = right, number
        share = right / held_out if held_out else None
        epoch = Epoch(number, epochs, total / batches, share, best)
        if best:
            # In one step: an interrupt leaves the old epoch with its weights, or the new with its.
            kept = epoch, candidate.weights.copy(), candidate.statistics.copy()
        result.epochs.append(epoch)
        on_epoch(epoch, candidate)

    try:
        for number in range(1, epochs + 1):
            total, batches = 0.0, 0
            order = Shuffled(len(data) - held_out, seed, number)
            for done, rows in enumerate(_batches(order, shuffled, held_out, preset.batch)):
                images, labels = data.take(rows)
                if photographs is not None:
                    _exchange(images, rows, photographs, rng)
                progress = (number - 1 + done / steps) / epochs
                size = preset.step * schedule(progress)
                targets = one_hot(labels, *preset.targets)
                for x in preset.variants(images, rng):
                    total += learn(network, loss, optimiser, size, x, targets)
                    batches += 1
                    if average is not None:
                        average.add()
                on_batch(number, (done + 1) / steps)
            finish_epoch()
            impatient = preset.patience and held_out and number - improved >= preset.patience
            if result.diverged or impatient:
                break
    except KeyboardInterrupt:
        result.interrupted = True
        if batches and (not result.epochs or result.epochs[-1].number < number):
            finish_epoch()
    if kept is not None:
        result.best, candidate.weights[...], candidate.statistics[...] = kept
    return result


class Average:
    """An exponential moving average of a network's weights over the steps of its training.

    The first averages forget faster, as the weights then are far from where they go. Source:
    B. Polyak and A. Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self._trained, self._decay, self._steps = network, decay, 0
        self.network = build(network.spec())

    def add(self) -> None:
        """Take in the network as it is after one more step."""
        self._steps += 1
        share = np.float32(1 - min(self._decay, self._steps / (self._steps + 10)))
        for average, values in (
            (self.network.weights, self._trained.weights),
            (self.network.statistics, self._trained.statistics),
        ):
            average += share * (values - average)


def _batches(order: Shuffled, digits: Shuffled, held_out: int, size: int) -> Iterator[Rows]:
    """Yield the rows of an epoch's digits in its order, `size` at a time."""
    block = max(1, _BLOCK // size) * size
    for start in range(0, len(order), block):
        rows = digits.at(held_out + order[start : start + block])
        for first in range(0, len(rows), size):
            yield rows[first : first + size]


def _exchange(images: Bytes, rows: Rows, photographs: Bytes, rng: np.random.Generator) -> None:
    """Put photographed digits in the places of half of the scanned ones that have them."""
    chosen = (rows < len(photographs)) & (rng.random(len(rows), dtype=np.float32) < 0.5)
    images[chosen] = photographs[rows[chosen]]


def _count_right(network: Network, preset: Preset, data: Split, rows: Rows) -> int:
    """Return how many of the digits at `rows` the network gets right."""
    right = 0
    for start in range(0, len(rows), preset.batch):
        images, labels = data.take(rows[start : start + preset.batch])
        scores = network.forward(preset.inputs(images))
        right += int(np.count_nonzero(scores.argmax(axis=1) == labels))
    return right
