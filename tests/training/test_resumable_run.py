"""What a night keeps on disk: a course that goes on, the nights' records, and one at a time."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.captures.store import Captures
from appliance.commands import retrain as command
from appliance.errors import StateError, TrainingRefused
from appliance.training.examples import draw_digits
from appliance.training.lock import hold_training_lock, is_training
from appliance.training.records import (
    KEPT_NIGHTS,
    Progress,
    Rate,
    append_night,
    count_written_bytes,
    load_nights,
    load_progress,
    progress_path,
)
from appliance.training.resumable_run import SEED, ResumableRun, delete_run
from model import weights
from model.datasets import Split
from model.errors import DatasetError
from model.network import NOT_A_DIGIT
from tests.owner import FEW, Clock, base, few_examples, hand


def begun(folder: Path, captures: Captures, **others: Any) -> ResumableRun:
    network, card = weights.load(weights.SHIPPED)
    parts: dict[str, Any] = {"base": base(), "make_examples": few_examples, "sizes": FEW}
    return ResumableRun.create(
        folder, parent=network, card=card, captures=captures, **{**parts, **others}
    )


# ---- a course ----


def test_what_is_laid_down_is_what_is_taken_up(tmp_path: Path, owned: Captures) -> None:
    night = begun(tmp_path / "night", owned)
    again = ResumableRun(tmp_path / "night", base(), FEW)
    assert again.plan == night.plan
    assert again.checksum == night.checksum
    sides = again.pictures.learned, again.pictures.held_out
    for held_out, split in zip((False, True), sides, strict=True):
        images, labels = (np.concatenate(x) for x in zip(*owned.labelled(held_out), strict=True))
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
    course.run(should_stop=lambda: True)
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


# ---- the records ----


def test_the_newest_night_is_the_first(tmp_path: Path) -> None:
    for at in (3.0, 1.0, 2.0):
        append_night(tmp_path, {"at": at})
    assert [each["at"] for each in load_nights(tmp_path)] == [2.0, 1.0, 3.0]
    assert [each["at"] for each in load_nights(tmp_path, most=1)] == [2.0]
    assert load_nights(tmp_path / "none") == []


def test_half_a_line_that_a_power_cut_left_spoils_no_other(tmp_path: Path) -> None:
    append_night(tmp_path, {"at": 1.0})
    with open(tmp_path / "nights.jsonl", "ab") as file:
        file.write(b'{"at": 2.0, "outc')
    assert [each["at"] for each in load_nights(tmp_path)] == [1.0]
    append_night(tmp_path, {"at": 3.0})
    assert [each["at"] for each in load_nights(tmp_path)] == [3.0, 1.0]


def test_the_records_of_long_ago_go(tmp_path: Path) -> None:
    for at in range(5 * KEPT_NIGHTS):
        append_night(tmp_path, {"at": float(at)})
        lines = (tmp_path / "nights.jsonl").read_bytes().count(b"\n")
        assert min(at + 1, KEPT_NIGHTS) <= lines < 2 * KEPT_NIGHTS
    assert load_nights(tmp_path, most=1) == [{"at": 5.0 * KEPT_NIGHTS - 1}]
    assert len(load_nights(tmp_path, most=KEPT_NIGHTS)) == KEPT_NIGHTS


@pytest.mark.parametrize("line", [b"\xff\xfe\x00", b"[]", b"null", b'{"at": "x"}', b"[" * 99999])
def test_a_line_that_is_no_night_is_passed_over(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "nights.jsonl").write_bytes(line + b"\n")
    append_night(tmp_path, {"at": 1.0})
    assert [each["at"] for each in load_nights(tmp_path)] == [1.0]


def test_a_record_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "nights.jsonl").mkdir()
    with pytest.raises(StateError, match=r"the night's outcome cannot be written .*check the disk"):
        append_night(tmp_path, {"at": 1.0})


# ---- the progress ----


@pytest.mark.slow
def test_the_progress_is_whole_at_any_time(tmp_path: Path) -> None:
    told = Progress(progress_path(tmp_path))
    over, torn = threading.Event(), []

    def look() -> None:
        while not over.is_set():
            try:
                json.loads(progress_path(tmp_path).read_text("utf-8"))
            except ValueError as error:
                torn.append(error)

    told.save()
    looking = threading.Thread(target=look)
    looking.start()
    for number in range(300):
        told.curve.append((number / 300, 1.0))
        told.save()
    over.set()
    looking.join()
    assert torn == []


@pytest.mark.parametrize("content", ["", "[1]", '{"state": "tr', "7"])
def test_a_progress_that_is_damaged_is_none(tmp_path: Path, content: str) -> None:
    progress_path(tmp_path).write_text(content)
    assert load_progress(tmp_path) is None


def test_a_disk_that_refuses_the_progress_ends_nothing(tmp_path: Path) -> None:
    Progress(tmp_path / "none" / "retrain.json").save()


def test_it_tells_how_much_was_written(tmp_path: Path) -> None:
    before = count_written_bytes()
    with open(tmp_path / "large", "wb") as file:
        file.write(bytes(1_000_000))
        file.flush()
        os.fsync(file.fileno())
    # In RAM nothing is written to storage.
    assert count_written_bytes() - before in (0, *range(1_000_000, 10_000_000))


def test_the_rate_is_that_of_the_last_minute_or_so() -> None:
    clock = Clock(0)
    rate = Rate(clock)
    assert rate.per_second() is None
    for pictures in [10] * 600 + [100] * 600:
        clock.now += 1
        rate.count(pictures)
    assert rate.per_second() == pytest.approx(100, rel=0.05)


# ---- one at a time ----


def test_only_one_holds_the_lock_and_it_ends_with_it(tmp_path: Path) -> None:
    assert not is_training(tmp_path)
    with hold_training_lock(tmp_path):
        assert is_training(tmp_path)
        with (
            pytest.raises(TrainingRefused, match="is running already: see the page"),
            hold_training_lock(tmp_path),
        ):
            pass
        assert is_training(tmp_path)
    assert not is_training(tmp_path)
    with hold_training_lock(tmp_path):
        pass


def test_a_page_that_looks_whether_one_runs_keeps_none_from_beginning(tmp_path: Path) -> None:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            is_training(tmp_path)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(100):
            with hold_training_lock(tmp_path):
                pass
    finally:
        over.set()
        looking.join()


# ---- the command ----


class Ending:
    """Stands in for a retraining that comes to an outcome, and may be told to end before."""

    def __init__(self, outcome: str, told: int | None) -> None:
        self.outcome, self.told = outcome, told

    def __call__(self, state: Path, *, make_examples: Any, **_: Any) -> "Ending":
        self.make_examples = make_examples
        return self

    def run(self) -> dict[str, Any]:
        if self.told is not None:
            os.kill(os.getpid(), self.told)
        if self.outcome == "refused":
            raise TrainingRefused("there is nothing to do")
        if self.outcome == "preparing":
            self.make_examples(command_recipe(), base(), SEED)
        return {"outcome": self.outcome}


def command_recipe() -> Any:
    from dataclasses import replace

    from model.presets import get_preset

    return replace(get_preset("appliance").for_camera(), photographs=50)


@pytest.mark.parametrize(
    ("outcome", "told", "due", "code"),
    [
        ("promoted", None, False, 0),
        ("kept", None, False, 0),
        ("left", None, False, 0),
        ("left", 15, False, 130),
        ("left", 2, False, 130),
        ("left", 1, True, 130),
        # It had come to its end when it was told.
        ("promoted", 15, False, 0),
        ("preparing", 15, False, 130),
        ("preparing", 15, True, 130),
        ("refused", None, False, 1),
        ("refused", None, True, 0),
    ],
)
def test_the_exit_code_tells_how_it_ended(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: str,
    told: int | None,
    due: bool,
    code: int,
) -> None:
    import signal

    from appliance.__main__ import main
    from appliance.training import retrain
    from appliance.training import schedule as due_module

    monkeypatch.setattr(command, "_lower_priority", lambda: None)
    monkeypatch.setattr(command, "log_to_stderr", lambda: None)
    monkeypatch.setattr(due_module, "reason_to_wait", lambda *_, **__: None)
    monkeypatch.setattr(retrain, "Retraining", Ending(outcome, told))
    before = signal.getsignal(signal.SIGTERM)
    assert main(["retrain", "--state", str(tmp_path), *["--due"] * due]) == code
    assert signal.getsignal(signal.SIGTERM) is before
    if code == 1:
        assert capsys.readouterr().err == "digits: there is nothing to do\n"


def test_a_second_retraining_at_once_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from appliance.__main__ import main

    monkeypatch.setattr(command, "_lower_priority", lambda: None)
    monkeypatch.setattr(command, "log_to_stderr", lambda: None)
    with hold_training_lock(tmp_path):
        assert main(["retrain", "--state", str(tmp_path)]) == 1
        assert main(["retrain", "--state", str(tmp_path), "--due"]) == 0
    said = capsys.readouterr()
    assert said.err == "digits: a retraining is running already: see the page's training view\n"
    assert "a retraining is running already" in said.out


# ---- the base set ----


def test_a_folder_that_a_download_left_empty_is_no_base_set(tmp_path: Path) -> None:
    assert command._load_base_set(tmp_path / "mnist", required=False) is None
    (tmp_path / "mnist").mkdir()
    assert command._load_base_set(tmp_path / "mnist", required=False) is None
    with pytest.raises(DatasetError):
        command._load_base_set(tmp_path / "mnist", required=True)


def test_half_a_base_set_is_a_sentence(tiny_mnist: Path, tmp_path: Path) -> None:
    file = next(tiny_mnist.glob("train-images*"))
    (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DatasetError, match="train-labels"):
        command._load_base_set(tmp_path, required=False)
