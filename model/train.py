"""The one training loop, for every network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from model.datasets import Bytes, Split
from model.layers import Array
from model.losses import LOSSES, Labels, Loss, one_hot
from model.network import Network, build
from model.optimisers import OPTIMISERS, SCHEDULES, Optimiser
from model.order import Division, Rows, Shuffled
from model.presets import Preset

# Enough rows at a time that an order costs nothing beside the training, few enough to forget.
_BLOCK = 4096


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training digits gave.

    `loss` is the mean over its batches, `validation` the share of held-out digits right after it
    and `camera` that of held-out examples through the camera (None where none are held out),
    `best` whether no epoch before it got more of both right.
    """

    number: int
    of: int
    loss: float
    validation: float | None
    camera: float | None
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
    camera: Split | None = None,
    on_epoch: Callable[[Epoch, Network], None] = lambda epoch, network: None,
    on_batch: Callable[[int, float], None] = lambda epoch, share: None,
) -> Training:
    """Train a new network by a preset's recipe and return it with its best weights.

    `seed` decides the initial weights, the held-out digits, the order and the augmentation, so one
    seed gives one network on one machine. Memory does not grow with the data: a batch at a time is
    scaled from uint8 to float32. Ctrl-C (KeyboardInterrupt) ends it early with the best so far, and
    so do the preset's `patience` and weights that are no numbers any more. `camera` are examples
    through the camera, their labels among the network's outputs: they take the preset's share of
    the places of each batch. `on_epoch` gets each epoch and the network as it is then, `on_batch`
    the epoch's number and the share of it that is done.
    """
    network = build(preset.layers, seed, initial=preset.initial)
    loss, schedule = LOSSES[preset.loss], SCHEDULES[preset.schedule]
    optimiser = OPTIMISERS[preset.optimiser](network, **preset.settings)
    average = Average(network, preset.average) if preset.average else None
    candidate = average.network if average else network
    rng = np.random.default_rng(seed)
    digits = preset.division(len(data), seed)
    held_out = held_out_rows(preset, data, camera, seed)
    steps = max(1, -(-digits.learned_count // preset.batch))

    result = Training(candidate)
    kept: tuple[Epoch, Array, Array] | None = None
    number = improved = 0
    most = -1
    total, batches = 0.0, 0

    def finish_epoch() -> None:
        nonlocal kept, most, improved
        counts = [_count_right(candidate, preset, *held) for held in held_out]
        shares = [
            count / len(rows) if len(rows) else None
            for count, (_, rows) in zip(counts, held_out, strict=True)
        ]
        right = sum(counts)
        # Weights that are no numbers any more, or that no file would hold, are never kept.
        result.diverged = not candidate.believable()
        # Of equals the later has learned longer; to be patient for, it is no better.
        best = not result.diverged and right >= most
        if right > most:
            most, improved = right, number
        digits_right, camera_right = [*shares, None][:2]
        epoch = Epoch(number, epochs, total / batches, digits_right, camera_right, best)
        if best:
            # In one step: an interrupt leaves the old epoch with its weights, or the new with its.
            kept = epoch, candidate.weights.copy(), candidate.statistics.copy()
        result.epochs.append(epoch)
        on_epoch(epoch, candidate)

    try:
        for number in range(1, epochs + 1):
            total, batches = 0.0, 0
            order = Shuffled(digits.learned_count, seed, number)
            for done, rows in enumerate(_batches(order, digits, preset.batch)):
                images, labels = data.take(rows)
                if camera is not None:
                    _exchange(images, labels, preset, camera, rng)
                progress = (number - 1 + done / steps) / epochs
                size = preset.step * schedule(progress)
                targets = one_hot(labels, *preset.targets, network.shapes[-1][0])
                for x in preset.variants(images, rng):
                    total += learn(network, loss, optimiser, size, x, targets)
                    batches += 1
                    if average is not None:
                        average.add()
                on_batch(number, (done + 1) / steps)
            finish_epoch()
            waited = number - improved
            impatient = preset.patience and len(held_out[0][1]) and waited >= preset.patience
            if result.diverged or impatient:
                break
    except KeyboardInterrupt:
        result.interrupted = True
        if batches and (not result.epochs or result.epochs[-1].number < number):
            finish_epoch()
    if kept is not None:
        result.best, candidate.weights[...], candidate.statistics[...] = kept
    return result


def held_out_rows(
    preset: Preset, data: Split, camera: Split | None, seed: int
) -> list[tuple[Split, Rows]]:
    """Return the digits, and the examples where there are some, each with its held-out rows."""
    held_out = [(data, preset.division(len(data), seed).held_out())]
    if camera is not None:
        held_out.append((camera, np.arange(_learned_examples(preset, camera), len(camera))))
    return held_out


def taken(data: Split, rows: Rows, size: int) -> Iterator[tuple[Bytes, Labels]]:
    """Yield the pictures and labels at some rows, `size` at a time."""
    for start in range(0, len(rows), size):
        yield data.take(rows[start : start + size])


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


def _batches(order: Shuffled, digits: Division, size: int) -> Iterator[Rows]:
    """Yield the rows of an epoch's digits in its order, `size` at a time."""
    block = max(1, _BLOCK // size) * size
    for start in range(0, len(order), block):
        rows = digits.learned(order[start : start + block])
        for first in range(0, len(rows), size):
            yield rows[first : first + size]


def _learned_examples(preset: Preset, camera: Split) -> int:
    """Return how many examples through the camera are learned from: all but the last, held out."""
    return len(camera) - preset.held_out(len(camera))


def _exchange(
    images: Bytes, labels: Labels, preset: Preset, camera: Split, rng: np.random.Generator
) -> None:
    """Put examples through the camera, with their labels, in the places of some digits."""
    chosen = rng.random(len(labels), dtype=np.float32) < preset.exchanged
    rows = rng.integers(_learned_examples(preset, camera), size=np.count_nonzero(chosen))
    images[chosen], labels[chosen] = camera.take(rows)


def _count_right(network: Network, preset: Preset, data: Split, rows: Rows) -> int:
    """Return how many of the pictures at `rows` the network gets right."""
    right = 0
    for images, labels in taken(data, rows, preset.batch):
        scores = network.forward(preset.inputs(images))
        right += int(np.count_nonzero(scores.argmax(axis=1) == labels))
    return right
