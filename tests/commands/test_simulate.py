import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from appliance.__main__ import main
from appliance.simulator.paper import FACTORS


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]


def test_pictures_and_their_labels_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--out", str(tmp_path / "a"), "--count", "3", "--digits", "2-4"]) == 0
    assert "3 pictures" in capsys.readouterr().out
    labels = lines(tmp_path / "a")
    assert [line["file"] for line in labels] == ["000000.png", "000001.png", "000002.png"]
    for line in labels:
        assert set(line) == {"file", "digits", "boxes", "factors", "seed"}
        assert 2 <= len(line["digits"]) == len(line["boxes"]) <= 4
        with Image.open(tmp_path / "a" / str(line["file"])) as picture:
            assert (picture.size, picture.mode) == ((640, 480), "L")


def test_one_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        main(["simulate", "--out", str(tmp_path / name), "--count", "1", "--seed", seed])
    one, two, other = (
        np.asarray(Image.open(tmp_path / name / "000000.png")) for name in ("a", "b", "c")
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_factors_hands_kinds_and_data_sets_are_as_the_options_say(
    tmp_path: Path, tiny_mnist: Path
) -> None:
    out = ["simulate", "--count", "2", "--out", str(tmp_path)]
    assert main([*out, "--hand", "crossed", "--factor", "light=0.5", "--factor", "tilt=1"]) == 0
    for line in lines(tmp_path):
        assert line["digits"] == [7]
        assert line["factors"] == {"light": 0.5, "tilt": 1.0}
    assert main([*out, "--nothing", "letters"]) == 0
    assert all(line["digits"] == [] for line in lines(tmp_path))
    assert main([*out, "--data", str(tiny_mnist)]) == 0
    assert all(len(line["digits"]) == 1 for line in lines(tmp_path))


def test_the_factors_are_listed_with_their_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--list"])
    assert ended.value.code == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(FACTORS)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--factor", "fog=1"], "no factor 'fog': one of light, shadow"),
        (["--factor", "light=2"], "a strength is a number from 0 to 1"),
        (["--factor", "light"], "a strength is a number from 0 to 1"),
        (["--digits", "0-3"], "like 4 or 2-12"),
        (["--digits", "many"], "like 4 or 2-12"),
    ],
)
def test_a_wrong_option_is_named(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--out", str(tmp_path), *options])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--hand", "gothic"], "--hand gothic: no such variant: one of "),
        (["--nothing", "cat"], "--nothing cat: no such kind: one of blank"),
        (["--data", "nowhere"], "nowhere"),
        (["--data", "nowhere", "--hand", "crossed"], "leave out --data"),
    ],
)
def test_what_does_not_exist_is_one_line_of_error(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--out", str(tmp_path), *options]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["simulate", "--out", str(tmp_path / "file" / "below")]) == 1
    assert "cannot be made" in capsys.readouterr().err
