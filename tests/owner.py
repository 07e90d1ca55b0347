"""An owner with an odd hand, and all else that a night takes, small enough for a second."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from appliance.captures.store import Captures
from appliance.networks.vault import Vault
from appliance.simulator.handwriting import LETTERS, PLAIN
from appliance.simulator.paper import Conditions
from appliance.simulator.scenes import render_ink
from appliance.storage.layout import StateDirectory
from appliance.training.examples import draw_digits
from appliance.training.resumable_run import Sizes, fine_tuning_preset
from appliance.training.retrain import Limits, Retraining
from appliance.vision.glyph import make_glyph
from model import weights
from model.datasets import Bytes, Split
from model.network import NOT_A_DIGIT, Network, build
from model.presets import Preset
from model.train import ExtraPictures, TrainingRun

FEW = Sizes(
    examples=120,
    drawn_digits=200,
    batch=32,
    learning_rate=0.01,
    epochs=2,
    epochs_without_base=4,
    epochs_from_scratch=1,
)
ODD = "K"
"""The letter that this owner writes for a 4."""


def glyphs(strokes: Any, count: int, seed: int) -> Bytes:
    """Return glyphs uint8 (n, 784) of one drawing, each by another turn of the same hand."""
    found = np.empty((count, 784), np.uint8)
    for place in range(count):
        rng = np.random.default_rng([seed, place])
        found[place] = np.rint(
            make_glyph(render_ink(strokes, rng, Conditions(), 60)).ravel() * np.float32(255)
        )
    return found


@lru_cache(maxsize=1)
def base() -> Split:
    """Return a base set of the project's own strokes, of which the shipped network reads all."""
    drawn = draw_digits(500)
    return Split(drawn.images, drawn.labels, {"own": "0" * 64})


def few_examples(recipe: Preset, scans: Split, seed: int) -> Split:
    """Return what stands in for photographs: digits as they are, and noise that is no digit."""
    rng = np.random.default_rng([seed, 9])
    count = recipe.photograph_count(len(scans))
    images, labels = scans.take(rng.integers(len(scans), size=count))
    noise = rng.random(count, dtype=np.float32) < 0.3
    images[noise] = rng.integers(0, 256, (int(noise.sum()), 784), np.uint8)
    labels[noise] = NOT_A_DIGIT
    return Split(images, labels)


@lru_cache(maxsize=1)
def tiny() -> Network:
    """Return a network of one small hidden layer that reads the base set."""
    spec = [["dense", 784, 24], ["relu"], ["dense", 24, NOT_A_DIGIT + 1]]
    recipe = replace(
        fine_tuning_preset(build(spec), epochs=12), learning_rate=0.1, batch=16, augment=None
    )
    noise = few_examples(replace(recipe, photographs=100), base(), seed=3)
    course = TrainingRun(recipe, base(), seed=1, epochs=12, extra=[ExtraPictures(noise, 0.3)])
    course.train()
    return course.result().network


@lru_cache(maxsize=1)
def hand() -> tuple[Bytes, Bytes]:
    """Return glyphs and labels of the owner: 4s that are none, and some of each other digit."""
    odd = glyphs(LETTERS[ODD], 60, seed=5)
    parts = [odd, *(glyphs(PLAIN[digit], 5, digit) for digit in range(10) if digit != 4)]
    labels = [4] * len(odd) + [digit for digit in range(10) if digit != 4 for _ in range(5)]
    return np.concatenate(parts), np.array(labels, np.uint8)


def correct(captures: Captures, images: Bytes, labels: Bytes, first: float = 0) -> None:
    """Have the owner correct readings: one capture a second."""
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        captures.add(
            label=int(label),
            said=7 if label == 4 else int(label),
            reason=None,
            confidence=0.9,
            network="0" * 12,
            glyph=image.reshape(28, 28),
            picture=b"png",
            at=first + place,
        )


@dataclass
class Clock:
    """Seconds that pass by `step` each time it is looked at, and while somebody sleeps."""

    step: float = 0.001
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        self.now += self.step
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def retraining(state: Path, captures: Captures, **others: Any) -> Retraining:
    """Return a night of few pictures and epochs in a state directory."""
    parts: dict[str, Any] = {
        "vault": Vault(StateDirectory(state).networks),
        "captures": captures,
        "base": base(),
        "limits": Limits(seconds=3600),
        "make_examples": few_examples,
        "sizes": FEW,
    }
    return Retraining(state, **{**parts, **others})


def current(state: Path, **options: Any) -> str:
    """Return the sha256 of the network that reads now, which must be whole."""
    held = Vault(StateDirectory(state).networks, **options).load_current()
    assert held.problem is None, held.problem
    return weights.checksum(held.network)


def after(batches: int) -> Any:
    """Return what is asked between batches whether to end, and says so after some."""
    left = iter(range(batches))
    return lambda: next(left, None) is None


class LimitAfter(Limits):
    """A night that is over after so many batches, whatever the time."""

    def __init__(self, batches: int) -> None:
        super().__init__(seconds=1e9)
        object.__setattr__(self, "left", batches)

    def __getattribute__(self, name: str) -> Any:
        if name == "seconds":
            left = object.__getattribute__(self, "left") - 1
            object.__setattr__(self, "left", left)
            return 1e9 if left > 0 else -1.0
        return object.__getattribute__(self, name)
