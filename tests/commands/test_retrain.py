"""digits retrain: how it exits, what it refuses, which base set it takes."""

import os
from pathlib import Path
from typing import Any

import pytest

from appliance.commands import retrain as command
from appliance.errors import TrainingRefused
from appliance.training.lock import hold_training_lock
from appliance.training.resumable_run import SEED
from model.errors import DatasetError
from tests.owner import base


class Ending:
    """Stands in for a retraining with a given outcome; it may get a signal before its end."""

    def __init__(self, outcome: str, number: int | None) -> None:
        self.outcome, self.number = outcome, number

    def __call__(self, state: Path, *, make_examples: Any, sleep: Any, **_: Any) -> "Ending":
        self.make_examples, self.sleep = make_examples, sleep
        return self

    def run(self) -> dict[str, Any]:
        if self.number is not None:
            os.kill(os.getpid(), self.number)
        if self.outcome == "refused":
            raise TrainingRefused("there is nothing to do")
        if self.outcome == "preparing":
            self.make_examples(command_recipe(), base(), SEED)
        if self.outcome == "hot":
            # The processor is to cool down for an hour.
            self.sleep(3600)
            self.outcome = "left"
        return {"outcome": self.outcome}


def command_recipe() -> Any:
    from dataclasses import replace

    from model.presets import get_preset

    return replace(get_preset("appliance").for_camera(), photographs=50)


@pytest.mark.parametrize(
    ("outcome", "number", "due", "code"),
    [
        ("promoted", None, False, 0),
        ("kept", None, False, 0),
        ("left", None, False, 0),
        ("left", 15, False, 130),
        ("left", 2, False, 130),
        ("left", 1, True, 130),
        # The signal came after the verdict.
        ("promoted", 15, False, 0),
        ("preparing", 15, False, 130),
        ("preparing", 15, True, 130),
        ("hot", 15, False, 130),
        ("refused", None, False, 1),
        ("refused", None, True, 0),
    ],
)
def test_the_exit_code_tells_how_it_ended(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: str,
    number: int | None,
    due: bool,
    code: int,
    handlers: dict[int, Any],
) -> None:
    import signal

    from appliance.__main__ import main
    from appliance.training import retrain
    from appliance.training import schedule as due_module

    monkeypatch.setattr(command, "lower_priority", lambda: None)
    monkeypatch.setattr(command, "log_to_stderr", lambda: None)
    monkeypatch.setattr(due_module, "reason_to_wait", lambda *_, **__: None)
    monkeypatch.setattr(retrain, "Retraining", Ending(outcome, number))
    assert main(["retrain", "--state", str(tmp_path), *["--due"] * due]) == code
    # What ends is not told again.
    told = dict.fromkeys(handlers, signal.SIG_IGN) if number else handlers
    assert {each: signal.getsignal(each) for each in handlers} == told
    if code == 1:
        assert capsys.readouterr().err == "digits: there is nothing to do\n"


def test_a_second_retraining_at_once_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from appliance.__main__ import main

    monkeypatch.setattr(command, "lower_priority", lambda: None)
    monkeypatch.setattr(command, "log_to_stderr", lambda: None)
    with hold_training_lock(tmp_path):
        assert main(["retrain", "--state", str(tmp_path)]) == 1
        assert main(["retrain", "--state", str(tmp_path), "--due"]) == 0
    output = capsys.readouterr()
    assert output.err == "digits: a retraining is running already: see the page's training view\n"
    assert "a retraining is running already" in output.out


def test_a_folder_that_a_download_left_empty_is_no_base_set(tmp_path: Path) -> None:
    assert command.load_base_set(tmp_path / "mnist", required=False) is None
    (tmp_path / "mnist").mkdir()
    assert command.load_base_set(tmp_path / "mnist", required=False) is None
    with pytest.raises(DatasetError):
        command.load_base_set(tmp_path / "mnist", required=True)


def test_half_a_base_set_is_a_sentence(tiny_mnist: Path, tmp_path: Path) -> None:
    file = next(tiny_mnist.glob("train-images*"))
    (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DatasetError, match="train-labels"):
        command.load_base_set(tmp_path, required=False)
