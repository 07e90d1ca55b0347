"""A night of training: when it waits, when it is refused, and what it says meanwhile."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.captures.store import Captures
from appliance.device import machine
from appliance.errors import TrainingRefused
from appliance.networks.vault import Vault
from appliance.training.records import load_progress, progress_path
from appliance.training.resumable_run import ResumableRun
from appliance.training.retrain import Limits
from model import weights
from model.datasets import Split
from model.network import build
from tests.owner import (
    FEW,
    Clock,
    after,
    base,
    correct,
    current,
    few_examples,
    hand,
    retraining,
)

pytestmark = pytest.mark.usefixtures("cool")
SHIPPED = weights.load(weights.SHIPPED)[1]["sha256"]


# ---- heat ----


def test_it_waits_while_the_processor_is_hot_and_says_so(
    tmp_path: Path,
    owned: Captures,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    # Below the limit, but not by five degrees, is not cool enough to go on.
    degrees = iter([81.0, 79.0, 73.0, 69.0])
    monkeypatch.setattr(machine, "temperature", lambda: next(degrees, 50.0))
    clock, told = Clock(), []

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        told.append(load_progress(tmp_path))

    record = retraining(tmp_path, owned, clock=clock, sleep=sleep).run()
    assert len(told) == 3
    assert told[0]["state"] == "waiting"
    assert told[0]["sentence"] == "waits: the processor is at 81 °C"
    assert "waits: the processor is at 81 °C" in caplog.messages
    assert "goes on" in caplog.messages
    assert record["outcome"] == "promoted"


def test_a_throttled_processor_is_waited_for_until_the_night_is_over(
    tmp_path: Path, owned: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "throttled", lambda: "the power supply sags")
    clock = Clock()
    parts = {"clock": clock, "sleep": clock.sleep, "limits": Limits(seconds=600)}
    record = retraining(tmp_path, owned, **parts).run()
    assert record["outcome"] == "left"
    assert 50 < len(clock.slept) <= 61


# ---- refused ----


def test_without_captures_it_says_what_to_do(tmp_path: Path, captures: Captures) -> None:
    with pytest.raises(
        TrainingRefused, match=r"no captures to learn from: correct or confirm some"
    ):
        retraining(tmp_path, captures).run()
    told = load_progress(tmp_path)
    assert told is not None
    assert (told["state"], told["running"]) == ("ended", False)
    assert "there are no captures" in told["sentence"]


def test_captures_that_nothing_can_be_measured_with_are_not_trained_on(
    tmp_path: Path, captures: Captures
) -> None:
    correct(captures, *(part[:4] for part in hand()))
    with pytest.raises(
        TrainingRefused, match=r"not enough captures for a night yet: .*to measure with"
    ):
        retraining(tmp_path, captures).run()
    assert not (tmp_path / "night").exists()


def test_a_poisoned_base_set_is_refused(tmp_path: Path, owned: Captures) -> None:
    labels = np.random.default_rng(0).permutation(base().labels)
    poisoned = Split(base().images, labels, base().checksums)
    with pytest.raises(
        TrainingRefused, match=r"reads \d+% of the base set as it is labelled: .*fetch"
    ):
        retraining(tmp_path, owned, base=poisoned).run()
    assert current(tmp_path) == SHIPPED


def test_an_empty_base_set_is_refused(tmp_path: Path, owned: Captures) -> None:
    with pytest.raises(TrainingRefused, match=r"the base set has 0 digits, .*fetch MNIST again"):
        retraining(tmp_path, owned, base=base().first(0)).run()


def test_a_network_without_an_output_for_no_digit_is_not_gone_on_from(
    tmp_path: Path, owned: Captures
) -> None:
    vault = Vault(tmp_path / "networks", shipped=tmp_path / "old.npz")
    weights.save(tmp_path / "old.npz", build([["dense", 784, 10]], 1), {})
    with pytest.raises(TrainingRefused, match="has no output for what is not a digit"):
        retraining(tmp_path, owned, vault=vault, base=None).run()


# ---- what it tells ----


def test_the_journal_reads_like_a_story_of_one_line_an_epoch(
    tmp_path: Path, owned: Captures, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    retraining(tmp_path, owned).run()
    lines = [line for line in caplog.messages if line]
    assert "learns from 78 captures, 27 more are held out" in lines[0]
    assert [line.split(":")[0] for line in lines[1:3]] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert "is promoted" in lines[-1]
    assert len(lines) == 5


def test_the_progress_can_be_read_at_any_time(tmp_path: Path, owned: Captures) -> None:
    seen: list[dict[str, Any]] = []

    def look() -> bool:
        told = load_progress(tmp_path)
        assert told is not None
        seen.append(told)
        return False

    retraining(tmp_path, owned, stopping=look, clock=Clock(1.0)).run()
    assert {each["state"] for each in seen} <= {"preparing", "training", "deciding"}
    shares = [each["progress"] for each in seen]
    assert shares == sorted(shares)
    assert seen[-1]["epochs"][0]["number"] == 1
    last = load_progress(tmp_path)
    assert last is not None
    assert last["state"] == "ended"
    assert last["written"] >= 0
    assert last["curve"]
    assert "of your held-out digits right" in last["sentence"]


def test_the_curve_goes_on_where_it_was_after_a_power_cut_has_taken_the_progress(
    tmp_path: Path, owned: Captures
) -> None:
    retraining(tmp_path, owned, stopping=after(10)).run()
    before = json.loads(progress_path(tmp_path).read_text())["curve"]
    progress_path(tmp_path).unlink()
    record = retraining(tmp_path, owned).run()
    assert before
    assert [list(each) for each in record["curve"][: len(before)]] == before


def test_no_picture_is_in_memory_that_stands_in_a_file(tmp_path: Path, owned: Captures) -> None:
    retraining(tmp_path, owned, stopping=after(0)).run()
    taken_up = ResumableRun(tmp_path / "night", base(), FEW)
    for split in vars(taken_up.pictures).values():
        assert split.source is not None
        assert split.images.dtype == split.labels.dtype == np.uint8


@pytest.mark.slow
def test_the_examples_are_made_once_and_anew_for_another_version_or_when_damaged(
    tmp_path: Path, owned: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def make(recipe: Any, scans: Split, seed: int) -> Split:
        asked.append(seed)
        return few_examples(recipe, scans, seed)

    retraining(tmp_path, owned, make_examples=make, stopping=after(10)).run()
    retraining(tmp_path, owned, make_examples=make).run()
    assert retraining(tmp_path, owned, make_examples=make).run()["finished"]
    assert asked == [1]
    with monkeypatch.context() as patch:
        patch.setattr("appliance.training.resumable_run.__version__", "another")
        retraining(tmp_path, owned, make_examples=make).run()
    assert asked == [1, 1]
    (tmp_path / "examples.pictures").write_bytes(b"")
    retraining(tmp_path, owned, make_examples=make).run()
    assert asked == [1, 1, 1]
