import numpy as np
import pytest

from model.losses import LOSSES

SCORES = np.random.default_rng(8).standard_normal((6, 10), dtype=np.float32)
LABELS = np.array([0, 3, 9, 3, 5, 1], np.uint8)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_agrees_with_finite_differences(name: str) -> None:
    loss = LOSSES[name]
    _, gradient = loss(SCORES, LABELS)
    step = np.float32(1e-2)
    for index in [(0, 0), (1, 3), (2, 4), (5, 9)]:
        above, below = SCORES.copy(), SCORES.copy()
        above[index] += step
        below[index] -= step
        numeric = (loss(above, LABELS)[0] - loss(below, LABELS)[0]) / (2 * float(step))
        assert gradient[index] == pytest.approx(numeric, abs=2e-4)
    assert gradient.dtype == np.float32


def test_known_values() -> None:
    even = np.zeros((1, 10), np.float32)
    label = np.array([4], np.uint8)
    assert LOSSES["cross-entropy"](even, label)[0] == pytest.approx(np.log(10), rel=1e-6)
    assert LOSSES["squared-error"](even, label)[0] == pytest.approx(0.5)


def test_the_scores_are_left_as_they_were() -> None:
    for loss in LOSSES.values():
        before = SCORES.copy()
        loss(SCORES, LABELS)
        np.testing.assert_array_equal(SCORES, before)
