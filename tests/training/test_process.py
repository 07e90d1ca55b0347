"""A training runs as a process of its own: who starts, sees and stops it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
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
    trainer = TrainingProcess(
        tmp_path, config=config, command=[sys.executable, "-c", HOLDS_THE_LOCK]
    )
    yield trainer
    if trainer._child is not None:
        trainer._child.kill()
        trainer._child.wait()


def test_a_training_runs_beside_the_page_and_ends_when_write_progress(
    trainer: TrainingProcess, tmp_path: Path
) -> None:
    assert not trainer.is_running()
    trainer.start(from_scratch=True)
    assert trainer.is_running()
    with pytest.raises(TrainingError, match="running already"):
        trainer.start()
    until(lambda: records.load_progress(tmp_path) is not None)
    state, config = str(tmp_path), str(tmp_path / "digits.toml")
    root = str(ROOT)
    assert json.loads((tmp_path / "words.json").read_text()) == [
        "retrain", "--state", state, "--config", config, "--from-scratch", root, True,
    ]  # fmt: skip
    child = trainer._child
    assert child is not None
    trainer.stop()
    # Nothing but the reaping thread waits for it here: there is no zombie.
    until(lambda: not Path(f"/proc/{child.pid}").exists())
    until(lambda: child.returncode == 130)
    assert not trainer.is_running()
    assert trainer.failure() is None
    with pytest.raises(TrainingError, match="nothing to stop"):
        trainer.stop()
    trainer.start()
    assert trainer.is_running()


def test_one_that_another_started_is_seen_and_stopped(
    trainer: TrainingProcess, tmp_path: Path
) -> None:
    words = [*trainer._command, "retrain", "--state", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert trainer.is_running()
        with pytest.raises(TrainingError, match="running already"):
            trainer.start()
        trainer.stop()
        assert other.wait(20) == 130
    assert not trainer.is_running()


def test_a_number_that_another_program_has_by_now_gets_no_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a signal was sent"))
    trainer = TrainingProcess(tmp_path)
    write_progress(tmp_path, pid=os.getpid())
    with pytest.raises(TrainingError, match="nothing to stop"):
        trainer.stop()
    monkeypatch.setattr("appliance.training.process._is_retrain_command", lambda pid: False)
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
    monkeypatch.setattr("appliance.training.process._is_retrain_command", lambda pid: True)
    write_progress(tmp_path, pid=77)
    with (
        hold_training_lock(tmp_path),
        pytest.raises(TrainingError, match="belongs to another user"),
    ):
        TrainingProcess(tmp_path).stop()


def test_one_that_fails_at_once_is_a_sentence(tmp_path: Path) -> None:
    trainer = TrainingProcess(tmp_path, command=[sys.executable, "-c", "raise SystemExit(3)"])
    trainer.start()
    until(lambda: not trainer.is_running())
    assert (trainer.failure() or "").startswith("the training did not begin (code 3): 'journalctl")
    # One that told of itself has said why.
    assert trainer._child is not None
    write_progress(tmp_path, pid=trainer._child.pid)
    assert trainer.failure() is None


def test_a_program_that_cannot_be_started_is_a_sentence(tmp_path: Path) -> None:
    trainer = TrainingProcess(tmp_path, command=[str(tmp_path / "nothing")])
    with pytest.raises(TrainingError, match="cannot be started"):
        trainer.start()
    assert not trainer.is_running()


def test_one_begun_by_hand_is_told_beside_the_place_in_ram(
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
