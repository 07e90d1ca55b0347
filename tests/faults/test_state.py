"""On a damaged file of its state, and on a card that is read-only, the appliance reads."""

import os
import subprocess
from pathlib import Path

import pytest

from appliance.backup.restore import in_use
from appliance.errors import StateError
from tests.proofs import damaged_state


def may_mount() -> bool:
    words = ["unshare", "-m", "true"]
    return os.geteuid() == 0 and subprocess.run(words, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("name", "how"),
    [("owner.json", "cut"), ("restore/plan.json", "flipped"), ("captures.db", "folder")],
)
def test_it_starts_and_reads_on_a_damaged_file(tmp_path: Path, name: str, how: str) -> None:
    state = tmp_path / "state"
    damaged_state.make_state(state)
    if name != "restore/plan.json":
        (state / "restore" / "plan.json").unlink()
        (state / "restore").rmdir()
    damaged_state.damage(state / name, how)
    also = damaged_state.changes_are_shut if name == "owner.json" else None
    wrong, said = damaged_state.look(state, also=also)
    assert wrong == []
    assert name.removeprefix("restore/") in said


@pytest.mark.skipif(not may_mount(), reason="only root makes a file system read-only")
def test_on_a_read_only_card_it_reads_and_changes_are_shut(tmp_path: Path) -> None:
    state = tmp_path / "state"
    damaged_state.make_state(state)
    (state / "restore" / "plan.json").unlink()
    (state / "restore").rmdir()
    before = damaged_state.read_only(state)
    wrong, said = damaged_state.look(state, before, damaged_state.changes_are_shut)
    assert wrong == []
    assert "Read-only file system" in said


@pytest.mark.parametrize(
    "plan", ['{"new": ["captures.dc"], "leave": []}', '{"new": 1, "leave": []}', "[]", "{", "null"]
)
def test_a_plan_with_a_damaged_name_removes_nothing(tmp_path: Path, plan: str) -> None:
    (tmp_path / "restore" / "before-restore").mkdir(parents=True)
    (tmp_path / "restore" / "captures.db").write_text("new")
    (tmp_path / "captures.db").write_text("old")
    (tmp_path / "restore" / "plan.json").write_text(plan)
    with pytest.raises(StateError, match="a restore cannot be ended"), in_use(tmp_path):
        pass
    with in_use(tmp_path, reads_on=True) as problem:
        assert "a restore cannot be ended" in str(problem)
    assert (tmp_path / "captures.db").read_text() == "old"
    assert (tmp_path / "restore" / "captures.db").read_text() == "new"
