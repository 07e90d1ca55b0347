"""A night's training on disk: after a power cut it goes on and ends with the same bits.

All that the result depends on is copied into one folder before the training begins; captures made
or corrected in the meantime are for the next night. The simulated examples, the same each night and
slow to make on a Pi Zero, are kept beside the folder.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from appliance import __version__
from appliance.captures.store import Captures
from appliance.errors import ApplianceError, StateError
from appliance.training.examples import draw_digits
from appliance.training.gate import MNIST, OTHER_HANDS, OWN_DIGITS
from appliance.training.picture_file import read_pictures, write_pictures
from model import checkpoint, weights
from model.datasets import Split
from model.errors import ModelError
from model.files import read_regular, replace_file
from model.network import Network
from model.presets import PRESETS, Preset, get_preset
from model.shuffle import Rows
from model.train import ExtraPictures, TrainingRun, batches

SEED = 1
"""The seed of the shipped network's held-out digits: no night learns from those."""
EPOCHS = 3
"""Epochs of a night that goes on from a network and has a base set."""
OWN_SHARE, CAMERA_SHARE = 0.15, 0.25
"""The share of captures and of simulated examples in each batch."""
_LEARNING_RATE, _BATCH = 0.003, 128
_BLOCK = 256
_PICTURES = ("examples", "learned", "held_out")

MakeExamples = Callable[[Preset, Split, int], Split]


@dataclass(frozen=True)
class Sizes:
    """How much a night learns: simulated examples, pictures a batch, learning rate, epochs.

    Without a base set the network learns from the examples for `epochs_without_base`; they are then
    made of so many `drawn_digits`.
    """

    examples: int = 3000
    drawn_digits: int = 2000
    batch: int = _BATCH
    learning_rate: float = _LEARNING_RATE
    epochs: int = EPOCHS
    epochs_without_base: int = 20
    epochs_from_scratch: int = PRESETS["appliance"].epochs


@dataclass
class Plan:
    """What a night trains and how far it is; the content of `plan.json`.

    `pictures` has the number and the sha256 of each picture file, `base` the checksums of the base
    set, `change` the captures' change number at the beginning. The night goes on as long as one of
    `accepts` is the network in use: the parent, and the candidates promoted meanwhile. `gated` is
    the last epoch that was compared, `decided` a decision that is not carried out yet.
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
        """How many captures are learned from and how many are held out."""
        return {side: self.pictures[side][0] for side in ("learned", "held_out")}


@dataclass(frozen=True)
class Pictures:
    """Simulated examples, captures to learn from, and captures that only the gate sees."""

    examples: Split
    learned: Split
    held_out: Split


class ResumableRun:
    """A training in a folder of its own, and the network it started from."""

    def __init__(self, folder: Path, base: Split | None, sizes: Sizes | None = None) -> None:
        """Open the run in a folder; raises StateError where it is not whole or does not fit."""
        self.folder = folder
        self.base = base
        self._sizes = sizes or Sizes()
        self._checkpoint = folder / "checkpoint.npz"
        try:
            self.plan = _read_plan(folder)
            self.parent, _ = weights.load(folder / "parent.npz")
            if weights.checksum(self.parent)[:12] != self.plan.parent:
                raise ValueError("its parent is another network")
            self.pictures = Pictures(
                *(
                    read_pictures(_picture_path(folder, name), *self.plan.pictures[name])
                    for name in _PICTURES
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
        """Write a new run to a folder, in the place of any other, and return it.

        Raises StateError where the disk refuses, and whatever `make_examples` raises.
        """
        sizes = sizes or Sizes()
        try:
            delete_run(folder)
            folder.mkdir(parents=True, exist_ok=True)
            # Before they are copied: what changes in the meantime is new to the next night.
            change = captures.count_changes()
            pictures = {"examples": _provide_examples(folder, base, sizes, make_examples)}
            for name, held_out in (("learned", False), ("held_out", True)):
                path = _picture_path(folder, name)
                pictures[name] = write_pictures(path, captures.iter_labelled(held_out))
            weights.save(folder / "parent.npz", parent, card)
            id = weights.checksum(parent)[:12]
            base_sums = base.checksums if base is not None else None
            # Last: a folder with a plan is whole.
            _write_plan(folder, Plan(id, [id], pictures, base_sums, from_scratch, change))
        except (ApplianceError, ModelError):
            raise
        except OSError as error:
            raise StateError(
                f"{folder}: the night's pictures cannot be written ({error.strerror or error}): "
                "make room on the disk, or check who owns the folder; nothing is lost"
            ) from None
        return cls(folder, base, sizes)

    def load_training(self) -> tuple[TrainingRun, str | None]:
        """Return the training where it stopped, and a sentence if its checkpoint was of no use."""
        training = self._begin_training()
        try:
            checkpoint.load(self._checkpoint, training, self._identity())
        except Exception as error:
            # zipfile and numpy raise a dozen kinds for a damaged file: none may end the night.
            sentence = f"{self._checkpoint}: it cannot be taken up again ({error}): it begins anew"
            return self._begin_training(), str(error) if isinstance(error, ModelError) else sentence
        return training, None

    def save_checkpoint(self, training: TrainingRun) -> None:
        """Write where a training is; raises StateError."""
        try:
            checkpoint.save(self._checkpoint, training, self._identity())
        except OSError as error:
            raise self._write_error(error) from None

    def update_plan(self, **changes: Any) -> None:
        """Change fields of the plan, on disk first; raises StateError."""
        plan = replace(self.plan, **changes)
        try:
            _write_plan(self.folder, plan)
        except OSError as error:
            raise self._write_error(error) from None
        self.plan = plan

    @property
    def checksum(self) -> str:
        """The sha256 over those of the picture files."""
        return hashlib.sha256(json.dumps(self.plan.pictures).encode()).hexdigest()

    @property
    def recipe(self) -> Preset:
        """How this run learns: from scratch as the shipped network did, else by fine-tuning."""
        sizes = self._sizes
        if self.plan.from_scratch:
            recipe = get_preset("appliance").for_camera()
            return replace(recipe, batch=sizes.batch, epochs=sizes.epochs_from_scratch)
        epochs = sizes.epochs_without_base if self.base is None else sizes.epochs
        return replace(
            fine_tuning_preset(self.parent, epochs),
            batch=sizes.batch,
            learning_rate=sizes.learning_rate,
        )

    def gate_sets(self) -> dict[str, tuple[Split, Rows]]:
        """Return the data sets that the gate compares on, each with its held-out rows."""
        recipe, examples = self.recipe, self.pictures.examples
        own = self.pictures.held_out
        sets: dict[str, tuple[Split, Rows]] = {OWN_DIGITS: (own, np.arange(len(own)))}
        if self.base is None:
            rows, _ = recipe.split_rows(len(examples), SEED)
        else:
            sets[MNIST] = self.base, recipe.split_rows(len(self.base), SEED)[0]
            rows = np.arange(len(examples) - recipe.held_out_count(len(examples)), len(examples))
        return {**sets, OTHER_HANDS: (examples, rows)}

    def _identity(self) -> dict[str, Any]:
        """Return what a checkpoint must be of: an update may bring another recipe."""
        plan = self.plan
        return {
            "pictures": plan.pictures,
            "base": plan.base,
            "parent": plan.parent,
            "recipe": repr(self.recipe),
        }

    def _begin_training(self) -> TrainingRun:
        """Return the training at its first batch.

        Everything but the captures is distilled: the target is the mean of the label and the
        parent's output. From scratch nothing is.
        """
        recipe, examples = self.recipe, self.pictures.examples
        extra = [ExtraPictures(self.pictures.learned, OWN_SHARE)]
        if self.base is not None:
            held_out = recipe.held_out_count(len(examples))
            extra.insert(0, ExtraPictures(examples, CAMERA_SHARE, held_out, distilled=True))
        parent = None if self.plan.from_scratch else self.parent
        return TrainingRun(
            recipe,
            examples if self.base is None else self.base,
            seed=SEED,
            epochs=recipe.epochs,
            extra=extra,
            start=parent,
            teacher=parent,
        )

    def _write_error(self, error: OSError) -> StateError:
        return StateError(
            f"{self.folder}: the training cannot be kept ({error.strerror or error}): make room on "
            "the disk; what was kept before is whole, and the next night goes on from there"
        )


def fine_tuning_preset(network: Network, epochs: int) -> Preset:
    """Return the recipe of a night that goes on from a network: the same layers, a small rate."""
    return replace(
        get_preset("appliance").for_camera(),
        layers=tuple(tuple(layer) for layer in network.spec()),
        learning_rate=_LEARNING_RATE,
        settings={"momentum": 0.9, "nesterov": True},
        batch=_BATCH,
        average=0.0,
        epochs=epochs,
    )


def delete_run(folder: Path) -> None:
    """Remove a run, its plan first: half a run is then not taken for a whole one.

    Raises OSError where the plan stays.
    """
    (folder / "plan.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _read_plan(folder: Path) -> Plan:
    """Return the plan; raises OSError, KeyError, TypeError or ValueError for a damaged one."""
    content = json.loads(read_regular(folder / "plan.json"))
    if content["sha256"] != _checksum(content["plan"]):
        raise ValueError("its plan does not match its checksum")
    return Plan(**content["plan"])


def _write_plan(folder: Path, plan: Plan) -> None:
    fields = asdict(plan)
    with replace_file(folder / "plan.json") as file:
        file.write(json.dumps({"plan": fields, "sha256": _checksum(fields)}, indent=1).encode())


def _checksum(fields: Any) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _provide_examples(
    folder: Path, base: Split | None, sizes: Sizes, make_examples: MakeExamples
) -> list[Any]:
    """Make the simulated examples unless those beside the folder are whole and still right.

    Returns their number and sha256.
    """
    recipe = replace(get_preset("appliance").for_camera(), photographs=sizes.examples)
    about = {
        "version": __version__,
        "recipe": repr(recipe),
        "base": sizes.drawn_digits if base is None else base.checksums,
    }
    path = _picture_path(folder, "examples")
    card = path.with_suffix(".json")
    with suppress(OSError, KeyError, TypeError, ValueError):
        content = json.loads(read_regular(card))
        if content["about"] == about:
            read_pictures(path, *content["pictures"])
            return list(content["pictures"])
    digits = draw_digits(sizes.drawn_digits, SEED) if base is None else base
    examples = make_examples(recipe, digits, SEED)
    pictures = write_pictures(path, batches(examples, np.arange(len(examples)), _BLOCK))
    with replace_file(card) as file:
        file.write(json.dumps({"about": about, "pictures": pictures}).encode())
    return pictures


def _picture_path(folder: Path, name: str) -> Path:
    """Return a picture file's path; the examples outlive the run and are beside its folder."""
    return (folder.parent if name == "examples" else folder) / f"{name}.pictures"
