"""A training is a process of its own that the page starts, watches and stops."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import TrainingError
from appliance.training import records
from appliance.training.lock import hold_training_lock
from appliance.training.process import TrainingProcess
from tests.conftest import ROOT

HOLDS_THE_LOCK = """
import fcntl, json, os, signal, sys, time
state = sys.argv[sys.argv.index("--state") + 1]
lock = os.open(state + "/retrain.lock", os.O_CREAT | os.O_RDONLY)
fcntl.flock(lock, fcntl.LOCK_EX)
with open(state + "/words.json", "w") as file:
    json.dump(sys.argv[1:] + [os.getcwd(), os.getsid(0) == os.getpid()], file)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
with open(state + "/retrain.new", "w") as file:
    json.dump({"pid": os.getpid(), "updated": time.time()}, file)
os.replace(state + "/retrain.new", state + "/retrain.json")
print("ready", flush=True)
signal.pause()
"""
LOCKING_COMMAND = [sys.executable, "-c", HOLDS_THE_LOCK]


def write_progress(folder: Path, **facts: Any) -> None:
    records.Progress(records.progress_path(folder), **facts).save()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


@pytest.fixture(autouse=True)
def no_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[TrainingProcess]:
    config = tmp_path / "digits.toml"
    trainer = TrainingProcess(tmp_path, config=config, command=LOCKING_COMMAND)
    yield trainer
    with suppress(TrainingError):
        trainer.stop()
    until(lambda: not trainer.is_running())


def test_a_training_runs_beside_the_page_until_it_is_stopped(
    trainer: TrainingProcess, tmp_path: Path
) -> None:
    assert not trainer.is_running()
    trainer.start(from_scratch=True)
    assert trainer.is_running()
    with pytest.raises(TrainingError, match="running already"):
        trainer.start()
    until(lambda: records.load_progress(tmp_path) is not None)
    pid = (records.load_progress(tmp_path) or {})["pid"]
    state, config = str(tmp_path), str(tmp_path / "digits.toml")
    root = str(ROOT)
    assert json.loads((tmp_path / "words.json").read_text()) == [
        "retrain", "--state", state, "--config", config, "--from-scratch", root, True,
    ]  # fmt: skip
    trainer.stop()
    # Only the reaping thread waits for the process here: there is no zombie.
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert not trainer.is_running()
    assert trainer.failure() is None
    with pytest.raises(TrainingError, match="nothing to stop"):
        trainer.stop()
    trainer.start()
    assert trainer.is_running()


def test_a_training_that_another_program_started_is_seen_and_stopped(
    trainer: TrainingProcess, tmp_path: Path
) -> None:
    words = [*LOCKING_COMMAND, "retrain", "--state", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert trainer.is_running()
        with pytest.raises(TrainingError, match="running already"):
            trainer.start()
        trainer.stop()
        assert other.wait(20) == 130
    assert not trainer.is_running()


def test_a_process_that_is_no_retraining_gets_no_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a signal was sent"))
    trainer = TrainingProcess(tmp_path)
    write_progress(tmp_path, pid=os.getpid())
    with pytest.raises(TrainingError, match="nothing to stop"):
        trainer.stop()
    with (
        hold_training_lock(tmp_path),
        pytest.raises(TrainingError, match="end it where it was started"),
    ):
        trainer.stop()


def test_another_users_training_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(pid: int, number: int) -> None:
        assert number == signal.SIGTERM
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    words = [sys.executable, "-c", "print(flush=True); input()", "retrain"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as other:
        assert other.stdout is not None
        other.stdout.readline()
        write_progress(tmp_path, pid=other.pid)
        with (
            hold_training_lock(tmp_path),
            pytest.raises(TrainingError, match="belongs to another user"),
        ):
            TrainingProcess(tmp_path).stop()


def test_a_training_that_fails_at_once_is_a_sentence(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"import os; open({str(pid_file)!r}, 'w').write(str(os.getpid())); raise SystemExit(3)"
    trainer = TrainingProcess(tmp_path, command=[sys.executable, "-c", script])
    trainer.start()
    until(lambda: not trainer.is_running())
    assert (trainer.failure() or "").startswith("the training did not begin (code 3): 'journalctl")
    # A training that wrote its progress has given its own reason.
    write_progress(tmp_path, pid=int(pid_file.read_text()))
    assert trainer.failure() is None


def test_a_program_that_cannot_be_started_is_a_sentence(tmp_path: Path) -> None:
    trainer = TrainingProcess(tmp_path, command=[str(tmp_path / "nothing")])
    with pytest.raises(TrainingError, match="cannot be started"):
        trainer.start()
    assert not trainer.is_running()


def test_the_newest_progress_counts_in_the_state_directory_and_in_ram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_progress(tmp_path, sentence="by hand")
    ram = tmp_path / "run"
    ram.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(ram))
    assert (records.load_progress(tmp_path) or {})["sentence"] == "by hand"
    write_progress(tmp_path, sentence="by the timer")
    assert (records.load_progress(tmp_path) or {})["sentence"] == "by the timer"
    (ram / "retrain.json").write_text("[]")
    assert (records.load_progress(tmp_path) or {})["sentence"] == "by hand"
