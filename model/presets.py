"""The networks that can be trained by name, each with its own recipe."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from model.augment import Augment, rotate
from model.datasets import Bytes, Scaling, Split
from model.errors import PresetError
from model.layers import Array
from model.network import NOT_A_DIGIT, Network
from model.shuffle import Rows, split_rows


@dataclass(frozen=True)
class Preset:
    """A network's layers and how it is trained.

    `initial` is "scaled" (to each layer's inputs) or "unit" (normal, of variance 1). `inputs`
    scales pixels to what the network sees; `targets` are the (low, high) that it is to answer.
    `settings` are the optimiser's; `schedule` changes the learning rate. `average` is the decay of
    a moving average of the weights, 0 for none. `copies` are angles in degrees: each batch is
    learned as it is, then rotated by each. `validation` digits are held out of the training set to
    choose the best epoch; `patience` epochs without a better one end the training, 0 for never.
    Only the first `digits` of the data set are learned from, 0 for all.

    `photographs` is how many simulated photographs a training `through_camera` makes, 0 for a
    recipe that cannot; they take `camera_share` of each batch and get `camera_strength` of the
    augmentation, since they vary by themselves.
    """

    name: str
    summary: str
    layers: tuple[tuple[Any, ...], ...]
    loss: str
    learning_rate: float
    batch: int
    epochs: int
    optimiser: str = "sgd"
    settings: dict[str, Any] = field(default_factory=dict)
    schedule: str = "constant"
    initial: str = "scaled"
    inputs: Scaling = field(default_factory=Scaling)
    targets: tuple[float, float] = (0.0, 1.0)
    augment: Augment | None = None
    copies: tuple[float, ...] = ()
    average: float = 0.0
    photographs: int = 0
    camera_share: float = 0.22
    camera_strength: float = 0.3
    through_camera: bool = False
    validation: int = 5000
    patience: int = 0
    digits: int = 0

    def training_part(self, data: Split) -> Split:
        """Return the part of a data set that is trained on: the first `digits`, or all."""
        return data.first(self.digits) if self.digits else data

    def held_out_count(self, digits: int) -> int:
        """Return how many of so many digits are held out: `validation`, at most a sixth."""
        return min(self.validation, digits // 6)

    def split_rows(self, digits: int, seed: int) -> tuple[Rows, Rows]:
        """Return the rows that are held out, and those that are learned from."""
        return split_rows(digits, self.held_out_count(digits), seed)

    def photograph_count(self, digits: int) -> int:
        """Return how many photographs go with so many digits: 32 for five, up to `photographs`."""
        return min(self.photographs, -(-32 * digits // 5))

    def for_camera(self) -> "Preset":
        """Return the recipe with photographs and an eleventh output, "not a digit".

        Raises PresetError for one without `photographs`.
        """
        if not self.photographs:
            raise PresetError(
                f"{self.name} does not learn through the camera: of the presets, "
                f"{', '.join(name for name in PRESETS if PRESETS[name].photographs)} can"
            )
        kind, inputs, _ = self.layers[-1]
        return replace(
            self, through_camera=True, layers=(*self.layers[:-1], (kind, inputs, NOT_A_DIGIT + 1))
        )

    def variants(
        self, images: Bytes, rng: np.random.Generator, strength: Array | None = None
    ) -> Iterator[Array]:
        """Yield the inputs (n, 784) that a batch uint8 (n, 784) is learned as: itself, its copies.

        `strength` (n,) is how much each is augmented, as in `Augment`.
        """
        x = self.inputs(images)
        yield x if self.augment is None else self.augment(x, rng, strength)
        for degrees in self.copies:
            yield rotate(x, degrees, self.inputs.offset)

    def for_pixels(self, network: Network) -> Network:
        """Return a trained network folded for inference on pixels in 0…1."""
        return network.fold(255 * self.inputs.scale, self.inputs.offset)

    def picture_count(self, digits: int, epochs: int) -> int:
        """Return how many pictures a training of some epochs on `digits` learns from."""
        digits = min(digits, self.digits or digits)
        return (digits - self.held_out_count(digits)) * (1 + len(self.copies)) * epochs


_BOOK_INPUTS = Scaling(0.99 / 255, 0.01)


def _scratch(
    name: str,
    hidden: int,
    rate: float,
    epochs: int,
    *,
    summary: str = "",
    inputs: Scaling = _BOOK_INPUTS,
    **others: Any,
) -> Preset:
    """A network of T. Rashid's "Make Your Own Neural Network": no biases, one digit at a time.

    Errors are propagated by the book's rule (`layers.BookOutput`).
    """
    return Preset(
        name=name,
        summary=summary or f"784-{hidden}-10, {epochs} epochs of learning rate {rate}",
        layers=(("dense", 784, hidden, False), ("sigmoid",), ("book-output", hidden, 10)),
        loss="squared-error",
        learning_rate=rate,
        batch=1,
        epochs=epochs,
        inputs=inputs,
        targets=(0.01, 0.99),
        validation=0,
        **others,
    )


def _nielsen(name: str, *widths: int) -> Preset:
    """A network of M. Nielsen's "Neural Networks and Deep Learning", chapter 1."""
    layers: list[tuple[Any, ...]] = []
    for inputs, outputs in zip((784, *widths), (*widths, 10), strict=True):
        layers += [("dense", inputs, outputs), ("sigmoid",)]
    return Preset(
        name=name,
        summary="-".join(map(str, (784, *widths, 10))) + " sigmoids with biases and squared error, "
        "as in chapter 1 of Nielsen's 'Neural Networks and Deep Learning'",
        layers=tuple(layers),
        loss="squared-error",
        learning_rate=3.0,
        batch=10,
        epochs=30,
        initial="unit",
        validation=0,
    )


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="appliance",
            summary="the network that ships: four small convolutions, trained on digits that are "
            "turned, sheared, moved and drawn with thin and thick pens",
            layers=(
                ("image", 28, 28),
                *(("conv", 1, 8, 5, 0, False), ("max-pool", 2), ("batch-norm", 8), ("relu",)),
                *(("conv", 8, 24, 3, 0, False), ("max-pool", 2), ("batch-norm", 24), ("relu",)),
                *(("conv", 24, 48, 3, 1, False), ("batch-norm", 48), ("relu",)),
                *(("conv", 48, 64, 3, 0, False), ("batch-norm", 64), ("relu",)),
                *(("flatten",), ("dense", 9 * 64, 10)),
            ),
            loss="cross-entropy",
            learning_rate=0.07,
            settings={"momentum": 0.9, "nesterov": True, "decay": 5e-4},
            schedule="cosine",
            batch=64,
            epochs=28,
            augment=Augment(
                degrees=12, shear=0.2, scale=0.12, shift=1.3, elastic=0.6, stroke=0.4, sharpen=2.0
            ),
            average=0.998,
            photographs=384_000,
            validation=2000,
        ),
        _scratch(
            "scratch-100", 100, 0.3, 1,
            summary="784-100-10 sigmoids without biases, one digit at a time, one epoch, as in "
            "Rashid's 'Make Your Own Neural Network'",
            inputs=Scaling(1 / 256, 0.01),
        ),
        _scratch(
            "scratch-tiny", 100, 0.3, 1,
            summary="the same network on the book's first 100 training records",
            digits=100,
        ),
        _scratch("scratch-epochs", 100, 0.1, 5),
        _scratch("scratch-200", 200, 0.1, 5),
        _scratch("scratch-500", 500, 0.1, 5),
        _scratch("scratch-hidden", 10, 0.1, 5, summary="784-10-10: how few hidden nodes do"),
        _scratch(
            "scratch-rotated", 200, 0.01, 10,
            summary="784-200-10 that also learns each digit turned by 10° either way",
            copies=(10.0, -10.0),
        ),
        _scratch(
            "pi-zero", 10, 0.3, 1, summary="784-10-10, one epoch: what a Pi Zero did first"
        ),
        _nielsen("sgd-30", 30),
        _nielsen("sgd-16-16", 16, 16),
        _nielsen("sgd-none"),
        replace(
            _nielsen("deep-300-100", 300, 100),
            summary="784-300-100-10 sigmoids with biases and squared error, with initial weights "
            "scaled to their inputs and a learning rate of 0.5",
            initial="scaled",
            learning_rate=0.5,
        ),
        Preset(
            name="simard-800",
            summary="784-800-10 with cross-entropy and elastic distortions, as in Simard, "
            "Steinkraus and Platt's 'Best Practices', 2003",
            layers=(("dense", 784, 800), ("relu",), ("dense", 800, 10)),
            loss="cross-entropy",
            learning_rate=0.1,
            settings={"momentum": 0.9},
            schedule="cosine",
            batch=128,
            epochs=100,
            augment=Augment(degrees=15, elastic=1.4),
        ),
    )
}  # fmt: skip


def get_preset(name: str) -> Preset:
    """Return a preset by its name; raises PresetError with the names there are."""
    if name not in PRESETS:
        raise PresetError(f"there is no preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
