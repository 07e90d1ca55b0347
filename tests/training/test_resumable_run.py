"""A night's training on disk goes on with the same bits, or begins anew with a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.captures.store import Captures
from appliance.errors import StateError
from appliance.training.examples import draw_digits
from appliance.training.resumable_run import SEED, ResumableRun, delete_run
from model import weights
from model.datasets import Split
from model.network import NOT_A_DIGIT
from tests.owner import FEW, base, few_examples, hand


def begun(folder: Path, captures: Captures, **others: Any) -> ResumableRun:
    network, card = weights.load(weights.SHIPPED)
    parts: dict[str, Any] = {"base": base(), "make_examples": few_examples, "sizes": FEW}
    return ResumableRun.create(
        folder, parent=network, card=card, captures=captures, **{**parts, **others}
    )


def test_what_is_laid_down_is_what_is_taken_up(tmp_path: Path, owned: Captures) -> None:
    night = begun(tmp_path / "night", owned)
    again = ResumableRun(tmp_path / "night", base(), FEW)
    assert again.plan == night.plan
    assert again.checksum == night.checksum
    sides = again.pictures.learned, again.pictures.held_out
    for held_out, split in zip((False, True), sides, strict=True):
        images, labels = (
            np.concatenate(x) for x in zip(*owned.iter_labelled(held_out), strict=True)
        )
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)
    assert sum(map(len, sides)) == len(hand()[1])


def test_the_same_captures_give_the_same_bytes(tmp_path: Path, owned: Captures) -> None:
    one, two = begun(tmp_path / "one", owned), begun(tmp_path / "two", owned)
    assert one.checksum == two.checksum
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_the_gate_sees_nothing_that_is_learned_from(tmp_path: Path, owned: Captures) -> None:
    night = begun(tmp_path / "night", owned)
    sets = night.gate_sets()
    learned = {image.tobytes() for image in night.pictures.learned.images}
    own, rows = sets["your digits"]
    assert len(rows) == len(own) > 0
    assert not learned & {image.tobytes() for image in own.images}
    _, every = night.recipe.split_rows(len(base()), SEED)
    assert not set(every) & set(sets["MNIST"][1])
    examples, last = sets["other hands"]
    assert last[-1] == len(examples) - 1
    assert set(sets) == {"your digits", "MNIST", "other hands"}


def test_without_a_base_set_the_examples_stand_in_for_it(tmp_path: Path, owned: Captures) -> None:
    night = begun(tmp_path / "night", owned, base=None)
    assert night.plan.base is None
    assert night.recipe.epochs == FEW.epochs_without_base
    assert set(night.gate_sets()) == {"your digits", "other hands"}
    assert night.load_training()[0].progress == 0


def test_examples_that_cannot_be_made_leave_nothing_to_take_up(
    tmp_path: Path, owned: Captures
) -> None:
    def told_to_end(*_: Any) -> Split:
        raise KeyboardInterrupt

    begun(tmp_path / "night", owned)
    (tmp_path / "examples.pictures").unlink()
    with pytest.raises(KeyboardInterrupt):
        begun(tmp_path / "night", owned, make_examples=told_to_end)
    with pytest.raises(StateError, match=r"cannot go on .* it begins anew"):
        ResumableRun(tmp_path / "night", base(), FEW)
    assert begun(tmp_path / "night", owned).load_training()[0].progress == 0


def test_a_checkpoint_of_another_recipe_is_not_taken_up(tmp_path: Path, owned: Captures) -> None:
    from dataclasses import replace

    night = begun(tmp_path / "night", owned)
    course, _ = night.load_training()
    course.train(should_stop=lambda: True)
    night.save_checkpoint(course)
    assert night.load_training()[0].progress > 0
    updated = ResumableRun(tmp_path / "night", base(), replace(FEW, epochs=3))
    course, sentence = updated.load_training()
    assert course.progress == 0
    assert sentence is not None
    assert "another recipe): it begins anew" in sentence


def test_what_is_noted_is_there_after_a_power_cut(tmp_path: Path, owned: Captures) -> None:
    night = begun(tmp_path / "night", owned)
    night.update_plan(seconds=12.5, gated=1)
    again = ResumableRun(tmp_path / "night", base(), FEW)
    assert (again.plan.seconds, again.plan.gated) == (12.5, 1)


def test_what_is_discarded_is_gone_and_may_be_discarded_again(
    tmp_path: Path, owned: Captures
) -> None:
    begun(tmp_path / "night", owned)
    for _ in range(2):
        delete_run(tmp_path / "night")
        assert not (tmp_path / "night").exists()


def test_the_projects_own_hand_has_each_digit() -> None:
    drawn = draw_digits(20)
    np.testing.assert_array_equal(drawn.labels, np.arange(20) % 10)
    assert drawn.images.dtype == np.uint8
    assert (drawn.images.max(axis=1) > 100).all()
    assert NOT_A_DIGIT not in drawn.labels
