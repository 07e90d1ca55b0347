"""What the machine says of itself, told from files and words that stand in for a Pi's."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.device import machine


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files in which a Pi tells of itself."""
    (tmp_path / "timesync").mkdir()
    (tmp_path / "temp").write_text("48312\n")
    (tmp_path / "uptime").write_text("3725.41 3000.00\n")
    (tmp_path / "boot_id").write_text("a13592fb\n")
    (tmp_path / "meminfo").write_text("MemTotal: 442108 kB\nMemAvailable:  210452 kB\n")
    (tmp_path / "status").write_text("Name:\tpython3\nVmRSS:\t   68112 kB\n")
    for name, file in (
        ("_THERMAL", "temp"),
        ("_UPTIME", "uptime"),
        ("_BOOT", "boot_id"),
        ("_MEMORY", "meminfo"),
        ("_OWN_MEMORY", "status"),
        ("_SYNCHRONISED", "timesync/synchronized"),
        ("_APP", "digits"),
    ):
        monkeypatch.setattr(machine, name, tmp_path / file)
    monkeypatch.setattr(machine, "_STAMPS", (tmp_path / "stamp",))
    return tmp_path


def vcgencmd(monkeypatch: pytest.MonkeyPatch, says: str | Exception) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command == ["vcgencmd", "get_throttled"]
        if isinstance(says, Exception):
            raise says
        return subprocess.CompletedProcess(command, 0, says, "")

    monkeypatch.setattr(subprocess, "run", run)


def test_the_temperature_is_told_in_degrees(pi: Path) -> None:
    assert machine.temperature() == pytest.approx(48.312)


@pytest.mark.parametrize("content", [None, "", "hot"])
def test_a_temperature_that_is_not_told_is_none(pi: Path, content: str | None) -> None:
    (pi / "temp").unlink()
    if content is not None:
        (pi / "temp").write_text(content)
    assert machine.temperature() is None


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("throttled=0x0\n", None),
        # Since the start, but not now.
        ("throttled=0x50000\n", None),
        ("throttled=0x1\n", "the power supply sags"),
        ("throttled=0x50006\n", "the processor is slowed down and it is throttled"),
        ("throttled=0x8", "it is near its hottest"),
        ("error=1", None),
        ("", None),
    ],
)
def test_throttling_is_told_in_words_for_as_long_as_it_lasts(
    monkeypatch: pytest.MonkeyPatch, says: str, words: str | None
) -> None:
    vcgencmd(monkeypatch, says)
    assert machine.throttled() == words


@pytest.mark.parametrize(
    "error", [FileNotFoundError("vcgencmd"), subprocess.TimeoutExpired("vcgencmd", 5)]
)
def test_where_there_is_no_such_command_nothing_is_throttled(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    vcgencmd(monkeypatch, error)
    assert machine.throttled() is None


def test_a_clock_is_believed_once_it_was_synchronised(pi: Path) -> None:
    assert not machine.clock_is_set(pi, 1.8e9)
    (pi / "timesync" / "synchronized").touch()
    assert machine.clock_is_set(pi, 1.8e9)


def test_a_clock_is_believed_where_no_service_could_synchronise_it(pi: Path) -> None:
    (pi / "timesync").rmdir()
    assert machine.clock_is_set(pi, 1.9e9)


def test_a_clock_of_long_ago_is_never_believed(pi: Path) -> None:
    (pi / "timesync" / "synchronized").touch()
    assert not machine.clock_is_set(pi, 0.0)
    assert machine.examine_clock(pi, 0.0).behind > 50 * 365 * 86400


STATE_FILES = "owner.json", "knowledge/nights.jsonl", "knowledge/networks/0123456789ab.npz"


@pytest.mark.parametrize("name", ["stamp", *STATE_FILES])
def test_a_clock_that_is_weeks_behind_is_told_by_a_file_of_the_state_or_the_system(
    pi: Path, tmp_path: Path, name: str
) -> None:
    (pi / "timesync").rmdir()
    state = tmp_path / "state"
    for each in ("stamp", *STATE_FILES):
        file = tmp_path / each if each == "stamp" else state / each
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    then = 1.8e9
    for each in (tmp_path / "stamp", state, *state.rglob("*")):
        os.utime(each, (then, then))
    newest = tmp_path / name if name == "stamp" else state / name
    os.utime(newest, (then + 60, then + 60))
    found = machine.examine_clock(state, then - 3 * 7 * 86400)
    assert found == machine.Clock(False, 3 * 7 * 86400 + 60, then + 60, newest)
    # One that is corrected by some minutes, and one that is right.
    assert machine.clock_is_set(state, then - 200)
    assert machine.clock_is_set(state, then + 1e6)
    # What was synchronised is right, and that file is of a clock that was not.
    (pi / "timesync").mkdir()
    (pi / "timesync" / "synchronized").touch()
    assert machine.examine_clock(state, then - 3 * 7 * 86400) == (True, 0, machine._EARLIEST, None)


def test_what_became_of_the_last_update(pi: Path) -> None:
    assert machine.find_given_up() is None
    assert not machine.is_update_on_trial()
    (pi / "digits").mkdir()
    (pi / "digits/trying").touch()
    assert machine.is_update_on_trial()
    for text in ("", "new\nold\n", "new\nold\nonce\nwhy\n"):
        (pi / "digits/gone-back").write_text(text)
        assert machine.find_given_up() is None
    (pi / "digits/gone-back").write_text("new\nold\n1800000000\nthe page does not answer\n")
    assert machine.find_given_up() == ("new", "old", 1.8e9, "the page does not answer")


def test_the_start_of_the_machine_is_told(pi: Path) -> None:
    assert machine.uptime() == pytest.approx(3725.41)
    assert machine.boot() == "a13592fb"


def test_what_is_not_told_of_the_start_is_nothing(pi: Path) -> None:
    (pi / "uptime").write_text("")
    (pi / "boot_id").unlink()
    assert (machine.uptime(), machine.boot()) == (0.0, "")


def test_memory_is_in_bytes(pi: Path) -> None:
    assert machine.memory() == machine.Memory(68112 * 1024, 210452 * 1024)


@pytest.mark.parametrize("text", ["", "VmRSS:", "VmRSS: much kB", None])
def test_memory_that_is_not_told_is_none(pi: Path, text: str | None) -> None:
    if text is None:
        (pi / "status").unlink()
    else:
        (pi / "status").write_text(text)
    assert machine.memory().resident is None


def test_a_library_that_lacks_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(machine.versions().values())
    monkeypatch.setattr(machine, "LIBRARIES", ("numpy", "no-such-library"))
    versions = machine.versions()
    assert versions["numpy"]
    assert versions["no-such-library"] is None


def test_what_lies_free_between_what_is_in_use_is_given_back() -> None:
    script = (
        "from appliance.device import machine\n"
        "import numpy as np\n"
        "every = [np.ones(10_000, np.uint8) for _ in range(4000)]\n"
        "every = every[::40]\n"
        "before = machine.memory().resident\n"
        "machine.trim_heap()\n"
        "print(before - machine.memory().resident)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if platform.libc_ver()[0] == "glibc":
        assert int(done.stdout) > 20_000_000, done.stderr
    else:
        assert done.returncode == 0
