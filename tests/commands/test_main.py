"""The `digits` command, as its user calls it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from appliance import __version__
from appliance.__main__ import COMMANDS, main
from appliance.device import machine
from appliance.doctor import board
from model import weights
from model.datasets import Split, load_split
from model.errors import DatasetError
from model.layers import Array
from model.network import NOT_A_DIGIT
from model.presets import PRESETS
from tests.conftest import ROOT, SAMPLES


@pytest.mark.parametrize("command", [*COMMANDS, "data fetch", "data import"])
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert re.search(rf"example: digits {command}", capsys.readouterr().out)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"digits {__version__}\n"
    assert (
        f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
        or "Unreleased" in (ROOT / "CHANGELOG.md").read_text()
    )


def test_read_prints_a_line_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(SAMPLES / "6-pencil.jpg"), str(SAMPLES / "none-blank.jpg")]
    assert main(["read", *files]) == 0
    one, two = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"{files[0]}: 6 \(\d+%\)", one)
    assert two == f"{files[1]}: no digit: blank"


def test_read_json_has_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", "--json", str(SAMPLES / "6-pencil.jpg")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == [
        "file", "digit", "reason", "confidence", "probabilities", "box", "milliseconds", "marks",
    ]  # fmt: skip
    assert answer["digit"] == 6
    assert answer["reason"] is None
    assert len(answer["probabilities"]) == 10
    x0, y0, x1, y1 = answer["box"]
    assert 0 <= x0 < x1 <= 640
    assert 0 <= y0 < y1 <= 480
    (mark,) = answer["marks"]
    assert list(mark) == ["digit", "reason", "confidence", "probabilities", "box"]
    assert mark == {key: answer[key] for key in mark}


def test_read_json_tells_every_digit_of_a_picture_in_reading_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [
        Image.open(SAMPLES / f"{name}.jpg").crop((150, 60, 490, 420))
        for name in ("3-pen", "0-pen", "2-marker")
    ]
    sheet = Image.new("L", (3 * 340, 360))
    for i, page in enumerate(pages):
        sheet.paste(page, (340 * i, 0))
    # On its side, as a telephone stores it.
    exif = Image.Exif()
    exif[0x0112] = 6
    sheet.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "302.jpg", exif=exif)
    assert main(["read", "--json", str(tmp_path / "302.jpg")]) == 0
    answer = json.loads(capsys.readouterr().out)
    marks = [mark for mark in answer["marks"] if mark["digit"] is not None]
    assert [mark["digit"] for mark in marks] == [3, 0, 2]
    for i, mark in enumerate(marks):
        x0, y0, x1, y1 = mark["box"]
        assert 340 * i <= x0 < x1 <= 340 * (i + 1)
        assert 0 <= y0 < y1 <= 360
    assert answer["box"] in [mark["box"] for mark in marks]


def test_read_reads_each_picture_of_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("6-pencil.jpg", "7-shadow.jpg"):
        shutil.copy(SAMPLES / name, tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    assert main(["read", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["6", "7"]


def test_read_names_what_it_cannot_open_and_reads_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "letter.jpg"
    text.write_text("Dear all")
    good = str(SAMPLES / "6-pencil.jpg")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["read", str(tmp_path / "none.jpg"), str(text), str(empty), good]) == 2
    said = capsys.readouterr()
    assert said.out.startswith(f"{good}: 6")
    assert said.err.splitlines() == [
        f"digits: {tmp_path / 'none.jpg'}: cannot be opened (No such file or directory)",
        f"digits: {text}: not a JPEG, PNG, WebP, BMP, GIF or TIFF picture",
        f"digits: {empty}: cannot be opened (Is a directory)",
    ]


def test_a_bad_weights_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.npz"
    bad.write_bytes(weights.SHIPPED.read_bytes()[:-5000])
    assert main(["read", "--network", str(bad), str(SAMPLES / "6-pencil.jpg")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"digits: {bad}: not a whole weights file")


@pytest.mark.slow
def test_train_writes_a_network_that_evaluates_as_its_card_says(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new.npz"
    arguments = ["train", "--data", str(tiny_mnist), "--out", str(out), "--epochs", "4"]
    assert main([*arguments, "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("appliance: the network that ships")
    assert "parameters" in lines[1]
    assert lines[2].startswith("4 epochs of 500 pictures: ")
    assert [line.split(":")[0] for line in lines[3:7]] == [f"epoch {n}/4" for n in (1, 2, 3, 4)]
    _, card = weights.load(out)
    assert (card["seed"], card["epochs"], card["interrupted"]) == (3, 4, False)
    assert card["command"] == (
        "digits train --data MNIST --out new.npz --preset appliance --epochs 4 --seed 3"
    )
    assert main(["evaluate", "--mnist", str(tiny_mnist), "--network", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["right"] == card["test"]["right"]
    assert answer["accuracy"] == card["test"]["accuracy"]
    first = out.read_bytes()
    assert main([*arguments, "--seed", "3"]) == 0
    assert out.read_bytes() == first


def half_blank(scan: Any, rng: np.random.Generator) -> tuple[Array, int]:
    """Stand in for the camera: half of its examples are digits, the others noise."""
    if rng.random() < 0.5:
        return scan(rng)  # type: ignore[no-any-return]
    return rng.random((28, 28), dtype=np.float32), NOT_A_DIGIT


@pytest.mark.slow
def test_train_through_the_camera_learns_to_refuse_and_tells_how_sure_it_is(
    tiny_mnist: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "appliance.simulator.training_glyphs.simulate_example", half_blank, raising=False
    )
    out = tmp_path / "new.npz"
    arguments = ["train", "--data", str(tiny_mnist), "--out", str(out), "--epochs", "4"]
    assert main([*arguments, "--through-camera"]) == 0
    said = capsys.readouterr().out
    assert "\n3,840 examples through the camera, 0:" in said
    assert re.search(r"validation [\d.]+% of digits, [\d.]+% through the camera", said)
    network, card = weights.load(out)
    assert network.shapes[-1] == (NOT_A_DIGIT + 1,)
    assert card["command"].endswith("--epochs 4 --seed 1 --through-camera")
    camera = card["camera"]
    assert camera["examples"] == 3840
    assert 0.2 <= camera["temperature"] <= 5
    assert 0 <= camera["calibration_error"]["after"] <= 1
    assert camera["validation_accuracy"] > 0.5
    assert main(["evaluate", "--mnist", str(tiny_mnist), "--network", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["right"] == card["test"]["right"]
    assert answer["refused"] == sum(row[NOT_A_DIGIT] for row in answer["confusion"])
    first = out.read_bytes()
    assert main([*arguments, "--through-camera"]) == 0
    assert out.read_bytes() == first


def test_a_network_that_is_not_for_the_camera_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--plan", "--preset", "sgd-30", "--through-camera"]) == 1
    assert "sgd-30 does not learn through the camera" in capsys.readouterr().err


def test_trains_help_names_the_presets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert ", ".join(PRESETS) in " ".join(capsys.readouterr().out.split())


def test_train_finds_out_first_what_would_lose_a_nights_work(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in (str(tmp_path / "no" / "such" / "folder.npz"), str(tmp_path), ".", "n" * 260):
        assert main(["train", "--data", str(tiny_mnist), "--out", out]) == 1
        assert f"digits: --out {out}: cannot be written" in capsys.readouterr().err
    assert main(["train", "--data", str(tmp_path), "--out", "x.npz"]) == 1
    assert "digits data fetch --to" in capsys.readouterr().err
    assert main(["train", "--data", str(tiny_mnist), "--out", "x.npz", "--preset", "huge"]) == 1
    assert "there is no preset 'huge'" in capsys.readouterr().err


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, label in [("6-pencil", "6"), ("7-shadow", "6"), ("none-blank", "3")] + [
        ("none-blank", "none"), ("none-scribble", "none"), ("2-marker", "none"),
    ]:  # fmt: skip
        (tmp_path / label).mkdir(exist_ok=True)
        shutil.copy(SAMPLES / f"{name}.jpg", tmp_path / label)
    (tmp_path / "6" / "broken.png").write_bytes(b"")
    return tmp_path


def test_evaluate_photos_counts_by_the_parent_folder(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--photos", str(photos), "--json"]) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert (answer["right"], answer["total"], answer["refused"]) == (1, 3, 1)
    assert answer["accuracy"] == pytest.approx(1 / 3)
    assert answer["wrong_and_confident"] == 1
    assert answer["confusion"][6][7] == 1
    assert answer["confusion"][3][10] == 1
    assert answer["none"] == {"total": 3, "refused": 2, "confident": 1}
    assert said.err.startswith("digits: left out: ")


def test_evaluate_prints_a_table_for_people(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--photos", str(photos)]) == 0
    out = capsys.readouterr().out
    assert "accuracy 33.33%: 1 of 3 right, 1 refused, 1 wrong (1 of them with confidence" in out
    assert "no digit: 2 of 3 refused" in out
    assert main(["evaluate", "--photos", str(photos / "6")]) == 1
    assert "no folders named 0 to 9" in capsys.readouterr().err


def test_data_import_names_what_is_missing(
    tmp_path: Path, tiny_mnist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Digits of the project's own are not MNIST, and are not taken for it.
    assert main(["data", "import", str(tiny_mnist), "--to", str(tmp_path / "to")]) == 1
    assert "its content is not MNIST's" in capsys.readouterr().err
    assert main(["data", "import", str(tmp_path), "--to", str(tmp_path / "to")]) == 1
    assert "none of MNIST's files is in it" in capsys.readouterr().err
    assert main(["data", "import", str(tmp_path / "none.gz"), "--to", str(tmp_path)]) == 1


def test_data_import_takes_the_real_files(
    shared_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = shared_mnist / "t10k-labels-idx1-ubyte.gz"
    assert main(["data", "import", str(labels), "--to", str(tmp_path)]) == 0
    assert "still missing" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["t10k-labels-idx1-ubyte"]


def test_data_fetch_offline_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror = "http://127.0.0.1:9/"
    assert main(["data", "fetch", "--to", str(tmp_path), "--mirror", mirror]) == 1
    assert "digits data import FOLDER" in capsys.readouterr().err
    assert main(["data", "fetch", "--to", str(tmp_path), "--mirror", "example.org"]) == 1
    assert "must start with http:// or https://" in capsys.readouterr().err


def test_read_uses_the_settings_that_run_uses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "digits.toml"
    config.write_text("[reader]\nleast_confidence = 1.0\n")
    picture = str(SAMPLES / "1-pencil.jpg")
    assert main(["read", "--config", str(config), picture]) == 0
    assert "no digit: unsure between 1 and 7" in capsys.readouterr().out
    config.write_text(f'[reader]\nnetwork = "{tmp_path}/none.npz"\n')
    assert main(["read", "--config", str(config), picture]) == 1
    assert "no such weights file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [DatasetError("it is damaged"), PermissionError(13, "Permission denied", "t10k")]
)
def test_a_network_is_written_although_it_cannot_be_measured(
    tiny_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def load(folder: Path, split: str) -> Split:
        if split == "test":
            raise error
        return really_load(folder, split)

    really_load = load_split
    monkeypatch.setattr("model.datasets.load_split", load)
    out = tmp_path / "new.npz"
    arguments = ["train", "--data", str(tiny_mnist), "--out", str(out), "--epochs", "1"]
    assert main(arguments) == 0
    assert "test" not in weights.load(out)[1]


def test_a_network_is_written_although_nobody_listens(tiny_mnist: Path, tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"n\xff.npz")
    command = [sys.executable, "-m", "appliance", "train", "--data", str(tiny_mnist)]
    with open("/dev/full", "w") as full:
        done = subprocess.run([*command, "--out", out, "--epochs", "2"], cwd=ROOT, stdout=full)
    assert done.returncode in (0, 1)
    assert weights.load(out)[1]["epochs"] == 2


def test_output_that_the_terminal_cannot_show_is_no_reason_to_stop(tmp_path: Path) -> None:
    picture = tmp_path / os.fsdecode(b"na\xffme.jpg")
    shutil.copy(SAMPLES / "6-pencil.jpg", picture)
    command = [sys.executable, "-m", "appliance", "read", os.fspath(picture)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    assert "6 (" in done.stdout


def test_what_the_system_refuses_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied", "/some/where")

    monkeypatch.setattr("model.datasets.load_split", refuse)
    assert main(["evaluate", "--mnist", str(tmp_path)]) == 1
    said = "digits: /some/where: Permission denied: check the path and its owner"
    assert capsys.readouterr().err.strip() == said


def test_train_interrupted_twice_still_writes_the_network(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new.npz"
    command = [sys.executable, "-m", "appliance", "train", "--data", str(tiny_mnist)]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--epochs", "100000"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(signal.SIGINT)
    next(line for line in process.stdout if "ending with the best" in line)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "written: " in rest
    _, card = weights.load(out)
    assert card["interrupted"] is True
    assert card["epochs"] >= 2


def test_doctor_tells_good_from_bad(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    # This machine's own state is another test's.
    for name in ("memory", "temperature", "power", "clock", "disk", "service", "timer"):
        monkeypatch.setattr(board, name, lambda *_: "well")
    monkeypatch.setattr(machine, "addresses", lambda: ["192.0.2.7"])
    config = tmp_path / "digits.toml"
    # A demo may run beside, on the usual port.
    config.write_text(
        f'[camera]\nsource = "folder:{SAMPLES}"\n[leds]\nlayout = "none"\n[web]\nport = {port}\n'
    )
    arguments = ["doctor", "--config", str(config), "--state", str(tmp_path)]
    assert main(["pin", "--state", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"✔ camera: folder:{SAMPLES}, 640×480" in "\n".join(lines)
    (wrong,) = [line for line in lines if line.startswith("✘")]
    assert wrong.startswith("✘ MNIST: ")
    assert any(re.match(r"✔ PIN: made at \d{4}-\d\d-\d\d \d\d:\d\d; ", line) for line in lines)
    assert f"run 'digits data fetch --to {tmp_path}/mnist'" in wrong
    assert main([*arguments, "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [finding["what"] for finding in findings if finding["good"] is False] == ["MNIST"]


@pytest.mark.parametrize(
    "words",
    [
        "captures list", "captures report", "networks promote x", "networks roll-back", "retrain",
        "backup x.zip", "restore x.zip", "pin --new", "run --camera folder:x --leds none",
    ],
)  # fmt: skip
def test_another_users_state_directory_wants_sudo(
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["digits"])
    state = tmp_path / "state"
    state.mkdir()
    (tmp_path / "x.zip").touch()
    assert main([*words.split(), "--state", str(state)]) == 1
    said = capsys.readouterr().err
    assert f"{state}: the state directory belongs to the user " in said
    assert "run the command with sudo" in said
    assert not list(state.iterdir())


def test_training_on_one_csv_measures_nothing_on_it_and_never_writes_over_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = tmp_path / "digits.csv", tmp_path / "new.npz"
    table.write_text("\n".join(f"{label}" + f",{label * 20}" * 784 for label in range(10)))
    before = table.read_bytes()
    arguments = ["train", "--preset", "scratch-tiny", "--data", str(table), "--out"]
    assert main([*arguments, str(table)]) == 1
    assert "is a file of the data set: name another" in capsys.readouterr().err
    assert table.read_bytes() == before
    assert main([*arguments, str(out)]) == 0
    said = capsys.readouterr().out
    assert "not measured on the test digits" in said
    assert "validation" not in said
    _, card = weights.load(out)
    assert "test" not in card
    assert card["validation_accuracy"] is None


def test_a_pipe_or_a_device_is_not_replaced_by_a_network(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert main(["train", "--data", str(tiny_mnist), "--out", str(tmp_path / "pipe")]) == 1
    assert "no regular file" in capsys.readouterr().err


def test_patience_needs_digits_to_be_patient_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "--preset", "sgd-30", "--patience", "3", "--plan"])
    assert caught.value.code == 2
    assert "sgd-30 holds no digits out to be patient for" in capsys.readouterr().err


def test_a_plan_needs_no_data_and_a_training_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--plan", "--preset", "scratch-tiny"]) == 0
    assert "1 epochs of 100 pictures" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["train", "--out", "x.npz"])
    assert caught.value.code == 2
    assert "--data DIR is needed" in capsys.readouterr().err
