"""What the rows of the reproduction table share: the data, the trainings, the figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from model.datasets import Bytes, Split
from model.errors import DatasetError
from model.evaluate import evaluate
from model.network import Network
from model.presets import Preset
from model.train import Epoch, train

SEED = 1
QUICK_DIGITS = 2000


@dataclass(frozen=True)
class Figure:
    """What a source says beside what we measure."""

    what: str
    theirs: str
    ours: str


@dataclass(frozen=True)
class Plot:
    """A row's picture: curves of (x, y) by their label, or pictures (n, rows, columns) in 0…1."""

    title: str
    x: str = ""
    y: str = ""
    curves: dict[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    pictures: list[list[list[float]]] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """The result of a row: its figures, why they differ, and its plot."""

    recipe: str
    lines: list[Figure]
    note: str = ""
    plot: Plot | None = None


@dataclass(frozen=True)
class Drawing:
    """A handwritten digit of the book's author, uint8 (784,), bright on dark, and its label."""

    name: str
    label: int
    pixels: Bytes


@dataclass
class Workbench:
    """The data that rows are trained and measured on; each network is trained only once.

    With `quick` every training is one epoch of 2,000 digits: to see that it runs, not to compare.
    `examples` makes the simulated photographs for a recipe, a data set and a seed.
    """

    training: Split | None = None
    test: Split | None = None
    drawings: Sequence[Drawing] = ()
    examples: Callable[[Preset, Split, int], Split | None] = lambda recipe, data, seed: None
    quick: bool = False
    say: Callable[[str], None] = print
    _done: list[tuple[Any, tuple[list[float], Network]]] = field(default_factory=list)

    def train(self, recipe: Preset, *, seed: int = SEED) -> tuple[list[float], Network]:
        """Return the test accuracy after every epoch, and the folded network.

        Where digits are held out, the last accuracy and the network are of the epoch that did best
        on those. Raises DatasetError without MNIST and KeyboardInterrupt when interrupted.
        """
        training, test = self.mnist()
        epochs = 1 if self.quick else recipe.epochs
        key = (replace(recipe, name="", summary="", epochs=epochs), seed)
        for done, result in self._done:
            if done == key:
                return result
        accuracies: list[float] = []

        def measure(epoch: Epoch, network: Network) -> None:
            accuracies.append(evaluate(recipe.for_pixels(network), test).accuracy)
            self.say(
                f"  {recipe.name}, learning rate {recipe.learning_rate}, seed {seed}: "
                f"epoch {epoch.number}/{epochs}: {accuracies[-1]:.2%}"
            )

        data = recipe.training_part(training)
        training_result = train(
            recipe,
            data,
            seed=seed,
            epochs=epochs,
            camera=self.examples(recipe, data, seed) if recipe.through_camera else None,
            on_epoch=measure,
        )
        if training_result.interrupted:
            raise KeyboardInterrupt
        network = recipe.for_pixels(training_result.network)
        if recipe.validation:
            accuracies.append(evaluate(network, test).accuracy)
        self._done.append((key, (accuracies, network)))
        return accuracies, network

    def format_accuracy(self, share: float) -> str:
        """Return a share of the test digits in per cent, with their count."""
        return f"{percent(share)} ({round(share * len(self.mnist()[1])):,})"

    def mnist(self) -> tuple[Split, Split]:
        """Return the training and the test digits. Raises DatasetError without MNIST."""
        if self.training is None or self.test is None:
            raise DatasetError(
                "these networks learn from MNIST: name its folder with --data, or fetch it with "
                "'digits data fetch --to DIR'"
            )
        if not self.quick:
            return self.training, self.test
        return self.training.first(QUICK_DIGITS), self.test.first(QUICK_DIGITS)


def percent(share: float) -> str:
    """Return a share 0…1 in per cent, as in the table."""
    return f"{100 * share:.2f} %"
