"""One night's work on disk: what is learned from, so that it goes on bit for bit after a power cut.

Everything that the course depends on is copied into one folder before it begins: captures that are
made or corrected in the meantime are for the next one. The examples through the camera, which are
the same each night and take a Pi Zero long to make, stay beside it. The pictures stay in files, in
which memory for more captures is not needed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from appliance import __version__
from appliance.captures.store import Captures
from appliance.errors import ApplianceError, StateError
from model import checkpoint, weights
from model.datasets import Bytes, Split
from model.errors import ModelError
from model.files import open_regular, read_regular, replace_file
from model.network import Network
from model.presets import PRESETS, Preset, get_preset
from model.train import ExtraPictures, TrainingRun, batches

SEED = 1
"""The seed that the shipped network holds digits out by: no night ever learns from those."""
EPOCHS = 3
"""Epochs of a course that goes on from a network, with a base set."""
_LEARNING_RATE, _BATCH = 0.003, 128
_OWN, _CAMERA = 0.15, 0.25
"""The share of each batch that captures and examples through the camera take."""
_BLOCK = 256

MakeExamples = Callable[[Preset, Split, int], Split]


@dataclass(frozen=True)
class Sizes:
    """How much a course is: examples through the camera, pictures a batch, learning rate, epochs.

    Where there is no base set the examples stand in for it for `alone` epochs; they are made of so
    many `scans` of the project's own hand.
    """

    examples: int = 3000
    scans: int = 2000
    batch: int = _BATCH
    learning_rate: float = _LEARNING_RATE
    epochs: int = EPOCHS
    alone: int = 20
    from_scratch: int = PRESETS["appliance"].epochs


@dataclass
class Plan:
    """What a course is of, as `plan.json` has it, and how far the nights have come with it.

    `pictures` are the count and sha256 of each file of pictures, `base` the checksums of the base
    set, `change` the captures' number as it began. The course goes on as long as one of `accepts`
    is the network in use: the parent, and what came of it. `gated` is the number of the epoch that
    was last decided on, and `decided` the record of what is not done to its end yet.
    """

    parent: str
    accepts: list[str]
    pictures: dict[str, list[Any]]
    base: dict[str, str] | None
    from_scratch: bool
    change: int
    gated: int = 0
    decided: dict[str, Any] | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    curve: list[list[float]] = field(default_factory=list)

    @property
    def captures(self) -> dict[str, int]:
        return {side: self.pictures[side][0] for side in ("learned", "held_out")}


@dataclass(frozen=True)
class Pictures:
    """What a night learns from beside the base set, and what only the gate sees."""

    examples: Split
    learned: Split
    held_out: Split


class ResumableRun:
    """One course of training in a folder of its own, and the network that it began with."""

    def __init__(self, folder: Path, base: Split | None, sizes: Sizes | None = None) -> None:
        """Take up what is in the folder; raises StateError where there is nothing whole."""
        self.folder = folder
        self.base = base
        self._sizes = sizes or Sizes()
        self._checkpoint = folder / "checkpoint.npz"
        try:
            self.plan = _read_plan(folder / "plan.json")
            self.parent, _ = weights.load(folder / "parent.npz")
            if weights.checksum(self.parent)[:12] != self.plan.parent:
                raise ValueError("its parent is another network")
            self.pictures = Pictures(
                *(
                    _read_pictures(_file(folder, name), *self.plan.pictures[name])
                    for name in ("examples", "learned", "held_out")
                )
            )
            if self.plan.base != (base.checksums if base is not None else None):
                raise ValueError("the base set is another one")
        except (OSError, KeyError, TypeError, ValueError, RecursionError, ModelError) as error:
            raise StateError(
                f"{folder}: the training that was begun cannot go on ({error}): it begins anew"
            ) from None

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        parent: Network,
        card: dict[str, Any],
        captures: Captures,
        base: Split | None,
        make_examples: MakeExamples,
        from_scratch: bool = False,
        sizes: Sizes | None = None,
    ) -> "ResumableRun":
        """Lay down what a new course needs, and return it; what was there before is gone.

        Raises StateError where the disk refuses, and whatever `make_examples` raises.
        """
        sizes = sizes or Sizes()
        try:
            discard(folder)
            folder.mkdir(parents=True, exist_ok=True)
            # Before they are copied: what changes in the meantime is new the next night.
            change = captures.change()
            written = {"examples": _examples(folder, base, sizes, make_examples)}
            for name, held_out in (("learned", False), ("held_out", True)):
                written[name] = _write_pictures(_file(folder, name), captures.labelled(held_out))
            weights.save(folder / "parent.npz", parent, card)
            id = weights.checksum(parent)[:12]
            base_sums = base.checksums if base is not None else None
            # Last, since a folder with a plan is whole.
            _write_plan(folder, Plan(id, [id], written, base_sums, from_scratch, change))
        except (ApplianceError, ModelError):
            raise
        except OSError as error:
            raise StateError(
                f"{folder}: the night's pictures cannot be written ({error.strerror or error}): "
                "make room on the disk, or check who owns the folder; nothing is lost"
            ) from None
        return cls(folder, base, sizes)

    def course(self) -> tuple[TrainingRun, str | None]:
        """Return the course where it stands, and a sentence if its checkpoint was of no use."""
        course = self._course()
        try:
            checkpoint.load(self._checkpoint, course, self._about())
        except Exception as error:
            # zipfile and numpy raise a dozen kinds for a damaged file, and none is worth a night.
            sentence = f"{self._checkpoint}: it cannot be taken up again ({error}): it begins anew"
            return self._course(), str(error) if isinstance(error, ModelError) else sentence
        return course, None

    def keep(self, course: TrainingRun) -> None:
        """Write where the course stands; raises StateError."""
        try:
            checkpoint.save(self._checkpoint, course, self._about())
        except OSError as error:
            raise self._refused(error) from None

    def note(self, **facts: Any) -> None:
        """Change facts of the plan on disk, then in memory; raises StateError."""
        changed = replace(self.plan, **facts)
        try:
            _write_plan(self.folder, changed)
        except OSError as error:
            raise self._refused(error) from None
        self.plan = changed

    def _refused(self, error: OSError) -> StateError:
        return StateError(
            f"{self.folder}: the training cannot be kept ({error.strerror or error}): make room on "
            "the disk; what was kept before is whole, and the next night goes on from there"
        )

    @property
    def checksum(self) -> str:
        """Return the sha256 over those of the pictures."""
        return hashlib.sha256(json.dumps(self.plan.pictures).encode()).hexdigest()

    @property
    def recipe(self) -> Preset:
        """How this course learns: one that goes on from a network takes small steps."""
        sizes = self._sizes
        if self.plan.from_scratch:
            own = get_preset("appliance").for_camera()
            return replace(own, batch=sizes.batch, epochs=sizes.from_scratch)
        epochs = sizes.alone if self.base is None else sizes.epochs
        return replace(
            fine_tuning_preset(self.parent, epochs),
            batch=sizes.batch,
            learning_rate=sizes.learning_rate,
        )

    def _about(self) -> dict[str, Any]:
        """Return what a checkpoint must be of; an update that brings another recipe is another."""
        plan = self.plan
        about = {"pictures": plan.pictures, "base": plan.base, "parent": plan.parent}
        return {**about, "recipe": repr(self.recipe)}

    def _course(self) -> TrainingRun:
        recipe, pictures = self.recipe, self.pictures
        own = ExtraPictures(pictures.learned, _OWN)
        if self.base is None:
            data, extra = pictures.examples, [own]
        else:
            held_out = recipe.held_out_count(len(pictures.examples))
            camera = ExtraPictures(pictures.examples, _CAMERA, held_out, distilled=True)
            data, extra = self.base, [camera, own]
        parent = None if self.plan.from_scratch else self.parent
        return TrainingRun(
            recipe,
            data,
            seed=SEED,
            epochs=recipe.epochs,
            extra=extra,
            start=parent,
            teacher=parent,
        )

    def gate_sets(self) -> dict[str, tuple[Split, Any]]:
        """Return what the gate compares two networks on: data sets, each with its held-out rows."""
        recipe, examples = self.recipe, self.pictures.examples
        sets: dict[str, tuple[Split, Any]] = {
            "your digits": (self.pictures.held_out, np.arange(len(self.pictures.held_out)))
        }
        if self.base is None:
            rows, _ = recipe.split_rows(len(examples), SEED)
        else:
            sets["MNIST"] = self.base, recipe.split_rows(len(self.base), SEED)[0]
            rows = np.arange(len(examples) - recipe.held_out_count(len(examples)), len(examples))
        return {**sets, "other hands": (examples, rows)}


def fine_tuning_preset(network: Network, epochs: int) -> Preset:
    """Return the recipe by which a night goes on from a network: small steps from where it is."""
    return replace(
        get_preset("appliance").for_camera(),
        layers=tuple(tuple(layer) for layer in network.spec()),
        learning_rate=_LEARNING_RATE,
        settings={"momentum": 0.9, "nesterov": True},
        batch=_BATCH,
        average=0.0,
        epochs=epochs,
    )


def discard(folder: Path) -> None:
    """Remove a course; the plan goes first, so that nothing half removed is taken up.

    Raises OSError where it stays.
    """
    (folder / "plan.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def draw_digits(count: int) -> Split:
    """Return digits of the project's own hand as a data set, where there is no base set."""
    from appliance.simulator.handwriting import HANDS
    from appliance.simulator.paper import Conditions
    from appliance.simulator.scenes import render_ink
    from appliance.vision.glyph import make_glyph

    images, labels = np.empty((count, 784), np.uint8), np.empty(count, np.uint8)
    for place in range(count):
        rng = np.random.default_rng([SEED, place])
        label = place % 10
        variants = list(HANDS[label].values())
        drawn = render_ink(variants[rng.integers(len(variants))], rng, Conditions(), 60)
        images[place] = np.rint(make_glyph(drawn).ravel() * np.float32(255))
        labels[place] = label
    return Split(images, labels)


def _read_plan(path: Path) -> Plan:
    """Return a plan; raises OSError, KeyError, TypeError or ValueError for a damaged one."""
    held = json.loads(read_regular(path))
    if held["sha256"] != _sum_of(held["plan"]):
        raise ValueError("its plan does not match its checksum")
    return Plan(**held["plan"])


def _write_plan(folder: Path, plan: Plan) -> None:
    facts = asdict(plan)
    with replace_file(folder / "plan.json") as file:
        file.write(json.dumps({"plan": facts, "sha256": _sum_of(facts)}, indent=1).encode())


def _sum_of(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _examples(
    folder: Path, base: Split | None, sizes: Sizes, make_examples: MakeExamples
) -> list[Any]:
    """Have the examples through the camera beside a folder, made now if they are not there whole.

    Returns their count and sha256.
    """
    recipe = replace(get_preset("appliance").for_camera(), photographs=sizes.examples)
    about = {
        "version": __version__,
        "recipe": repr(recipe),
        "base": sizes.scans if base is None else base.checksums,
    }
    file = _file(folder, "examples")
    card = file.with_suffix(".json")
    with suppress(OSError, KeyError, TypeError, ValueError):
        told = json.loads(read_regular(card))
        if told["about"] == about:
            _read_pictures(file, *told["pictures"])
            return list(told["pictures"])
    made = make_examples(recipe, draw_digits(sizes.scans) if base is None else base, SEED)
    pictures = _write_pictures(file, batches(made, np.arange(len(made)), _BLOCK))
    with replace_file(card) as told_file:
        told_file.write(json.dumps({"about": about, "pictures": pictures}).encode())
    return pictures


def _file(folder: Path, name: str) -> Path:
    """Return where pictures stand: the examples beside the folder, since they outlive it."""
    return (folder.parent if name == "examples" else folder) / f"{name}.pictures"


def _write_pictures(path: Path, blocks: Iterable[tuple[Bytes, Bytes]]) -> list[Any]:
    """Write pictures of 784 bytes one after the other, then their labels, a byte each.

    Returns how many, and the sha256 of the file.
    """
    labels, digest = bytearray(), hashlib.sha256()
    with replace_file(path) as file:
        for pictures, answers in blocks:
            file.write(pictures.tobytes())
            digest.update(pictures.tobytes())
            labels += answers.tobytes()
        file.write(labels)
        digest.update(labels)
    return [len(labels), digest.hexdigest()]


def _read_pictures(path: Path, count: int, checksum: str) -> Split:
    with open(path, "rb", opener=open_regular) as file:
        if os.fstat(file.fileno()).st_size != 785 * count:
            raise ValueError(f"{path.name} has another size than it had")
        if hashlib.file_digest(file, "sha256").hexdigest() != checksum:
            raise ValueError(f"{path.name} does not match its checksum")
        if not count:
            return Split(np.empty((0, 784), np.uint8), np.empty(0, np.uint8))
        file.seek(784 * count)
        return Split.from_file(file, np.frombuffer(file.read(), np.uint8))
