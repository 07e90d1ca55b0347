"""The benches of the reader: tiny runs, the same figures whoever shares the work, sentences."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from appliance.reader.reader import Reader
from appliance.reading import Reading, make_frame
from tests.bench import frames, hands, harness, pages
from tests.bench.__main__ import main
from tests.bench.harness import Score
from tests.conftest import SAMPLES

SMALL = ["--shape", "160x120"]


@pytest.fixture(autouse=True)
def use_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks of two frames, and leave out what is installed here and not there."""
    monkeypatch.setattr(harness, "BLOCK", 2)
    monkeypatch.setattr(hands, "_load_scikit_learn", lambda: None)
    monkeypatch.setattr(pages, "_save_plot", lambda file, paint: False)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photographs of a seven and one of bare paper."""
    for label in ("7", "none"):
        (tmp_path / "photos" / label).mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(SAMPLES / "7-shadow.jpg", tmp_path / "photos" / "7" / name)
    Image.new("L", (160, 120), 200).save(tmp_path / "photos" / "none" / "paper.png")
    return tmp_path / "photos"


@pytest.fixture
def digit_set(tmp_path: Path) -> Path:
    """Five digits of 16×16: upright strokes, labelled as ones."""
    images = np.zeros((5, 16, 16), np.uint8)
    images[:, 1:15, 7:9] = 255
    np.savez(tmp_path / "sixteen.npz", images=images, labels=np.ones(5, np.uint8))
    return tmp_path / "sixteen.npz"


def run_bench(out: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Run a bench and return its page without the times, and its figures without them."""
    assert main([*arguments, *SMALL, "--out", str(out)]) == 0
    page = (out / f"reading-{arguments[0]}.md").read_text()
    figures = json.loads((out / f"reading-{arguments[0]}.json").read_text())
    figures.pop("milliseconds", None)
    return re.sub(r"A (frame|sheet)\s+took[^|]*", "", page), figures


def run_in_one_and_two(tmp_path: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Run a bench in one process and in two, which must agree; return its page and figures."""
    alone = run_bench(tmp_path / "one", *arguments, "--processes", "1")
    assert run_bench(tmp_path / "two", *arguments, "--processes", "2") == alone
    return alone


def test_robustness_reads_the_same_digits_at_every_strength(
    tiny_mnist: Path, tmp_path: Path
) -> None:
    page, figures = run_in_one_and_two(
        tmp_path, "robustness", "--data", str(tiny_mnist), "--count", "3", "--factor", "noise",
    )  # fmt: skip
    assert figures["digits"] == 3
    assert list(figures["cells"]) == ["none 0.0", *(f"noise 0.{n}" for n in (1, 3, 5, 7, 9))]
    assert {cell["total"] for cell in figures["cells"].values()} == {3}
    assert figures["cells"]["none 0.0"]["right"] == 3
    assert page.count("| noise |") == 1
    assert "the middle strength" in page


def test_nothing_counts_every_kind_and_every_letter(tmp_path: Path) -> None:
    page, figures = run_in_one_and_two(tmp_path, "nothing", "--count", "1")
    assert figures["kinds"]["uniform"] == {
        "total": 1, "right": 0, "wrong": 0, "wrong_and_confident": 0, "refused": {"blank": 1},
    }  # fmt: skip
    assert {"grass", "edges", "letters", "salt-and-pepper"} <= set(figures["kinds"])
    assert {"letter A", "sign +"} <= set(figures["taken"])
    assert "| textures |" in page
    assert page.count("\n| letter ") + page.count("\n| sign ") <= 10


def test_sheets_are_grouped_by_the_number_of_their_digits(tiny_mnist: Path, tmp_path: Path) -> None:
    page, figures = run_in_one_and_two(
        tmp_path, "sheets", "--data", str(tiny_mnist), "--count", "5"
    )
    assert sum(answers["sheets"] for answers in figures["by_count"].values()) == 5
    assert all(int(n) * answers["sheets"] == answers["digits"]
               for n, answers in figures["by_count"].items())  # fmt: skip
    assert "| all | 5 |" in page


def test_hands_reads_each_set_twice_and_each_variant(digit_set: Path, tmp_path: Path) -> None:
    page, figures = run_in_one_and_two(tmp_path, "hands", "--sets", str(digit_set), "--count", "1")
    assert figures["sets"]["sixteen, as pictures"]["right"] == 5
    assert figures["sets"]["sixteen, on paper"]["total"] == 5
    assert figures["own"]["7 crossed"]["total"] == 1
    assert "| 1 long-foot | 1 |" in page


def test_drawings_are_dark_on_light_and_each_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "4").mkdir()
    Image.new("L", (28, 28), 255).save(tmp_path / "4" / "a.png")
    scans, labels = hands._load_drawings(tmp_path)
    assert (scans.shape, scans.max(), labels) == ((1, 28, 28), 0, [4])
    Image.new("L", (20, 28), 255).save(tmp_path / "4" / "b.png")
    with pytest.raises(ValueError, match=r"b\.png: it is 20×28, not 28×28"):
        hands._load_drawings(tmp_path)


def test_a_scan_becomes_a_picture_dark_on_light_with_room_around_it() -> None:
    scan = np.zeros((8, 8), np.float32)
    scan[2:6, 3:5] = 1
    picture = hands.enlarge(scan)
    assert picture.shape == (12 * 12, 12 * 12)
    assert picture[0, 0] == 235
    assert picture[72, 72] == 35


def test_calibration_counts_an_answer_to_no_digit_as_wrong(
    photos: Path, tiny_mnist: Path, tmp_path: Path
) -> None:
    page, figures = run_in_one_and_two(
        tmp_path, "calibration", "--photos", str(photos), "--data", str(tiny_mnist), "--count", "3",
    )  # fmt: skip
    answers = figures["answers"]
    assert answers["photographs of digits"]["of"] == 2
    assert answers["photographs, those without a digit too"]["of"] == 3
    assert (
        sum(each["count"] for each in answers["simulated sheets"]["bins"])
        == (answers["simulated sheets"]["answers"])
    )
    assert "## Simulated sheets" in page


def test_frames_reports_every_stage_and_the_memory(tmp_path: Path) -> None:
    page, figures = run_bench(tmp_path, "frames", "--count", "3")
    for kind in ("one digit", "twelve digits", "blank", "one digit on ruled paper",
                 "twelve digits in a shadow"):  # fmt: skip
        times = figures["times"][kind]
        assert times["ratio"] == pytest.approx(times["median"] / times["filter"])
        own = [share for name, share in times["shares"].items() if not name.startswith("·")]
        assert sum(own) == pytest.approx(1)
        assert min(own) >= 0
    assert figures["memory"]["early_frames"] == 1
    assert figures["memory"]["late"] > 10
    assert "Resident after 1 frames" in page


def test_stopwatches_measure_what_is_read_meanwhile_and_nothing_later(reader: Reader) -> None:
    blank = make_frame(np.full((120, 160), 200, np.uint8), 0.0)
    with frames.time_stages() as spent:
        reader.read(blank)
    assert {"reduce", "ink", "marks"} <= set(spent)
    before = dict(spent)
    reader.read(blank)
    assert spent == before


def test_a_score_counts_right_wrong_confident_and_why_not() -> None:
    score, other = Score(), Score()
    score.add(4, Reading(0.0, digit=4, confidence=0.8))
    score.add(4, Reading(0.0, digit=9, confidence=0.9))
    score.add(4, Reading(0.0, reason="unsure between 4 and 9"))
    other.add(None, Reading(0.0, digit=1, confidence=0.7))
    other.add(None, Reading(0.0, reason="unsure between 1 and 7"))
    score.include(other)
    assert (score.total, score.right, score.wrong, score.confident) == (5, 1, 2, 1)
    assert score.refusals == Counter({"unsure between two": 2})
    assert (score.accuracy, score.answered) == (0.2, 0.6)
    assert score.commonest_refusal == "unsure between two (2)"
    assert Score().commonest_refusal == ""


def test_a_quick_run_is_a_tenth_and_writes_nothing(
    tiny_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    arguments = ["--data", str(tiny_mnist), "--count", "20", "--quick", "--processes", "1", *SMALL]
    assert main(["sheets", *arguments]) == 0
    assert "| all | 2 |" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_plot_is_drawn_where_matplotlib_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.undo()
    assert main(["frames", "--count", "1", *SMALL, "--out", str(tmp_path)]) == 0
    assert "<svg" in (tmp_path / "reading-frames.svg").read_text()
    assert "![frames](reading-frames.svg)" in (tmp_path / "reading-frames.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["robustness", "--data", "{}"], "run 'digits data fetch"),
        (["robustness", "--data", "{}", "--factor", "fog"], "--factor fog: one of light"),
        (["sheets", "--data", "{}"], "run 'digits data fetch"),
        (["sheets", "--data", "{}", "--photos-sheets", "{}/s"], "sheets.tsv: not there: write a"),
        (["hands", "--sets", "{}/text.npz"], "text.npz: not a set: it is an .npz with images"),
        (["hands", "--sets", "{}/none.npz"], "none.npz: No such file"),
        (["hands", "--drawings", "{}"], "there are no pictures in folders named 0 to 9"),
        (["calibration", "--photos", "{}", "--data", "{}"], "there are no pictures in folders"),
        (["nothing", "--network", "{}/text.npz"], "text.npz"),
        (["frames", "--out", "{}/text.npz"], "cannot be written"),
    ],
)
def test_a_missing_or_unreadable_file_gives_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    out = [] if "--out" in arguments else ["--out", str(tmp_path)]
    filled = [each.replace("{}", str(tmp_path)) for each in arguments]
    assert main([*filled, *out, "--count", "1", *SMALL]) == 1
    message = capsys.readouterr().err
    assert message.startswith("tests.bench: ")
    assert sentence in message
    assert message.count("\n") == 1


def test_a_malformed_size_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["nothing", "--shape", "640"])
    assert caught.value.code == 2
    assert "640 is no size from 60x60" in capsys.readouterr().err
