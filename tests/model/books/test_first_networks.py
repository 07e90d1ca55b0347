"""The first chapters' networks give their sources' figures."""

from itertools import pairwise

import pytest

from model.books.first_networks import GATES, by_hand, eleven_lines, hill_climb, logic, neuron
from model.books.rows import BY_HAND


def test_one_neuron_answers_as_its_source_says() -> None:
    assert neuron() == pytest.approx(0.99993704, abs=1e-6)


@pytest.mark.slow
def test_eleven_lines_learn_xor() -> None:
    assert eleven_lines(20_000) < 0.01


@pytest.mark.parametrize("gate", GATES)
def test_two_inputs_learn_a_gate(gate: str) -> None:
    errors = logic(gate, epochs=2000)
    assert errors[-1] < 0.01 < errors[0]


def test_hill_climbing_only_ever_falls() -> None:
    errors = list(hill_climb(tries=3000))
    assert all(later <= earlier for earlier, later in pairwise(errors))
    assert errors[-1] < errors[0] / 100


def test_the_step_worked_by_hand_is_exact() -> None:
    ours = by_hand()
    assert set(ours) == set(BY_HAND)
    for name, theirs in BY_HAND.items():
        assert abs(ours[name] - theirs) <= 1e-12
