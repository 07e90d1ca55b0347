import json
from pathlib import Path

import numpy as np
import pytest

from appliance.__main__ import main
from model import evaluation_report, weights
from model.datasets import Split, load_split
from model.evaluate import Tally, evaluate, predict
from model.network import NOT_A_DIGIT, build


def test_a_refusal_counts_as_not_right_and_is_told_apart() -> None:
    tally = Tally()
    for truth, answer, confidence in [(3, 3, 0.99), (3, 8, 0.95), (3, 8, 0.7), (5, None, 0.4)]:
        tally.add(truth, answer, confidence)
    assert (tally.right, tally.total, tally.refused) == (1, 4, 1)
    assert tally.wrong_and_confident == 1
    assert tally.accuracy == 0.25
    assert tally.per_digit()[3] == {"digit": 3, "right": 1, "total": 3, "refused": 0}
    assert tally.confusion[3].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0]
    assert tally.confusion[5, 10] == 1


def test_nothing_counted_is_no_accuracy() -> None:
    assert Tally().accuracy == 0


def test_the_answer_not_a_digit_is_a_refusal() -> None:
    network = build([["dense", 784, 11]])
    network.layers[0].parameters["bias"][NOT_A_DIGIT] = 5
    data = Split(np.zeros((3, 784), np.uint8), np.array([1, 1, 7], np.uint8))
    tally = evaluate(network, data)
    assert (tally.right, tally.refused, tally.wrong_and_confident) == (0, 3, 0)
    assert tally.per_digit()[1] == {"digit": 1, "right": 0, "total": 2, "refused": 2}


def test_the_shipped_network_reads_mnist_as_its_card_says(shared_mnist: Path) -> None:
    network, card = weights.load(weights.SHIPPED)
    tally = evaluate(network, load_split(shared_mnist, "test"))
    # Another BLAS may round a borderline digit the other way.
    assert abs(tally.right - card["test"]["right"]) <= 3


def test_a_report_is_read_on_a_board_of_32_bits(
    tiny_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build([["dense", 784, 10]], 1)
    data = load_split(tiny_mnist, "test")
    file = tmp_path / "a.report.json"
    file.write_bytes(
        evaluation_report.to_bytes(
            evaluation_report.make_report(network, data, predict(network, data))
        )
    )
    array = np.array
    monkeypatch.setattr(np, "array", lambda values: array(values).astype(np.int32))
    told = evaluation_report.load(file, weights.checksum(network))
    monkeypatch.undo()
    assert told is not None
    assert told.confusion.sum() == len(data)


def test_the_command_writes_a_report_with_the_wrong_digits_or_without(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = build([["dense", 784, 10]], 1)
    card = weights.save(tmp_path / "new.npz", network, {})
    # Before the first promotion there is no such folder.
    file = tmp_path / "networks" / "new.report.json"
    asked = ["evaluate", "--mnist", str(tiny_mnist), "--network", str(tmp_path / "new.npz")]
    assert main([*asked, "--json", "--report", str(file)]) == 0
    said = json.loads(capsys.readouterr().out)
    told = evaluation_report.load(file, card["sha256"])
    assert told is not None
    assert told.confusion.tolist() == said["confusion"]
    assert sum(each.count for each in told.bins) == said["total"] == 100
    data = load_split(tiny_mnist, "test")
    assert told.data == data.checksums
    for each in told.wrong:
        assert each.pixels is not None
        assert each.pixels.tolist() == data.images[each.number].tolist()
        assert each.label == data.labels[each.number] != each.answer
    assert main([*asked, "--report", str(file), "--no-pixels"]) == 0
    bare = evaluation_report.load(file, card["sha256"])
    assert bare is not None
    assert len(bare.wrong) == len(told.wrong) > 0
    assert {each.pixels for each in bare.wrong} == {None}


def test_a_report_that_cannot_be_is_a_sentence_before_the_work(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "report.json")
    assert main(["evaluate", "--photos", str(tmp_path), "--report", file]) == 1
    assert "--report is on MNIST's digits: give --mnist" in capsys.readouterr().err
    assert main(["evaluate", "--mnist", str(tiny_mnist), "--report", str(tmp_path)]) == 1
    assert f"--report {tmp_path}: cannot be written" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "--mnist", str(tiny_mnist), "--no-pixels"])
    assert "--no-pixels: it is for a --report" in capsys.readouterr().err
