import numpy as np
import pytest

from model.network import build, softmax

SPEC = [["dense", 784, 30], ["relu"], ["dense", 30, 10]]


def test_probabilities_are_ten_shares_of_one() -> None:
    x = np.random.default_rng(0).random((7, 784), dtype=np.float32)
    for last in ([], [["sigmoid"]]):
        shares = build([*SPEC, *last], seed=3).probabilities(x)
        assert shares.shape == (7, 10)
        assert shares.dtype == np.float32
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
        assert (shares >= 0).all()


def test_softmax_does_not_overflow() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0]], np.float32)), [[1, 0]])


def test_one_seed_gives_one_network() -> None:
    def weights(seed: int) -> bytes:
        return build(SPEC, seed).weights.tobytes()

    assert weights(4) == weights(4) != weights(5)


def test_counts_are_those_of_the_layers() -> None:
    network = build(SPEC)
    assert network.parameter_count() == 784 * 30 + 30 + 30 * 10 + 10
    assert network.multiply_adds() == 784 * 30 + 30 * 10


def test_the_spec_builds_the_same_layers_again() -> None:
    assert build(build(SPEC).spec()).spec() == SPEC


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ([["dance", 1, 2]], "no layer 'dance'"),
        ([["dense", 784, 3], ["dense", 4, 10]], "of 4 inputs cannot take"),
        ([["dense", 10, 10]], "of 10 inputs cannot take"),
    ],
)
def test_a_spec_that_makes_no_network_is_refused(spec: list[list[object]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build(spec)
