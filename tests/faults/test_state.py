"""On a damaged file of its state, and on a card that is read-only, the appliance reads."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.errors import StateError
from appliance.storage.layout import StateDirectory, lay_flat
from appliance.storage.state_lock import hold_shared_lock
from tests.proofs import damaged_state


def may_mount() -> bool:
    words = ["unshare", "-m", "true"]
    return os.geteuid() == 0 and subprocess.run(words, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("owner.json", "cut"),
        ("knowledge.restored/digits.toml", "flipped"),
        ("knowledge.restored/digits.toml.place", "random"),
        ("knowledge/captures.db", "folder"),
    ],
)
def test_it_starts_and_reads_on_a_damaged_file(tmp_path: Path, name: str, how: str) -> None:
    state = tmp_path / "state"
    damaged_state.make_state(state)
    if not name.startswith("knowledge.restored/"):
        shutil.rmtree(StateDirectory(state).restored)
    damaged_state.damage(state / name, how)
    also = damaged_state.changes_are_shut if name == "owner.json" else None
    wrong, said = damaged_state.look(state, also=also)
    assert wrong == []
    assert ("is dropped" if "restored" in name else Path(name).name) in said


@pytest.mark.skipif(not may_mount(), reason="only root makes a file system read-only")
def test_on_a_read_only_card_it_reads_and_changes_are_shut(tmp_path: Path) -> None:
    state = tmp_path / "state"
    damaged_state.make_state(state)
    shutil.rmtree(StateDirectory(state).restored)
    before = damaged_state.read_only(state)
    wrong, said = damaged_state.look(state, before, damaged_state.changes_are_shut)
    assert wrong == []
    assert "Read-only file system" in said


def test_a_restore_that_an_older_version_began_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "restore" / "before-restore").mkdir(parents=True)
    (tmp_path / "restore" / "captures.db").write_text("new")
    (tmp_path / "captures.db").write_text("old")
    (tmp_path / "restore" / "plan.json").write_text("{}")
    with pytest.raises(StateError, match="a restore cannot be ended"), hold_shared_lock(tmp_path):
        pass
    with hold_shared_lock(tmp_path, or_read_on=True) as problem:
        assert "a restore cannot be ended" in str(problem)
    assert (tmp_path / "captures.db").read_text() == "old"
    assert (tmp_path / "restore" / "captures.db").read_text() == "new"


@pytest.mark.skipif(not may_mount(), reason="only root makes a file system read-only")
def test_on_a_read_only_card_it_reads_what_an_older_version_left(tmp_path: Path) -> None:
    state = tmp_path / "state"
    damaged_state.make_state(state)
    shutil.rmtree(StateDirectory(state).restored)
    lay_flat(state)

    def shows_captures(appliance: damaged_state.Appliance) -> str:
        total = json.loads(appliance.ask("/api/v1/captures")[1])["total"]
        return "" if total == 30 else f"it shows {total} captures"

    wrong, _ = damaged_state.look(state, damaged_state.read_only(state), shows_captures)
    assert wrong == []
