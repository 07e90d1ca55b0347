import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from appliance.__main__ import main
from model.books.rows import ROWS
from model.books.workbench import Ground, Outcome, Plot
from model.datasets import Split, load_split
from model.errors import DatasetError
from model.network import NOT_A_DIGIT
from model.presets import PRESETS, Preset

# Rows of the table, each of which has a function; `appliance` alone needs photographs.
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
def ground(tiny_mnist: Path) -> Ground:
    return Ground(
        training=load_split(tiny_mnist, "train"),
        test=load_split(tiny_mnist, "test"),
        quick=True,
        say=lambda text: None,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "own-handwriting"])
def test_a_row_gives_its_figures(name: str, ground: Ground) -> None:
    outcome = ROWS[name](ground)
    assert outcome.recipe
    assert outcome.lines
    assert all(line.what and line.theirs and line.ours for line in outcome.lines)


def test_a_network_is_trained_only_once(ground: Ground) -> None:
    first = ground.trained(PRESETS["scratch-200"])
    assert ground.trained(PRESETS["scratch-200"]) is first


def test_a_recipe_for_the_camera_gets_its_examples(ground: Ground) -> None:
    def examples(recipe: Preset, data: Split, seed: int) -> Split:
        asked.append((recipe.through_camera, len(data), seed))
        return Split(np.zeros((60, 784), np.uint8), np.full(60, NOT_A_DIGIT, np.uint8))

    asked: list[tuple[bool, int, int]] = []
    ground = replace(ground, examples=examples, _done=[])
    small = replace(PRESETS["simard-800"], photographs=60)
    assert ground.trained(small)[1].shapes[-1] == (10,)
    assert ground.trained(small.for_camera(), seed=3)[1].shapes[-1] == (11,)
    assert asked == [(True, 600, 3)]


def test_rows_that_need_data_say_so() -> None:
    for name in ("scratch-200", "own-handwriting"):
        with pytest.raises(DatasetError, match=r"--data|--drawings"):
            ROWS[name](Ground())


@pytest.mark.slow
def test_the_document_keeps_the_rows_that_were_done_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = str(tmp_path / "docs")
    assert main(["reproduce", "hill-climb", "--docs", docs]) == 0
    assert main(["reproduce", "by-hand", "--docs", docs]) == 0
    said = capsys.readouterr().out
    assert "cost after: theirs 0.011095884100559231, ours 0.01109588410055923" in said
    text = (tmp_path / "docs" / "reproduction.md").read_text()
    assert text.index("`hill-climb`") < text.index("`by-hand`")
    assert "| w2 | 2.451433410952623 | 2.451433410952623 |" in text
    stored = json.loads((tmp_path / "docs" / "reproduction.json").read_text())
    assert list(stored) == ["hill-climb", "by-hand"]


def test_quick_writes_nothing_and_a_lacking_data_set_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "docs"
    names = ["neuron", "scratch-200"]
    assert main(["reproduce", *names, "--quick", "--docs", str(docs)]) == 1
    said = capsys.readouterr().out
    assert "neuron: one sigmoid" in said
    assert "scratch-200: not done: these networks learn from MNIST: name its folder" in said
    assert not docs.exists()


def test_the_pictures_of_a_row_are_written_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [[[digit / 9] * 28] * 28 for digit in range(10)]
    row = Outcome("drawn", [], plot=Plot("ten", pictures=pictures))
    monkeypatch.setitem(ROWS, "back-query", lambda ground: row)
    file, docs = tmp_path / "ten.png", str(tmp_path / "docs")
    assert main(["reproduce", "back-query", "--docs", docs, "--pictures", str(file)]) == 0
    grey = np.asarray(Image.open(file))
    assert grey.shape == (28, 280)
    assert grey[5, [3, 31, 279]].tolist() == [0, 28, 255]
    assert main(["reproduce", "neuron", "--docs", docs, "--pictures", str(tmp_path)]) == 1


def test_an_unknown_row_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "giant"]) == 1
    assert capsys.readouterr().err.startswith("digits: there is no row 'giant': choose of neuron, ")


def test_drawings_that_are_not_28_by_28_are_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "own-handwriting", "--drawings", str(tmp_path)]) == 1
    assert "there are no pictures in folders named 0 to 9" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", '{"neuron": {"x": 1}}', '{"neuron": 3}'])
def test_a_store_that_is_not_ours_is_told_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    store = tmp_path / "reproduction.json"
    store.write_text(text)
    assert main(["reproduce", "by-hand", "--docs", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"digits: {store}: not what 'digits reproduce' wrote: move it away")
    assert "by-hand" not in said.out
    assert store.read_text() == text


def test_an_interrupted_training_is_no_figure(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    ground = Ground(load_split(tiny_mnist, "train"), load_split(tiny_mnist, "test"), say=interrupt)
    with pytest.raises(KeyboardInterrupt):
        ROWS["sgd-30"](ground)


def test_one_csv_is_not_both_training_and_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "digits.csv"
    table.write_text("5" + ",0" * 784)
    assert main(["reproduce", "scratch-200", "--quick", "--data", str(table)]) == 1
    assert "reproduce needs training and test digits: name a folder" in capsys.readouterr().err
