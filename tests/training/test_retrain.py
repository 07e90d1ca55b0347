"""A night of training: what it comes to, how it is left and how it goes on."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.captures.store import Captures
from appliance.networks.vault import Vault
from appliance.training import retrain
from appliance.training.records import load_nights
from appliance.training.resumable_run import ResumableRun
from appliance.training.retrain import Limits
from model import weights
from model.datasets import Split
from model.network import build
from tests.owner import FEW, Clock, LimitAfter, after, base, correct, current, hand, retraining

pytestmark = pytest.mark.usefixtures("cool")
SHIPPED = weights.load(weights.SHIPPED)[1]["sha256"]


# ---- what it comes to ----


def test_a_consistent_odd_hand_is_learned_and_the_network_promoted(
    tmp_path: Path, owned: Captures
) -> None:
    record = retraining(tmp_path, owned).run()
    own = record["outcomes"]["your digits"]
    assert record["outcome"] == "promoted"
    assert own["after"] > own["before"]
    assert f"{own['after']} of {own['total']} of your held-out digits right" in record["why"]
    held = Vault(tmp_path / "networks").load_current()
    assert held.id == record["candidate"] != SHIPPED[:12]
    assert held.card["parent"] == record["parent"] == SHIPPED[:12]
    assert held.card["own"] == {
        "right": own["after"],
        "total": own["total"],
        "before": own["before"],
    }
    assert load_nights(tmp_path) == [json.loads(json.dumps(record))]
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
    candidate = Vault(tmp_path / "networks").find(record["candidate"])
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
    assert Vault(tmp_path / "networks").load_current().card["data"] == {}


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
    card = Vault(tmp_path / "networks").find(record["candidate"]).card
    assert card["command"] == "digits retrain --from-scratch"


def test_a_training_that_diverges_leaves_the_network_in_use(
    tmp_path: Path, owned: Captures
) -> None:
    with np.errstate(all="ignore"):
        record = retraining(tmp_path, owned, sizes=replace(FEW, learning_rate=1e30)).run()
    assert record["outcome"] == "diverged"
    assert record["finished"]
    assert current(tmp_path) == SHIPPED
    assert not (tmp_path / "night").exists()


# ---- left, and taken up again ----


@pytest.mark.slow
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
    assert {each["outcome"] for each in load_nights(tmp_path)} >= {"left", "promoted"}
    assert Vault(tmp_path / "networks").find(wanted)
    assert record["candidate"] == wanted


@pytest.mark.slow
def test_an_epoch_is_decided_on_once_and_the_training_goes_on(
    tmp_path: Path, owned: Captures
) -> None:
    sizes = replace(FEW, epochs=3, batch=16)
    parts = {"sizes": sizes}
    steps = -(-417 // sizes.batch)
    first = retraining(tmp_path, owned, **parts, limits=LimitAfter(steps + 3), clock=Clock(0))
    one = first.run()
    assert (one["outcome"], one["finished"]) == ("promoted", False)
    promoted = Vault(tmp_path / "networks").load_current()
    two = retraining(tmp_path, owned, **parts, limits=LimitAfter(2), clock=Clock(0)).run()
    assert two["outcome"] == "left"
    again = Vault(tmp_path / "networks").load_current()
    assert again.card == promoted.card
    three = retraining(tmp_path, owned, **parts).run()
    assert three["finished"]
    assert [each["finished"] for each in load_nights(tmp_path)] == [True, False, False]


def test_told_to_end_it_keeps_what_it_has_and_says_so(tmp_path: Path, owned: Captures) -> None:
    record = retraining(tmp_path, owned, stopping=after(10)).run()
    assert (record["outcome"], record["told"]) == ("left", True)
    assert "it was told to end after" in record["why"]
    assert (tmp_path / "night" / "checkpoint.npz").exists()
    assert current(tmp_path) == SHIPPED


@pytest.mark.slow
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
    assert load_nights(tmp_path) == []
    assert retraining(tmp_path, owned).run()["candidate"] == wanted


@pytest.mark.slow
def test_captures_that_change_in_the_meantime_are_for_the_next_night(
    tmp_path: Path, owned: Captures
) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    whole = retraining(undisturbed, owned).run()
    retraining(tmp_path, owned, stopping=after(10)).run()
    for capture in owned.list_newest(limit=20):
        owned.relabel(capture.id, 9)
    correct(owned, *(part[:8] for part in hand()), first=500)
    record = retraining(tmp_path, owned).run()
    assert record["candidate"] == whole["candidate"]
    # What it learned from is not what there is now: the next night has something new.
    assert record["change"] == whole["change"] != owned.count_changes()


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


@pytest.mark.slow
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
    assert [each["outcome"] for each in load_nights(tmp_path)] == ["promoted", "left"]
    assert Vault(tmp_path / "networks").load_current().id == wanted


def test_it_ends_by_the_hour_that_it_must_end_by(tmp_path: Path, owned: Captures) -> None:
    record = retraining(tmp_path, owned, limits=Limits(seconds=3600, until=1.0)).run()
    assert (record["outcome"], record["told"]) == ("left", False)


@pytest.mark.slow
def test_a_power_cut_after_the_record_of_an_unfinished_night_lets_the_training_go_on(
    tmp_path: Path, owned: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    wanted = retraining(undisturbed, owned).run()["candidate"]
    note = ResumableRun.update_plan

    def power_cut(night: ResumableRun, **facts: Any) -> None:
        if "decided" in facts and facts["decided"] is None:
            raise KeyboardInterrupt
        note(night, **facts)

    with monkeypatch.context() as patch:
        patch.setattr(ResumableRun, "update_plan", power_cut)
        with pytest.raises(KeyboardInterrupt):
            retraining(tmp_path, owned, limits=LimitAfter(17), clock=Clock(0)).run()
    assert [each["finished"] for each in load_nights(tmp_path)] == [False]
    record = retraining(tmp_path, owned).run()
    assert record["finished"]
    assert record["candidate"] == wanted
    assert len(load_nights(tmp_path)) == 2


def test_from_scratch_needs_neither_a_base_set_nor_a_network_that_fits(
    tmp_path: Path, owned: Captures
) -> None:
    weights.save(tmp_path / "old.npz", build([["dense", 784, 10]], 1), {})
    vault = Vault(tmp_path / "networks", shipped=tmp_path / "old.npz")
    record = retraining(tmp_path, owned, vault=vault, base=None, from_scratch=True).run()
    assert record["finished"]
    assert set(record["outcomes"]) == {"your digits", "other hands"}
