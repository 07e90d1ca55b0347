"""The one training loop, for every network."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from model.datasets import Bytes, Split
from model.layers import Array, Dropout
from model.losses import LOSSES, Labels, Loss, one_hot
from model.network import Network, build
from model.optimisers import OPTIMISERS, SCHEDULES, Optimiser
from model.presets import Preset
from model.shuffle import Rows, permutation


@dataclass(frozen=True)
class Epoch:
    """The result of one pass over the training digits.

    `loss` is the mean over its batches, `validation` the accuracy on the held-out digits and
    `camera` that on the held-out simulated photographs (None where none are held out), `best`
    whether no epoch before it got more right.
    """

    number: int
    of: int
    loss: float
    validation: float | None
    camera: float | None
    best: bool


@dataclass(frozen=True)
class ExtraPictures:
    """Pictures that replace a `share` 0…1 of each batch, with their own labels.

    The last `held_out` of them are not learned from. `distilled` ones are learned with the
    teacher's answers, where there is one. `strength` 0…1 is the share of the augmentation they get.
    """

    data: Split
    share: float
    held_out: int = 0
    distilled: bool = False
    strength: float = 1.0

    @property
    def learned_count(self) -> int:
        return len(self.data) - self.held_out

    def held_out_rows(self) -> Rows:
        return np.arange(self.learned_count, len(self.data))


@dataclass
class Training:
    """A finished, interrupted or diverged training: `network` holds the best weights seen."""

    network: Network
    epochs: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None
    interrupted: bool = False
    diverged: bool = False


def train_batch(
    network: Network, loss: Loss, optimiser: Optimiser, learning_rate: float, x: Array, y: Array
) -> float:
    """Take one step on inputs x (n, inputs) with targets y (n, outputs); return the loss."""
    value, gradient = loss(network.forward(x, training=True), y)
    network.backward(gradient)
    optimiser.step(learning_rate)
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

    `seed` decides the initial weights, the held-out digits, the order and the augmentation: on one
    machine one seed gives one network. Only a batch at a time is float32. Ctrl-C
    (KeyboardInterrupt) ends it early with the best so far, and so do the preset's `patience` and
    weights that are not finite. `camera` are simulated photographs, which replace the preset's
    share of each batch. `on_epoch` gets each epoch and the network as it is then, `on_batch` the
    epoch's number and the share of it that is done.
    """
    extra = [] if camera is None else [mix_in_camera(preset, camera)]
    run = TrainingRun(preset, data, seed=seed, epochs=epochs, extra=extra)
    run.train(on_epoch=on_epoch, on_batch=on_batch)
    return run.result()


def mix_in_camera(preset: Preset, camera: Split) -> ExtraPictures:
    """Return simulated photographs as a preset mixes them in."""
    held_out = preset.held_out_count(len(camera))
    return ExtraPictures(camera, preset.camera_share, held_out, strength=preset.camera_strength)


class TrainingRun:
    """One training, which can be stopped after any batch and resumed bit for bit.

    `start` is the network to fine-tune, of the preset's layers; without it the weights are random.
    `extra` pictures replace some digits of each batch. With a `teacher`, the targets of the digits
    and of `distilled` pictures are the mean of their labels and its probabilities. Source:
    G. Hinton et al., "Distilling the Knowledge in a Neural Network", 2015.
    """

    def __init__(
        self,
        preset: Preset,
        data: Split,
        *,
        seed: int,
        epochs: int,
        extra: Sequence[ExtraPictures] = (),
        start: Network | None = None,
        teacher: Network | None = None,
    ) -> None:
        self._teacher = teacher
        self._preset, self._data, self._extra = preset, data, extra
        self._seed, self._epochs = seed, epochs
        self.network = build(preset.layers, seed, initial=preset.initial)
        if start is not None:
            self.network.weights[...] = start.weights
            self.network.statistics[...] = start.statistics
        self._optimiser = OPTIMISERS[preset.optimiser](self.network, **preset.settings)
        self._average = Average(self.network, preset.average) if preset.average else None
        self.candidate = self._average.network if self._average else self.network
        self._rng = np.random.default_rng(seed)
        held_out, self._learned = preset.split_rows(len(data), seed)
        self._held_out: list[tuple[Split, Rows]] = [
            (data, held_out),
            *((each.data, each.held_out_rows()) for each in extra),
        ]
        self._steps = max(1, -(-len(self._learned) // preset.batch))
        self._training = Training(self.candidate)
        self._best: tuple[Epoch, Array, Array] | None = None
        # Where it stands: the epoch, its steps done, the sum of the losses and their count.
        self._number, self._done, self._total, self._batches = 1, 0, 0.0, 0
        self._most, self._improved = -1, 0

    @property
    def finished(self) -> bool:
        """Whether the training is over."""
        training = self._training
        waited = self._number - 1 - self._improved
        impatient = self._preset.patience and len(self._held_out[0][1])
        return (
            self._number > self._epochs
            or training.diverged
            or training.interrupted
            or bool(impatient and training.epochs and waited >= self._preset.patience)
        )

    @property
    def epochs(self) -> list[Epoch]:
        """The finished epochs."""
        return self._training.epochs

    @property
    def loss(self) -> float | None:
        """The mean loss of this epoch's batches so far; None before the first."""
        return self._total / self._batches if self._batches else None

    @property
    def progress(self) -> float:
        """How much of the training is done, 0…1."""
        return min(1.0, (self._number - 1 + self._done / self._steps) / self._epochs)

    def train(
        self,
        *,
        on_epoch: Callable[[Epoch, Network], None] = lambda epoch, network: None,
        on_batch: Callable[[int, float], None] = lambda epoch, share: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train until it is finished or `should_stop`, which is asked after each batch."""
        try:
            while not self.finished:
                order = permutation(len(self._learned), self._seed, self._number)
                size = self._preset.batch
                for start in range(self._done * size, len(order), size):
                    self._train_batch(self._learned[order[start : start + size]])
                    on_batch(self._number, self._done / self._steps)
                    if should_stop():
                        return
                self._finish_epoch(on_epoch)
        except KeyboardInterrupt:
            self._training.interrupted = True
            if self._batches:
                self._finish_epoch(on_epoch)

    def result(self) -> Training:
        """Return the training with the best weights in its network; the run is then over."""
        if self._best is not None:
            self._training.best, weights, statistics = self._best
            self.candidate.weights[...] = weights
            self.candidate.statistics[...] = statistics
        return self._training

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return what `restore` needs to go on from here: float32 arrays, and facts for JSON.

        The arrays are the run's own and change as it goes on.
        """
        arrays = {"weights": self.network.weights, "statistics": self.network.statistics}
        arrays |= {f"optimiser.{i}": array for i, array in enumerate(self._optimiser.arrays())}
        if self._average is not None:
            arrays["average"] = self._average.network.weights
            arrays["average.statistics"] = self._average.network.statistics
        best = None
        if self._best is not None:
            best, arrays["best"], arrays["best.statistics"] = self._best
        return arrays, {
            "number": self._number,
            "done": self._done,
            "total": self._total,
            "batches": self._batches,
            "most": self._most,
            "improved": self._improved,
            "optimiser_steps": self._optimiser.steps,
            "average_steps": self._average.steps if self._average else 0,
            "random": self._rng.bit_generator.state,
            "dropouts": [layer.random_state for layer in self._dropouts()],
            "epochs": [asdict(epoch) for epoch in self._training.epochs],
            "best": best and asdict(best),
        }

    def restore(self, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
        """Go to a `state`; raises KeyError, TypeError or ValueError for one of another run."""
        best = None if facts["best"] is None else Epoch(**facts["best"])
        epochs = [Epoch(**each) for each in facts["epochs"]]
        own, _ = self.state()
        expected = {name for name in own if not name.startswith("best")}
        if best is not None:
            expected |= {"best", "best.statistics"}
        if set(arrays) != expected or any(
            arrays[name].shape != array.shape or arrays[name].dtype != array.dtype
            for name, array in own.items()
            if name in expected
        ):
            raise ValueError("its arrays are those of another network or recipe")
        number, done = int(facts["number"]), int(facts["done"])
        if not (1 <= number <= self._epochs + 1 and 0 <= done <= self._steps):
            raise ValueError("it stands outside of this training")
        self._rng.bit_generator.state = facts["random"]
        for layer, state in zip(self._dropouts(), facts["dropouts"], strict=True):
            layer.random_state = state
        for name, array in own.items():
            if not name.startswith("best"):
                array[...] = arrays[name]
        self._best = None
        if best is not None:
            self._best = best, arrays["best"].copy(), arrays["best.statistics"].copy()
        self._number, self._done = number, done
        self._total, self._batches = float(facts["total"]), int(facts["batches"])
        self._most, self._improved = int(facts["most"]), int(facts["improved"])
        self._optimiser.steps = int(facts["optimiser_steps"])
        if self._average is not None:
            self._average.steps = int(facts["average_steps"])
        self._training.epochs = epochs

    def _dropouts(self) -> list[Dropout]:
        return [layer for layer in self.network.layers if isinstance(layer, Dropout)]

    def _train_batch(self, rows: Rows) -> None:
        preset = self._preset
        images, labels = self._data.take(rows)
        distilled, strength = _mix(images, labels, self._extra, self._rng)
        rate = preset.learning_rate * SCHEDULES[preset.schedule](self.progress)
        targets = one_hot(labels, *preset.targets, self.network.shapes[-1][0])
        for x in preset.variants(images, self._rng, strength):
            mean = targets
            # A short last batch may have nothing to distil.
            if self._teacher is not None and distilled.any():
                mean = targets.copy()
                mean[distilled] += self._teacher.probabilities(x[distilled])
                mean[distilled] /= 2
            loss = LOSSES[preset.loss]
            self._total += train_batch(self.network, loss, self._optimiser, rate, x, mean)
            self._batches += 1
            if self._average is not None:
                self._average.add()
        self._done += 1

    def _finish_epoch(self, on_epoch: Callable[[Epoch, Network], None]) -> None:
        training, candidate = self._training, self.candidate
        counts = [_count_right(candidate, self._preset, *rows) for rows in self._held_out]
        shares = [
            count / len(rows) if len(rows) else None
            for count, (_, rows) in zip(counts, self._held_out, strict=True)
        ]
        right = sum(counts)
        # Weights that are not finite, or that no file would hold, are never kept.
        training.diverged = not candidate.is_finite()
        # Of equals the later has learned longer; for the patience it is no better.
        best = not training.diverged and right >= self._most
        if right > self._most:
            self._most, self._improved = right, self._number
        loss = self._total / self._batches
        digits, camera = [*shares, None][:2]
        epoch = Epoch(self._number, self._epochs, loss, digits, camera, best)
        if best:
            # In one assignment: an interrupt leaves one epoch with its own weights.
            self._best = epoch, candidate.weights.copy(), candidate.statistics.copy()
        training.epochs.append(epoch)
        self._number, self._done, self._total, self._batches = self._number + 1, 0, 0.0, 0
        on_epoch(epoch, candidate)


def list_held_out(
    preset: Preset, data: Split, camera: Split | None, seed: int
) -> list[tuple[Split, Rows]]:
    """Return the digits, and the simulated photographs if any, each with its held-out rows."""
    held_out = [(data, preset.split_rows(len(data), seed)[0])]
    if camera is not None:
        held_out.append((camera, mix_in_camera(preset, camera).held_out_rows()))
    return held_out


def batches(data: Split, rows: Rows, size: int) -> Iterator[tuple[Bytes, Labels]]:
    """Yield the pictures and labels at some rows, `size` at a time."""
    for start in range(0, len(rows), size):
        yield data.take(rows[start : start + size])


class Average:
    """An exponential moving average of a network's weights over the steps of its training.

    The first averages forget faster, as the weights then are far from where they go. Source:
    B. Polyak and A. Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self._trained, self._decay, self.steps = network, decay, 0
        self.network = build(network.spec())

    def add(self) -> None:
        """Include the weights after one more step."""
        self.steps += 1
        share = np.float32(1 - min(self._decay, self.steps / (self.steps + 10)))
        for average, values in (
            (self.network.weights, self._trained.weights),
            (self.network.statistics, self._trained.statistics),
        ):
            average += share * (values - average)


def _mix(
    images: Bytes, labels: Labels, extra: Sequence[ExtraPictures], rng: np.random.Generator
) -> tuple[npt.NDArray[np.bool_], Array]:
    """Replace some digits of a batch by extra pictures and their labels.

    Returns which are distilled, bool (n,), and how strongly each is augmented, (n,).
    """
    distilled, strength = np.ones(len(labels), bool), np.ones(len(labels), np.float32)
    if not extra:
        return distilled, strength
    places = rng.random(len(labels), dtype=np.float32)
    low = 0.0
    for each in extra:
        chosen = (places >= low) & (places < low + each.share)
        rows = rng.integers(each.learned_count, size=np.count_nonzero(chosen))
        images[chosen], labels[chosen] = each.data.take(rows)
        distilled[chosen], strength[chosen] = each.distilled, each.strength
        low += each.share
    return distilled, strength


def _count_right(network: Network, preset: Preset, data: Split, rows: Rows) -> int:
    """Return how many of the pictures at `rows` the network gets right."""
    right = 0
    for images, labels in batches(data, rows, preset.batch):
        scores = network.forward(preset.inputs(images))
        right += int(np.count_nonzero(scores.argmax(axis=1) == labels))
    return right
