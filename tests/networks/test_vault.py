"""The networks on disk: kept, promoted, rolled back and trimmed."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.errors import StateError, VaultError
from appliance.networks import vault as under_test
from appliance.networks.vault import Entry, Vault
from model import files, weights
from model.network import Network, build


def network(seed: int) -> Network:
    """Return a small network; each seed's has an id of its own."""
    return build([["dense", 784, 10]], seed)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "networks", shipped=shipped_in(tmp_path))


def shipped_in(folder: Path) -> Path:
    weights.save(folder / "shipped.npz", network(1000), {"preset": "shipped"})
    return folder / "shipped.npz"


def shipped_id(vault: Vault) -> str:
    return vault.list_networks()[-1].id


def states(vault: Vault) -> dict[str, str]:
    return {entry.id: entry.state for entry in vault.list_networks()}


def filled(vault: Vault, count: int) -> list[str]:
    return [vault.add(network(seed), {"seed": seed}) for seed in range(count)]


def promoted(vault: Vault, count: int = 2) -> list[str]:
    """Add and promote `count` networks, and return their ids."""
    ids = filled(vault, count)
    for id in ids:
        vault.promote(id)
    return ids


def test_without_a_folder_the_shipped_network_reads_and_nothing_is_written(vault: Vault) -> None:
    held = vault.load_current()
    assert (held.card["preset"], held.problem, held.promoted) == ("shipped", None, None)
    assert vault.previous_id() is None
    assert [entry.state for entry in vault.list_networks()] == ["current"]
    assert not vault.folder.exists()


def test_a_candidate_is_kept_and_does_not_read(vault: Vault) -> None:
    (id,) = filled(vault, 1)
    assert vault.add(network(0), {"seed": 0}) == id
    assert vault.load_current().card["preset"] == "shipped"
    entry = vault.find(id)
    assert (entry.state, entry.card["seed"], entry.shipped) == ("candidate", 0, False)
    assert entry.bytes == (vault.folder / f"{id}.npz").stat().st_size
    assert entry.card["sha256"].startswith(id)


def test_a_promoted_network_reads_and_the_stamp_changes(vault: Vault) -> None:
    one, two = filled(vault, 2)
    stamps = [vault.stamp()]
    for id in (one, two, one):
        vault.promote(id)
        stamps.append(vault.stamp())
        held = vault.load_current()
        assert (held.id, held.problem, held.stamp) == (id, None, stamps[-1])
        assert os.readlink(vault.folder / "current") == f"{id}.npz"
    assert len(set(stamps)) == 4
    vault.promote(one)
    assert vault.stamp() == stamps[-1]
    np.testing.assert_array_equal(held.network.weights, network(0).weights)


def test_rolling_back_goes_one_further_back_each_time_and_ends_at_the_shipped_one(
    vault: Vault,
) -> None:
    one, two = filled(vault, 2)
    for id in (one, two, one):
        vault.promote(id)
    assert states(vault) == {one: "current", two: "previous", shipped_id(vault): "shipped"}
    for id in (two, one, shipped_id(vault)):
        assert vault.previous_id() == id
        assert vault.roll_back() == id
        assert vault.load_current().id == id
    assert vault.load_current().problem is None
    with pytest.raises(VaultError, match="there is no network before the current one"):
        vault.roll_back()
    assert set(states(vault).values()) == {"current", "candidate"}


def test_rolling_back_passes_over_what_is_damaged_and_does_not_stay_where_it_is(
    vault: Vault,
) -> None:
    one, two = filled(vault, 2)
    for id in (one, two, one):
        vault.promote(id)
    (vault.folder / f"{two}.npz").write_bytes(b"")
    assert vault.previous_id() == shipped_id(vault)
    assert vault.roll_back() == shipped_id(vault)


def test_the_shipped_network_can_be_promoted_and_rolled_back(vault: Vault) -> None:
    (one,) = promoted(vault, 1)
    vault.promote(shipped_id(vault))
    assert vault.load_current().id == shipped_id(vault)
    assert vault.roll_back() == one
    assert vault.add(network(1000), {}) == shipped_id(vault)
    assert not (vault.folder / f"{shipped_id(vault)}.npz").exists()


def test_an_update_that_ships_another_network_brings_it_to_those_who_read_with_the_shipped_one(
    vault: Vault, tmp_path: Path
) -> None:
    promoted(vault, 1)
    vault.roll_back()
    weights.save(tmp_path / "shipped.npz", network(2000), {"preset": "newer"})
    held = Vault(vault.folder, shipped=tmp_path / "shipped.npz").load_current()
    assert (held.card["preset"], held.problem) == ("newer", None)


def test_the_newest_five_are_kept_and_always_the_current_and_the_previous(vault: Vault) -> None:
    first, second = promoted(vault)
    others = [vault.add(network(seed), {}) for seed in range(10, 20)]
    assert states(vault) == {
        first: "previous", second: "current", shipped_id(vault): "shipped",
        **dict.fromkeys(others[-5:], "candidate"),
    }  # fmt: skip
    assert [entry.id for entry in vault.list_networks()][:5] == others[:4:-1]
    assert vault.roll_back() == first
    assert vault.roll_back() == shipped_id(vault)
    vault.trim()
    assert sorted(vault.folder.glob("*.npz")) == sorted(
        vault.folder / f"{id}.npz" for id in others[-5:]
    )


def test_a_second_vault_lists_only_what_is_there(vault: Vault) -> None:
    second = Vault(vault.folder, shipped=vault.folder.parent / "shipped.npz")
    for seed in range(20):
        vault.add(network(seed), {})
        assert second.list_networks() == vault.list_networks()
    assert len(second.list_networks()) == 6


def test_a_clock_set_back_does_not_make_the_newest_network_the_first_to_go(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = filled(vault, 5)
    monkeypatch.setattr(under_test.time, "time", lambda: 1000.0)
    new = vault.add(network(77), {})
    assert [entry.id for entry in vault.list_networks()][:5] == [new, *old[:0:-1]]


def test_two_cards_stand_side_by_side(vault: Vault) -> None:
    one = vault.add(network(1), {"seed": 1, "test": {"right": 9, "total": 10}})
    two = vault.add(network(2), {"seed": 2, "parent": one})
    facts = vault.compare(one, two)
    assert facts["id"] == (one, two)
    assert facts["seed"] == (1, 2)
    assert facts["parent"] == (None, one)
    assert facts["test"] == ({"right": 9, "total": 10}, None)
    assert "layers" not in facts


@pytest.mark.parametrize(
    "id", ["0" * 12, "", "../../etc/passwd", "current", "ABCDEF012345", "é" * 12]
)
def test_what_is_no_id_is_no_path(vault: Vault, id: str) -> None:
    promoted(vault)
    before = states(vault)
    (vault.folder.parent / "outside.npz").write_bytes((vault.folder / "current").read_bytes())
    for use in (vault.promote, vault.find, lambda id: vault.compare(id, id)):
        with pytest.raises(VaultError, match="there is no network"):
            use(id)
    assert states(vault) == before


def test_what_a_killed_process_left_half_written_goes_at_the_next_change(vault: Vault) -> None:
    one, two = filled(vault, 2)
    left = [f".{one}.npz.new", ".current.new", ".promotions.txt.new"]
    for name in left:
        (vault.folder / name).write_bytes(b"half")
    vault.promote(two)
    assert not [file for file in vault.folder.iterdir() if file.name.endswith(".new")]


def test_a_second_process_waits_its_turn_and_is_told_when_that_does_not_come(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = filled(vault, 1)
    monkeypatch.setattr(under_test, "_LOCK_SECONDS", 0)
    with open(vault.folder / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="another process has been changing the networks"):
            vault.promote(one)
        assert vault.load_current().card["preset"] == "shipped"
    vault.promote(one)
    assert vault.load_current().id == one


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


def refused(change: Callable[[], object]) -> str | None:
    """Return the sentence of a change that was refused, or None."""
    try:
        change()
    except StateError as error:
        return str(error)
    return None


FULL, READ_ONLY = (errno.ENOSPC, "make room on the disk"), (errno.EROFS, "check the disk and who")


@pytest.mark.parametrize(("code", "step"), [FULL, READ_ONLY])
@pytest.mark.parametrize("call", ["open", "fsync", "replace", "symlink", "utime"])
def test_whatever_the_disk_refuses_is_a_sentence_and_loses_nothing(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, code: int, step: str, call: str
) -> None:
    one, two = promoted(vault)
    three = vault.add(network(3), {})
    changes: list[Callable[[], object]] = [
        lambda: vault.add(network(4), {}),
        lambda: vault.promote(three),
        vault.roll_back,
        vault.trim,
    ]
    for change in changes:
        with monkeypatch.context() as patched:
            patched.setattr(files.os, call, failing(code))
            said = refused(change)
        # Not every change needs every call.
        assert said is None or (said.startswith(f"{vault.folder}: ") and step in said)
        held = Vault(vault.folder, shipped=vault.folder.parent / "shipped.npz").load_current()
        assert held.problem is None
        assert held.id in (one, two, three)
        assert {one, two, three} <= set(states(vault))
        vault.promote(two)


def test_a_full_disk_does_not_keep_a_bad_network_in_place(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = promoted(vault)
    monkeypatch.setattr("appliance.networks.promotions.replace_file", failing(errno.ENOSPC))
    assert vault.roll_back() == one
    assert (vault.load_current().id, vault.previous_id()) == (one, shipped_id(vault))
    with pytest.raises(StateError, match=f"{two} is not promoted .No space left on device"):
        vault.promote(two)
    assert vault.load_current().id == one
    assert vault.roll_back() == shipped_id(vault)


def test_an_entry_is_json(vault: Vault) -> None:
    filled(vault, 1)
    entry = vault.list_networks()[0]
    assert isinstance(entry, Entry)
    assert set(entry.to_json()) == {"id", "card", "state", "bytes", "made", "shipped"}
