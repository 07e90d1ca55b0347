import numpy as np
import pytest

from model.losses import LOSSES, one_hot

SCORES = np.random.default_rng(8).standard_normal((6, 10), dtype=np.float32)
LABELS = np.array([0, 3, 9, 3, 5, 1], np.uint8)
TARGETS = {
    "hard": one_hot(LABELS),
    "the book's": one_hot(LABELS, 0.01, 0.99),
    "probabilities": one_hot(LABELS, 0.01, 0.91),
}


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_agrees_with_finite_differences(name: str, targets: str) -> None:
    loss, wanted = LOSSES[name], TARGETS[targets]
    if name == "cross-entropy" and targets == "the book's":
        pytest.skip("cross-entropy is of shares that sum to 1")
    _, gradient = loss(SCORES, wanted)
    step = np.float32(1e-2)
    for index in [(0, 0), (1, 3), (2, 4), (5, 9)]:
        above, below = SCORES.copy(), SCORES.copy()
        above[index] += step
        below[index] -= step
        numeric = (loss(above, wanted)[0] - loss(below, wanted)[0]) / (2 * float(step))
        assert gradient[index] == pytest.approx(numeric, abs=2e-4)
    assert gradient.dtype == np.float32


def test_known_values() -> None:
    even = np.zeros((1, 10), np.float32)
    label = one_hot(np.array([4], np.uint8))
    assert LOSSES["cross-entropy"](even, label)[0] == pytest.approx(np.log(10), rel=1e-6)
    assert LOSSES["squared-error"](even, label)[0] == pytest.approx(0.5)


def test_the_scores_are_left_as_they_were() -> None:
    for loss in LOSSES.values():
        before = SCORES.copy()
        loss(SCORES, TARGETS["hard"])
        np.testing.assert_array_equal(SCORES, before)


def test_targets_are_high_at_the_label_and_low_elsewhere() -> None:
    targets = one_hot(LABELS, 0.01, 0.99)
    assert targets.dtype == np.float32
    assert targets[1, 3] == np.float32(0.99)
    assert np.count_nonzero(targets == np.float32(0.01)) == 9 * len(LABELS)


def test_targets_have_as_many_columns_as_there_are_classes() -> None:
    assert one_hot(np.array([10, 3], np.uint8), classes=11).argmax(axis=1).tolist() == [10, 3]
