"""The gate between a candidate and the network in use."""

import numpy as np
import pytest
from scipy import stats

from appliance.training.gate import (
    Comparison,
    Predictions,
    compare_networks,
    compare_predictions,
    judge_candidate,
    predict,
)
from model.datasets import Split
from model.network import Network, build


def outcome(total: int, won: int, lost: int, before: int | None = None) -> Comparison:
    before = total // 2 if before is None else before
    return Comparison(total, before, before + won - lost, won, lost)


def gate(own: Comparison, contrary: float = 0.0, **others: Comparison) -> tuple[bool, str]:
    names = {"mnist": "MNIST", "hands": "other hands"}
    found = judge_candidate(
        {"your digits": own, **{names[k]: v for k, v in others.items()}}, contrary
    )
    return found.promoted, found.why


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (3, 0), (5, 2), (0, 7), (40, 21)])
def test_the_chances_are_those_of_the_exact_binomial_test(won: int, lost: int) -> None:
    found = outcome(200, won, lost)
    if won + lost:
        wanted = stats.binomtest(won, won + lost, alternative="greater").pvalue
        assert found.chance_of_gain == pytest.approx(wanted)
        wanted = stats.binomtest(lost, won + lost, alternative="greater").pvalue
        assert found.chance_of_loss == pytest.approx(wanted)
    else:
        assert found.chance_of_gain == found.chance_of_loss == 1


def test_what_is_better_on_ones_own_digits_and_no_worse_elsewhere_is_promoted() -> None:
    promoted, why = gate(outcome(60, 20, 2), mnist=outcome(2000, 4, 5), hands=outcome(500, 5, 9))
    assert promoted
    assert "48 of 60 of your held-out digits right, 30 before" in why


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (1, 0), (2, 0), (4, 3), (3, 9)])
def test_what_is_not_better_beyond_luck_is_not_promoted(won: int, lost: int) -> None:
    promoted, why = gate(outcome(60, won, lost), mnist=outcome(2000, 0, 0))
    assert not promoted
    assert "your digits" in why


@pytest.mark.parametrize(("won", "lost"), [(0, 3), (10, 13), (0, 40)])
def test_what_forgets_mnist_is_not_promoted(won: int, lost: int) -> None:
    promoted, why = gate(outcome(60, 20, 0), mnist=outcome(2000, won, lost, 1990))
    assert not promoted
    assert "worse on MNIST" in why


def test_a_loss_of_a_tenth_of_a_point_is_within_the_margin() -> None:
    assert gate(outcome(60, 20, 0), mnist=outcome(2000, 2, 4, 1990))[0]


def test_labels_that_contradict_each_other_are_named() -> None:
    promoted, why = gate(outcome(60, 20, 0), contrary=0.3, mnist=outcome(2000, 2, 2))
    assert not promoted
    assert "30% of those held out are read as another digit than their label" in why


def test_answers_tell_which_are_right_and_which_are_sure() -> None:
    network = build([["dense", 784, 10]])
    network.weights[...] = 0
    network.layers[0].parameters["bias"][3] = 8
    data = Split(np.zeros((300, 784), np.uint8), np.tile([3, 4, 5], 100).astype(np.uint8))
    found = predict(network, data, np.arange(3, 300))
    np.testing.assert_array_equal(found.right, np.tile([True, False, False], 99))
    assert found.sure.all()
    assert set(found.labels.tolist()) == {3}


def says(digit: int, sure: bool = True) -> Network:
    network = build([["dense", 784, 10]])
    network.weights[...] = 0
    network.layers[0].parameters["bias"][digit] = 8 if sure else 1
    return network


@pytest.mark.parametrize(
    ("before", "after", "contrary"),
    [
        (says(3), says(3), 0.75),
        (says(3), says(3, sure=False), 0.75),
        (says(3), says(4, sure=False), 0),
        (says(3, sure=False), says(4), 0.75),
        (says(3, sure=False), says(3, sure=False), 0),
    ],
)
def test_a_sure_answer_against_the_label_is_contrary_and_so_is_one_that_stays(
    before: Network, after: Network, contrary: float
) -> None:
    data = Split(np.zeros((100, 784), np.uint8), np.tile([3, 4, 5, 6], 25).astype(np.uint8))
    sets = {"your digits": (data, np.arange(100))}
    assert compare_networks(before, after, sets)[1] == contrary


def test_two_networks_are_compared_picture_by_picture() -> None:
    one, two = (
        Predictions(np.zeros(4, np.int64), np.array(right, bool), np.zeros(4, bool))
        for right in ([1, 1, 0, 0], [1, 0, 1, 1])
    )
    assert compare_predictions(one, two) == Comparison(total=4, before=2, after=3, won=2, lost=1)
