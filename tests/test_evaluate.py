from pathlib import Path

import numpy as np

from model import weights
from model.datasets import Split, load_split
from model.evaluate import Tally, evaluate
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
