"""Who may use a state directory beside whom: one appliance, and commands beside it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from appliance.__main__ import main
from appliance.captures.rescue import open_captures
from appliance.captures.store import Captures
from appliance.errors import StateError
from appliance.storage.layout import CAPTURES_LOCK, StateDirectory, carry_over, lay_flat
from appliance.storage.state_lock import hold_run_lock, hold_shared_lock
from tests.captured import add_capture
from tests.conftest import ROOT, SAMPLES

PAGE = "http://there.local:8080"
HOLD = (
    "import sys; from pathlib import Path\n"
    "from appliance.storage.state_lock import hold_run_lock\n"
    "with hold_run_lock(Path(sys.argv[1]), sys.argv[2]): print('held', flush=True); input()\n"
)


@contextmanager
def other_process(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Lend a process that has printed its first line and waits for one."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def run_here(state: Path) -> int:
    arguments = ["--host", "127.0.0.1", "--camera", f"folder:{SAMPLES}", "--leds", "none"]
    return main(["run", *arguments, "--state", str(state)])


def test_a_second_appliance_is_refused_and_told_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with other_process(HOLD, state, PAGE) as first:
        assert run_here(state) == 1
        said = capsys.readouterr().err
        assert said == (
            f"digits: {state}: an appliance runs there already (process {first.pid}, its page is "
            f"at {PAGE}): use that one, or stop it ('sudo systemctl stop digits' or "
            f"'kill {first.pid}') and start again, or choose another directory with --state DIR\n"
        )


def test_commands_go_on_beside_the_appliance(tmp_path: Path) -> None:
    with closing(Captures(tmp_path / "captures.db")) as captures:
        add_capture(captures)
    state = ["--state", str(tmp_path)]
    with other_process(HOLD, tmp_path, PAGE):
        assert main(["captures", "list", *state]) == 0
        assert main(["backup", str(tmp_path / "b.zip"), *state]) == 0
        assert main(["retrain", "--due", *state]) == 0
        assert main(["networks", *state]) == 0
        # It finds much that is wrong with this machine, but not that something runs there.
        assert main(["doctor", *state]) in (0, 1)


def test_what_a_killed_appliance_left_refuses_nobody(tmp_path: Path) -> None:
    with other_process(HOLD, tmp_path, PAGE) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert StateDirectory(tmp_path).run_lock.read_text() == PAGE
        with hold_run_lock(tmp_path, "http://here.local:80"):
            pass
    assert StateDirectory(tmp_path).run_lock.read_text() == "http://here.local:80"


def test_the_lock_goes_to_the_next_when_the_first_has_ended(tmp_path: Path) -> None:
    with hold_run_lock(tmp_path, PAGE):
        pass
    with other_process(HOLD, tmp_path, PAGE), pytest.raises(StateError, match="runs there already"):
        hold_run_lock(tmp_path, PAGE).__enter__()


def test_a_process_that_begins_anew_takes_the_lock_again(tmp_path: Path) -> None:
    """As the page's restart does: the same process, another program in it."""
    anew = (
        f"import os, sys; os.execv(sys.executable, [sys.executable, '-c', {HOLD!r}, *sys.argv[1:]])"
    )
    begin = (
        "import sys; from pathlib import Path\n"
        "from appliance.storage.state_lock import hold_run_lock\n"
        f"with hold_run_lock(Path(sys.argv[1]), sys.argv[2]): exec({anew!r})\n"
    )
    with (
        other_process(begin, tmp_path, PAGE) as first,
        pytest.raises(StateError, match=rf"\(process {first.pid}, "),
    ):
        hold_run_lock(tmp_path, PAGE).__enter__()


def test_the_card_is_written_to_only_when_the_page_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold_run_lock(tmp_path, PAGE):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: pytest.fail("written again"))
        with hold_run_lock(tmp_path, PAGE):
            pass
    with hold_run_lock(tmp_path, "http://here"):
        assert StateDirectory(tmp_path).run_lock.read_text() == "http://here"


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    StateDirectory(tmp_path).run_lock.symlink_to(tmp_path / "precious")
    with hold_run_lock(tmp_path, PAGE):
        assert (tmp_path / "precious").read_text() == "mine"


def test_a_hostile_note_prints_no_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with other_process(HOLD, tmp_path, PAGE):
        StateDirectory(tmp_path).run_lock.write_bytes(b"\x1b[2J\xff" * 1000)
        assert run_here(tmp_path) == 1
        said = capsys.readouterr().err
        assert re.search(r"\(process \d+, its page is at \\x1b\[2J", said)
        assert "\x1b" not in said
        assert len(said) < 2000


# ---- what was broken off, or an older version left ----


def test_the_copy_of_a_backup_that_was_cut_off_goes_at_the_next_start(tmp_path: Path) -> None:
    carry_over(tmp_path)
    with hold_shared_lock(tmp_path):
        # This one goes on.
        for rest in ("", "-wal"):
            (tmp_path / f".backup.copy{rest}").touch()
        with hold_shared_lock(tmp_path):
            assert (tmp_path / ".backup.copy").exists()
    with hold_shared_lock(tmp_path):
        assert {each.name for each in tmp_path.iterdir()} == {"knowledge", "in-use.lock"}


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """A state directory as older versions had it, with a capture and its lock."""
    state = tmp_path / "flat"
    state.mkdir()
    carry_over(state)
    with closing(Captures(StateDirectory(state).captures)) as captures:
        add_capture(captures)
    lay_flat(state)
    assert (state / CAPTURES_LOCK).exists()
    return state


def test_captures_that_a_command_has_open_are_not_moved(flat: Path) -> None:
    with closing(Captures(flat / "captures.db")) as held:
        with (
            pytest.raises(StateError, match=r"another program has the captures open.*start again"),
            hold_shared_lock(flat),
        ):
            pass
        with hold_shared_lock(flat, or_read_on=True) as problem:
            assert "another program has the captures open" in str(problem)
        add_capture(held)
        assert not StateDirectory(flat).folder.exists()
    with hold_shared_lock(flat) as problem:
        assert problem is None
        with closing(Captures(StateDirectory(flat).captures)) as captures:
            assert len(captures.list_newest()) == 2


def test_nothing_is_left_of_the_older_layout(flat: Path) -> None:
    with hold_shared_lock(flat):
        assert {each.name for each in flat.iterdir()} == {"knowledge", "in-use.lock"}


def test_a_lock_that_an_earlier_start_left_goes_too(tmp_path: Path) -> None:
    carry_over(tmp_path)
    (tmp_path / CAPTURES_LOCK).touch()
    with hold_shared_lock(tmp_path):
        assert not (tmp_path / CAPTURES_LOCK).exists()


def test_a_command_that_waited_while_the_captures_were_moved_makes_none_anew(
    flat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lock_late(lock: object, how: int) -> None:
        # What moves them ends while this waits for its turn.
        monkeypatch.undo()
        with hold_shared_lock(flat):
            pass

    monkeypatch.setattr("appliance.captures.rescue.fcntl.flock", lock_late)
    with pytest.raises(StateError, match="were moved while this waited for them: run it again"):
        open_captures(flat / "captures.db")
    assert not (flat / "captures.db").exists()
