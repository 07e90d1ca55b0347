"""The networks that can be trained by name, each with its own recipe."""

from dataclasses import dataclass
from typing import Any

from model.augment import Augment
from model.errors import PresetError


@dataclass(frozen=True)
class Preset:
    """A network's layers and how it is trained.

    `step` is the optimiser's step at the start and `schedule` how it shrinks; `validation` digits
    are held out of the training set to choose the best epoch.
    """

    name: str
    summary: str
    layers: tuple[tuple[Any, ...], ...]
    loss: str
    step: float
    momentum: float
    schedule: str
    batch: int
    epochs: int
    augment: Augment | None = None
    validation: int = 5000


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="appliance",
            summary="the network that ships: two ReLU layers, trained on digits that are turned, "
            "sheared, moved and drawn with thin and thick pens",
            layers=(
                ("dense", 784, 112),
                ("relu",),
                ("dense", 112, 56),
                ("relu",),
                ("dense", 56, 10),
            ),
            loss="cross-entropy",
            step=0.1,
            momentum=0.9,
            schedule="cosine",
            batch=128,
            epochs=40,
            augment=Augment(degrees=15, shear=0.3, scale=0.15, shift=1.5, stroke=1.0),
        ),
        Preset(
            name="sgd-30",
            summary="784-30-10 sigmoids with biases and squared error, as in chapter 1 of "
            "Nielsen's 'Neural Networks and Deep Learning'",
            layers=(("dense", 784, 30), ("sigmoid",), ("dense", 30, 10), ("sigmoid",)),
            loss="squared-error",
            step=3.0,
            momentum=0.0,
            schedule="constant",
            batch=10,
            epochs=30,
        ),
    )
}


def preset(name: str) -> Preset:
    """Return a preset by its name; raises PresetError with the names there are."""
    if name not in PRESETS:
        raise PresetError(f"there is no preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
