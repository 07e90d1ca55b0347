"""A night of training: what it comes to, how it is left and goes on, and when it is refused."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance import machine, retrain
from appliance.captures import Captures
from appliance.night import Night
from appliance.nights import Refused, nights, progress, progress_file
from appliance.retrain import Limits
from appliance.vault import Vault
from model import weights
from model.datasets import Split
from model.network import build
from tests.owner import FEW, Clock, base, correct, current, few_examples, hand, retraining

SHIPPED = weights.load(weights.SHIPPED)[1]["sha256"]


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Captures]:
    """The captures of the owner with the odd 4s, in the state directory."""
    captures = Captures(tmp_path / "captures.db")
    correct(captures, *hand())
    yield captures
    captures.close()


@pytest.fixture(autouse=True)
def cool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "temperature", lambda: 40.0)
    monkeypatch.setattr(machine, "throttled", lambda: None)


def after(batches: int) -> Any:
    """Return what is asked between batches whether to end, and says so after some."""
    left = iter(range(batches))
    return lambda: next(left, None) is None


# ---- what it comes to ----


def test_a_consistent_odd_hand_is_learned_and_the_network_promoted(
    tmp_path: Path, owned: Captures
) -> None:
    record = retraining(tmp_path, owned).run()
    own = record["outcomes"]["your digits"]
    assert record["outcome"] == "promoted"
    assert own["after"] > own["before"]
    assert f"{own['after']} of {own['total']} of your held-out digits right" in record["why"]
    held = Vault(tmp_path / "networks").current()
    assert held.id == record["candidate"] != SHIPPED[:12]
    assert held.card["parent"] == record["parent"] == SHIPPED[:12]
    assert held.card["own"] == {
        "right": own["after"],
        "total": own["total"],
        "before": own["before"],
    }
    assert nights(tmp_path) == [json.loads(json.dumps(record))]
    assert not (tmp_path / "night").exists()


def test_wrong_labels_are_no_reason_to_read_worse(tmp_path: Path, captures: Captures) -> None:
    glyphs, labels = hand()
    chance = np.random.default_rng(0)
    wrong = chance.random(len(labels)) < 1 / 3
    labels = labels.copy()
    labels[wrong] = (labels[wrong] + chance.integers(1, 10, wrong.sum())) % 10
    correct(captures, glyphs, labels)
    record = retraining(tmp_path, captures).run()
    assert record["outcome"] == "kept"
    assert "the captures contradict each other" in record["why"]
    assert "look through those that look mislabelled" in record["why"]
    assert current(tmp_path) == SHIPPED
    candidate = Vault(tmp_path / "networks").entry(record["candidate"])
    assert candidate.state == "candidate"
    assert candidate.card["report"]["why"] == record["why"]


def test_nothing_that_the_network_got_wrong_is_nothing_to_promote_for(
    tmp_path: Path, captures: Captures
) -> None:
    glyphs, labels = hand()
    correct(captures, glyphs[60:], labels[60:])
    record = retraining(tmp_path, captures).run()
    assert record["outcome"] == "kept"
    assert "not better beyond luck on your digits" in record["why"]


def test_without_a_base_set_the_network_in_use_is_the_teacher(
    tmp_path: Path, owned: Captures, caplog: pytest.LogCaptureFixture
) -> None:
    record = retraining(tmp_path, owned, base=None).run()
    assert record["outcome"] == "promoted"
    assert "MNIST" not in record["outcomes"]
    assert "'digits data fetch' brings MNIST" in caplog.text
    assert Vault(tmp_path / "networks").current().card["data"] == {}


def test_from_scratch_begins_with_a_new_network_and_puts_aside_what_was_begun(
    tmp_path: Path, owned: Captures, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    retraining(tmp_path, owned, stopping=after(0)).run()
    record = retraining(tmp_path, owned, from_scratch=True).run()
    assert "what was begun is put aside: from scratch was asked for" in caplog.text
    # One epoch of so few digits makes nobody a reader.
    assert record["outcome"] == "kept"
    assert "the candidate is worse on" in record["why"]
    card = Vault(tmp_path / "networks").entry(record["candidate"]).card
    assert card["command"] == "digits retrain --from-scratch"


def test_a_training_that_diverges_leaves_the_network_in_use(
    tmp_path: Path, owned: Captures
) -> None:
    with np.errstate(all="ignore"):
        record = retraining(tmp_path, owned, sizes=replace(FEW, step=1e30)).run()
    assert record["outcome"] == "diverged"
    assert record["finished"]
    assert current(tmp_path) == SHIPPED
    assert not (tmp_path / "night").exists()


# ---- left, and taken up again ----


def test_left_at_the_end_of_its_time_it_goes_on_and_ends_with_the_same_bits(
    tmp_path: Path, owned: Captures
) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    wanted = retraining(undisturbed, owned).run()["candidate"]
    pieces, record = 0, {"finished": False}
    while not record["finished"]:
        clock = Clock(1.0)
        record = retraining(tmp_path, owned, clock=clock, limits=Limits(seconds=20)).run()
        pieces += 1
        if pieces == 1:
            assert record["outcome"] == "left"
            assert "its time is over after" in record["why"]
            assert "it goes on the next night" in record["why"]
    assert pieces > 3
    # What the first epoch came to was promoted or kept meanwhile.
    assert {each["outcome"] for each in nights(tmp_path)} >= {"left", "promoted"}
    assert Vault(tmp_path / "networks").entry(wanted)
    assert record["candidate"] == wanted


def test_an_epoch_is_decided_on_once_and_the_training_goes_on(
    tmp_path: Path, owned: Captures
) -> None:
    parts = {"sizes": replace(FEW, epochs=3)}
    steps = -(-417 // FEW.batch)
    first = retraining(tmp_path, owned, **parts, limits=LimitAfter(steps + 3), clock=Clock(0))
    one = first.run()
    assert (one["outcome"], one["finished"]) == ("promoted", False)
    promoted = Vault(tmp_path / "networks").current()
    two = retraining(tmp_path, owned, **parts, limits=LimitAfter(2), clock=Clock(0)).run()
    assert two["outcome"] == "left"
    again = Vault(tmp_path / "networks").current()
    assert again.card == promoted.card
    three = retraining(tmp_path, owned, **parts).run()
    assert three["finished"]
    assert [each["finished"] for each in nights(tmp_path)] == [True, False, False]


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


def test_told_to_end_it_keeps_what_it_has_and_says_so(tmp_path: Path, owned: Captures) -> None:
    record = retraining(tmp_path, owned, stopping=after(10)).run()
    assert (record["outcome"], record["told"]) == ("left", True)
    assert "it was told to end after" in record["why"]
    assert (tmp_path / "night" / "checkpoint.npz").exists()
    assert current(tmp_path) == SHIPPED


def test_ctrl_c_that_nobody_catches_leaves_what_was_kept_before(
    tmp_path: Path, owned: Captures
) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    wanted = retraining(undisturbed, owned).run()["candidate"]

    def interrupt() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retraining(tmp_path, owned, stopping=interrupt).run()
    assert nights(tmp_path) == []
    assert retraining(tmp_path, owned).run()["candidate"] == wanted


def test_captures_that_change_in_the_meantime_are_for_the_next_night(
    tmp_path: Path, owned: Captures
) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    whole = retraining(undisturbed, owned).run()
    retraining(tmp_path, owned, stopping=after(10)).run()
    for capture in owned.listing(limit=20):
        owned.relabel(capture.id, 9)
    correct(owned, *(part[:8] for part in hand()), first=500)
    record = retraining(tmp_path, owned).run()
    assert record["candidate"] == whole["candidate"]
    # What it learned from is not what there is now: the next night has something new.
    assert record["change"] == whole["change"] != owned.change()


def test_another_network_that_was_promoted_meanwhile_ends_what_was_begun(
    tmp_path: Path, owned: Captures, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    retraining(tmp_path, owned, stopping=after(10)).run()
    vault = Vault(tmp_path / "networks")
    network, card = weights.load(weights.SHIPPED)
    network.weights[0] += np.float32(1e-4)
    vault.promote(vault.add(network, {"preset": card["preset"]}))
    record = retraining(tmp_path, owned).run()
    assert "what was begun with another is over" in caplog.text
    assert record["parent"] == weights.checksum(network)[:12]


def test_another_base_set_begins_anew(
    tmp_path: Path, owned: Captures, caplog: pytest.LogCaptureFixture
) -> None:
    retraining(tmp_path, owned, stopping=after(10)).run()
    other = Split(base().images[:400], base().labels[:400], {"own": "1" * 64})
    retraining(tmp_path, owned, base=other, stopping=after(0)).run()
    assert "the base set is another one): it begins anew" in caplog.text


def test_a_clock_that_was_set_back_a_year_changes_nothing(
    tmp_path: Path, owned: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    wanted = retraining(undisturbed, owned).run()["candidate"]
    now = [1.9e9]
    monkeypatch.setattr(retrain.time, "time", lambda: now[0])
    retraining(tmp_path, owned, stopping=after(10)).run()
    now[0] -= 365 * 86400
    record = retraining(tmp_path, owned).run()
    assert record["candidate"] == wanted
    # The newest is the one that was written last, whatever the clock said.
    assert [each["outcome"] for each in nights(tmp_path)] == ["promoted", "left"]
    assert Vault(tmp_path / "networks").current().id == wanted


def test_it_ends_by_the_hour_that_it_must_end_by(tmp_path: Path, owned: Captures) -> None:
    record = retraining(tmp_path, owned, limits=Limits(seconds=3600, until=1.0)).run()
    assert (record["outcome"], record["told"]) == ("left", False)


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
        told.append(progress(tmp_path))

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
    with pytest.raises(Refused, match=r"no captures to learn from: correct or confirm some"):
        retraining(tmp_path, captures).run()
    told = progress(tmp_path)
    assert told is not None
    assert (told["state"], told["running"]) == ("ended", False)
    assert "there are no captures" in told["sentence"]


def test_captures_that_nothing_can_be_measured_with_are_not_trained_on(
    tmp_path: Path, captures: Captures
) -> None:
    correct(captures, *(part[:4] for part in hand()))
    with pytest.raises(Refused, match=r"not enough captures for a night yet: .*to measure with"):
        retraining(tmp_path, captures).run()
    assert not (tmp_path / "night").exists()


def test_a_poisoned_base_set_is_refused(tmp_path: Path, owned: Captures) -> None:
    labels = np.random.default_rng(0).permutation(base().labels)
    poisoned = Split(base().images, labels, base().checksums)
    with pytest.raises(Refused, match=r"reads \d+% of the base set as it is labelled: .*fetch"):
        retraining(tmp_path, owned, base=poisoned).run()
    assert current(tmp_path) == SHIPPED


def test_an_empty_base_set_is_refused(tmp_path: Path, owned: Captures) -> None:
    with pytest.raises(Refused, match=r"the base set has 0 digits, .*fetch MNIST again"):
        retraining(tmp_path, owned, base=base().first(0)).run()


def test_a_network_without_an_output_for_no_digit_is_not_gone_on_from(
    tmp_path: Path, owned: Captures
) -> None:
    vault = Vault(tmp_path / "networks", shipped=tmp_path / "old.npz")
    weights.save(tmp_path / "old.npz", build([["dense", 784, 10]], 1), {})
    with pytest.raises(Refused, match="has no output for what is not a digit"):
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
        told = progress(tmp_path)
        assert told is not None
        seen.append(told)
        return False

    retraining(tmp_path, owned, stopping=look, clock=Clock(1.0)).run()
    assert {each["state"] for each in seen} <= {"preparing", "training", "deciding"}
    shares = [each["progress"] for each in seen]
    assert shares == sorted(shares)
    assert seen[-1]["epochs"][0]["number"] == 1
    last = progress(tmp_path)
    assert last is not None
    assert last["state"] == "ended"
    assert last["written"] >= 0
    assert last["curve"]
    assert "of your held-out digits right" in last["sentence"]


def test_the_curve_goes_on_where_it_was_after_a_power_cut_has_taken_the_progress(
    tmp_path: Path, owned: Captures
) -> None:
    retraining(tmp_path, owned, stopping=after(10)).run()
    before = json.loads(progress_file(tmp_path).read_text())["curve"]
    progress_file(tmp_path).unlink()
    record = retraining(tmp_path, owned).run()
    assert before
    assert [list(each) for each in record["curve"][: len(before)]] == before


def test_no_picture_is_in_memory_that_stands_in_a_file(tmp_path: Path, owned: Captures) -> None:
    retraining(tmp_path, owned, stopping=after(0)).run()
    taken_up = Night(tmp_path / "night", base(), FEW)
    for split in vars(taken_up.pictures).values():
        assert split.source is not None
        assert split.images.dtype == split.labels.dtype == np.uint8


def test_the_examples_are_made_of_what_the_recipe_learns_from(
    tmp_path: Path, owned: Captures
) -> None:
    asked: list[int] = []

    def make(recipe: Any, scans: Split, seed: int) -> Split:
        asked.append(seed)
        return few_examples(recipe, scans, seed)

    retraining(tmp_path, owned, make_examples=make, stopping=after(10)).run()
    retraining(tmp_path, owned, make_examples=make).run()
    # Once a course, not once a night.
    assert asked == [1]


def test_a_power_cut_after_the_record_of_an_unfinished_night_lets_the_training_go_on(
    tmp_path: Path, owned: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    wanted = retraining(undisturbed, owned).run()["candidate"]
    note = Night.note

    def power_cut(night: Night, **facts: Any) -> None:
        if "decided" in facts and facts["decided"] is None:
            raise KeyboardInterrupt
        note(night, **facts)

    with monkeypatch.context() as patch:
        patch.setattr(Night, "note", power_cut)
        with pytest.raises(KeyboardInterrupt):
            retraining(tmp_path, owned, limits=LimitAfter(17), clock=Clock(0)).run()
    assert [each["finished"] for each in nights(tmp_path)] == [False]
    record = retraining(tmp_path, owned).run()
    assert record["finished"]
    assert record["candidate"] == wanted
    assert len(nights(tmp_path)) == 2


def test_from_scratch_needs_neither_a_base_set_nor_a_network_that_fits(
    tmp_path: Path, owned: Captures
) -> None:
    weights.save(tmp_path / "old.npz", build([["dense", 784, 10]], 1), {})
    vault = Vault(tmp_path / "networks", shipped=tmp_path / "old.npz")
    record = retraining(tmp_path, owned, vault=vault, base=None, from_scratch=True).run()
    assert record["finished"]
    assert set(record["outcomes"]) == {"your digits", "other hands"}
