import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.books.rows import ROWS
from model.books.workbench import Outcome, Plot
from tests.bench.__main__ import main
from tests.bench.reproduction import render_document


def test_the_document_keeps_the_rows_that_were_done_before(tmp_path: Path) -> None:
    docs = str(tmp_path / "docs")
    assert main(["reproduction", "hill-climb", "--docs", docs]) == 0
    assert main(["reproduction", "by-hand", "--docs", docs]) == 0
    text = (tmp_path / "docs" / "reproduction.md").read_text()
    assert text.index("`hill-climb`") < text.index("`by-hand`")
    assert "| w2 | 2.451433410952623 | 2.451433410952623 |" in text
    stored = json.loads((tmp_path / "docs" / "reproduction.json").read_text())
    assert list(stored) == ["hill-climb", "by-hand"]


def test_quick_writes_nothing(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    assert main(["reproduction", "neuron", "--quick", "--docs", str(docs)]) == 0
    assert not docs.exists()


def test_the_measured_document_is_what_its_figures_give() -> None:
    measured = Path(__file__).parents[2] / "docs" / "measured"
    rows = json.loads((measured / "reproduction.json").read_text())
    assert (measured / "reproduction.md").read_text() == render_document(rows)


def test_the_pictures_of_a_row_are_written_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [[[digit / 9] * 28] * 28 for digit in range(10)]
    row = Outcome("drawn", [], plot=Plot("ten", pictures=pictures))
    monkeypatch.setitem(ROWS, "back-query", lambda bench: row)
    file, docs = tmp_path / "ten.png", str(tmp_path / "docs")
    assert main(["reproduction", "back-query", "--docs", docs, "--pictures", str(file)]) == 0
    grey = np.asarray(Image.open(file))
    assert grey.shape == (28, 280)
    assert grey[5, [3, 31, 279]].tolist() == [0, 28, 255]
    assert main(["reproduction", "neuron", "--docs", docs, "--pictures", str(tmp_path)]) == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"neuron": {"x": 1}}', '{"neuron": 3}'])
def test_a_foreign_store_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    store = tmp_path / "reproduction.json"
    store.write_text(text)
    assert main(["reproduction", "by-hand", "--docs", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert f"{store}: not what this bench wrote: move it away" in printed.err
    assert "by-hand" not in printed.out
    assert store.read_text() == text
