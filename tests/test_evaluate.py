from pathlib import Path

from model import weights
from model.datasets import load_split
from model.evaluate import Tally, evaluate


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


def test_the_shipped_network_reads_mnist_as_its_card_says(shared_mnist: Path) -> None:
    network, card = weights.load(weights.SHIPPED)
    tally = evaluate(network, load_split(shared_mnist, "test"))
    # Another BLAS may round a borderline digit the other way.
    assert abs(tally.right - card["test"]["right"]) <= 3
    assert tally.accuracy >= 0.996
