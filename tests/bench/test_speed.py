import json
from pathlib import Path

import pytest

from tests.bench import contenders, speed
from tests.bench.__main__ import main

OWN = [
    ("train scratch-200", "ours one at a time"),
    ("train scratch-200", "the book's loop"),
    ("train appliance", "ours"),
    ("answer scratch-200", "the book's query"),
    ("answer appliance", "ours"),
    ("answer appliance", "ours by layers"),
    ("convolve", "im2col"),
    ("convolve", "shifted products"),
    ("multiply", "sgemm"),
]


@pytest.fixture(autouse=True)
def call_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call everything a few times instead of for a second and a half."""
    time_call = contenders._time_call
    monkeypatch.setattr(contenders, "_time_call", lambda function: time_call(function, enough=0.0))


@pytest.mark.parametrize(("task", "contender"), OWN)
def test_a_contender_gives_its_figure(task: str, contender: str) -> None:
    figure = contenders.measure(task, contender)
    assert figure["value"] > 0
    assert figure["peak_mb"] > 10


@pytest.mark.parametrize("task", ["train appliance", "train scratch-200", "answer appliance"])
def test_pytorch_takes_part_where_it_is(task: str) -> None:
    pytest.importorskip("torch")
    assert contenders.measure(task, "PyTorch")["value"] > 0


@pytest.mark.parametrize("task", ["answer appliance", "answer scratch-200"])
def test_onnx_runtime_gives_the_same_answers(task: str) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    assert contenders.measure(task, "ONNX Runtime")["value"] > 0


def test_tables_and_json_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {
        "ours": {"value": 300.0, "peak_mb": 50.0},
        "PyTorch": {"value": 200.0, "peak_mb": 9.0},
    }
    monkeypatch.setattr(speed, "TASKS", {"train appliance": tuple(answers)})
    monkeypatch.setattr(
        speed, "_run_in_own_process", lambda task, contender: dict(answers[contender])
    )
    files = tmp_path / "b.md", tmp_path / "b.json"
    arguments = ["--markdown", str(files[0]), "--json", str(files[1]), "--rounds", "2"]
    assert main([*arguments]) == 0
    assert "| PyTorch | 200 | 1.50× | 9 |" in capsys.readouterr().out
    assert "| PyTorch | 200 | 1.50× | 9 |" in files[0].read_text()
    assert json.loads(files[1].read_text()) == {"train appliance": answers}


@pytest.mark.parametrize(
    "arguments", [["--rounds", "1", "networks"], ["networks", "--rounds", "1"]]
)
def test_options_stand_before_or_after_what_is_measured(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "TASKS", {"train appliance": ("ours",)})
    monkeypatch.setattr(
        speed, "_run_in_own_process", lambda task, contender: {"value": 1.0, "peak_mb": 1.0}
    )
    assert main([*arguments]) == 0
    assert "1: train appliance, ours" in capsys.readouterr().out


def test_a_missing_library_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert speed._run_in_own_process("train appliance", "Torch 7") is None
    assert "train appliance, Torch 7: not measured (" in capsys.readouterr().out
