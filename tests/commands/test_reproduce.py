from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.__main__ import main
from model.books.rows import ROWS
from model.books.workbench import Workbench
from model.datasets import Split, load_split
from model.errors import DatasetError
from model.network import NOT_A_DIGIT
from model.presets import PRESETS, Preset

NAMES = [
    *("neuron", "eleven-lines", "logic", "hill-climb", "by-hand", "scratch-100", "scratch-tiny"),
    *("scratch-epochs", "scratch-200", "scratch-500", "scratch-hidden", "scratch-rotated"),
    *("pi-zero", "sgd-30", "sgd-16-16", "sgd-none", "deep-300-100", "own-handwriting"),
    *("back-query", "simard-800", "appliance"),
]


def test_every_row_is_there_and_every_preset_is_a_row() -> None:
    assert list(ROWS) == NAMES
    assert set(PRESETS) <= set(ROWS)


@pytest.fixture(scope="module")
def bench(tiny_mnist: Path) -> Workbench:
    return Workbench(
        training=load_split(tiny_mnist, "train"),
        test=load_split(tiny_mnist, "test"),
        quick=True,
        say=lambda text: None,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "own-handwriting"])
def test_a_row_gives_its_figures(name: str, bench: Workbench) -> None:
    outcome = ROWS[name](bench)
    assert outcome.recipe
    assert outcome.lines
    assert all(line.what and line.theirs and line.ours for line in outcome.lines)


def test_a_network_is_trained_only_once(bench: Workbench) -> None:
    _, network = bench.train(PRESETS["scratch-200"])
    assert bench.train(PRESETS["scratch-200"])[1] is network


def test_a_recipe_for_the_camera_gets_its_examples(bench: Workbench) -> None:
    def examples(recipe: Preset, data: Split, seed: int) -> Split:
        asked.append((recipe.through_camera, len(data), seed))
        return Split(np.zeros((60, 784), np.uint8), np.full(60, NOT_A_DIGIT, np.uint8))

    asked: list[tuple[bool, int, int]] = []
    bench = replace(bench, examples=examples, _done=[])
    small = replace(PRESETS["simard-800"], photographs=60)
    assert bench.train(small)[1].shapes[-1] == (10,)
    assert bench.train(small.for_camera(), seed=3)[1].shapes[-1] == (11,)
    assert asked == [(True, 600, 3)]


def test_rows_that_need_data_say_so() -> None:
    for name in ("scratch-200", "own-handwriting"):
        with pytest.raises(DatasetError, match=r"--data|--drawings"):
            ROWS[name](Workbench())


@pytest.mark.slow
def test_rows_are_printed_with_theirs_beside_ours_and_missing_data_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["reproduce", "by-hand"]) == 0
    printed = capsys.readouterr().out
    assert "cost after: theirs 0.011095884100559231, ours 0.01109588410055923" in printed
    assert main(["reproduce", "neuron", "scratch-200", "--quick"]) == 1
    printed = capsys.readouterr().out
    assert "neuron: one sigmoid" in printed
    assert "scratch-200: not done: these networks learn from MNIST: name its folder" in printed


def test_the_error_for_an_unknown_row_lists_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "giant"]) == 1
    assert capsys.readouterr().err.startswith("digits: there is no row 'giant': choose of neuron, ")


def test_a_folder_without_drawings_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "own-handwriting", "--drawings", str(tmp_path)]) == 1
    assert "there are no pictures in folders named 0 to 9" in capsys.readouterr().err


def test_an_interrupted_training_is_no_figure(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    bench = Workbench(
        load_split(tiny_mnist, "train"), load_split(tiny_mnist, "test"), say=interrupt
    )
    with pytest.raises(KeyboardInterrupt):
        ROWS["sgd-30"](bench)


def test_one_csv_is_not_both_training_and_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "digits.csv"
    table.write_text("5" + ",0" * 784)
    assert main(["reproduce", "scratch-200", "--quick", "--data", str(table)]) == 1
    assert "reproduce needs training and test digits: name a folder" in capsys.readouterr().err
