"""The contact sheet of what was read wrongly."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from appliance.__main__ import main
from appliance.commands.contact_sheet import Failure, render_contact_sheet
from appliance.reading import Reading, make_frame
from tests.conftest import SAMPLES


def test_a_caption_has_the_file_the_label_and_the_answer(a_seven: Reading) -> None:
    failure = Failure(Path("photos/1/é.jpg"), "1", a_seven)
    assert failure.caption == f"1/?.jpg: 1 -> 7 ({a_seven.confidence:.2f})"
    blank = Reading(0.0, reason="blank")
    assert Failure(Path("a/b.png"), "3", blank).caption == "b.png".join(
        ("a/", ": 3 -> refused, blank (0.00)")
    )


def test_every_failure_has_its_strip_with_the_box_on_the_frame(a_seven: Reading) -> None:
    failure = Failure(Path("1/a.jpg"), "1", a_seven)
    one, three = render_contact_sheet([failure]), render_contact_sheet([failure] * 3)
    assert three.width > 2 * one.width - 20
    assert three.height > one.height
    assert (np.asarray(one) == (220, 30, 30)).all(axis=2).any()


def test_a_reading_without_a_mark_leaves_its_cells_empty() -> None:
    reading = Reading(0.0, reason="blank", frame=make_frame(np.full((90, 60), 200, np.uint8), 0.0))
    render_contact_sheet([Failure(Path("1/a.jpg"), "1", reading)])


def labelled(place: Path, label: str) -> Path:
    (place / label).mkdir(parents=True)
    (place / label / "a.jpg").write_bytes((SAMPLES / "7-shadow.jpg").read_bytes())
    return place


def test_evaluate_draws_what_was_read_wrongly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, sheet = labelled(tmp_path / "photos", "1"), tmp_path / "sheet.png"
    assert main(["evaluate", "--photos", str(photos), "--failures", str(sheet)]) == 0
    assert "0 of 1 right" in capsys.readouterr().out
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"


def test_without_a_failure_no_sheet_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, sheet = labelled(tmp_path / "photos", "7"), tmp_path / "sheet.png"
    assert main(["evaluate", "--photos", str(photos), "--failures", str(sheet)]) == 0
    assert "nothing was read wrongly" in capsys.readouterr().err
    assert not sheet.exists()


def test_failures_are_of_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = str(tmp_path / "sheet.png")
    assert main(["evaluate", "--mnist", str(tmp_path), "--failures", sheet]) == 1
    assert "--failures draws photographs: give --photos" in capsys.readouterr().err
