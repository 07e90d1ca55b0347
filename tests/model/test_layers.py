"""Gradients of every layer against finite differences and, where it is installed, PyTorch."""

from typing import Any

import numpy as np
import pytest

from model.layers import BatchNorm, Dense, Dropout, Sigmoid
from model.network import KINDS, Network, build

UNITS = 24
"""Enough for a picture of 4×6 (Image) as well as for dense layers."""

IMAGE = ["image", 4, 6]
ENDS: dict[str, list[list[Any]]] = {
    "dense": [["dense", UNITS, 5]],
    "dense without bias": [["dense", UNITS, 5, False]],
    "relu": [["dense", UNITS, 7], ["relu"], ["dense", 7, 3]],
    "sigmoid": [["dense", UNITS, 7], ["sigmoid"], ["dense", 7, 3]],
    "tanh": [["dense", UNITS, 7], ["tanh"], ["dense", 7, 3]],
    "dropout": [["dense", UNITS, 7], ["dropout", 0.4], ["dense", 7, 3]],
    "batch-norm of units": [["dense", UNITS, 6], ["batch-norm", 6], ["dense", 6, 3]],
    "image and flatten": [IMAGE, ["flatten"], ["dense", UNITS, 3]],
    "conv": [IMAGE, ["conv", 1, 3, 3], ["flatten"], ["dense", 24, 4]],
    "conv of two channels, padded": [
        IMAGE,
        ["conv", 1, 2, 3, 1, False],
        ["conv", 2, 3, 2, 1],
        ["flatten"],
        ["dense", 105, 4],
    ],
    "max-pool": [IMAGE, ["conv", 1, 2, 1], ["max-pool", 2], ["flatten"], ["dense", 12, 4]],
    "max-pool with a rest": [IMAGE, ["conv", 1, 2, 1], ["max-pool", 4], ["flatten"]],
    "average-pool": [IMAGE, ["average-pool", 2], ["conv", 1, 2, 2], ["flatten"]],
    "average-pool with a rest": [IMAGE, ["conv", 1, 2, 1], ["average-pool", 3], ["flatten"]],
    "batch-norm of pictures": [IMAGE, ["conv", 1, 3, 3], ["batch-norm", 3], ["flatten"]],
}


def numeric(value: Any, array: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Return d(value)/d(array) by central differences."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = value()
        array[index] = kept - step
        below = value()
        array[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient


def same_dropout(network: Network) -> None:
    for layer in network.layers:
        if isinstance(layer, Dropout):
            layer._rng = np.random.default_rng(3)


def test_every_layer_is_checked() -> None:
    # The book's output layer does not follow the gradient, and has a test of its own.
    assert set(KINDS) - {"book-output"} == {kind for spec in ENDS.values() for kind, *_ in spec}


def test_the_books_rule_is_the_books() -> None:
    network = build([["dense", 4, 3, False], ["sigmoid"], ["book-output", 3, 2]], seed=1, inputs=4)
    rng = np.random.default_rng(2)
    x, target = rng.random((1, 4), dtype=np.float32), rng.random((1, 2), dtype=np.float32)
    y = network.forward(x, training=True)
    network.backward(y - target)

    # As the book writes it, with columns.
    wih, who = (layer.parameters["weights"] for layer in network.layers[::2])
    hidden = 1 / (1 + np.exp(-(wih @ x.T)))
    final = 1 / (1 + np.exp(-(who @ hidden)))
    output_errors = target.T - final
    hidden_errors = who.T @ output_errors
    who_change = (output_errors * final * (1 - final)) @ hidden.T
    wih_change = (hidden_errors * hidden * (1 - hidden)) @ x
    np.testing.assert_allclose(network.layers[2].gradients["weights"], -who_change, rtol=1e-4)
    np.testing.assert_allclose(network.layers[0].gradients["weights"], -wih_change, rtol=1e-4)
    np.testing.assert_allclose(network.fold().forward(x), y, rtol=1e-6)


@pytest.mark.parametrize("name", ENDS)
def test_backward_agrees_with_finite_differences(name: str) -> None:
    rng = np.random.default_rng(5)
    # In float64 the comparison is good to seven digits.
    network = build(ENDS[name], seed=2, inputs=UNITS, dtype=np.float64)
    x: Any = rng.standard_normal((6, UNITS))
    towards: Any = rng.standard_normal(network.forward(x).shape)

    def value() -> float:
        same_dropout(network)
        return float(np.vdot(network.forward(x, training=True), towards))

    value()
    dx = network.backward(towards.copy(), to_input=True)
    np.testing.assert_allclose(dx, numeric(value, x), rtol=1e-5, atol=1e-7)
    gradient = network.gradient.copy()
    np.testing.assert_allclose(gradient, numeric(value, network.weights), rtol=1e-5, atol=1e-7)
    # Without the input's gradient the weights' are the same.
    value()
    network.backward(towards.copy())
    np.testing.assert_array_equal(network.gradient, gradient)


@pytest.mark.parametrize("name", ENDS)
def test_everything_stays_float32(name: str) -> None:
    network = build(ENDS[name], seed=2, inputs=UNITS)
    x = np.random.default_rng(1).random((5, UNITS), dtype=np.float32)
    y = network.forward(x, training=True)
    dx = network.backward(y, to_input=True)
    assert dx is not None
    assert y.dtype == dx.dtype == np.float32
    for layer in network.layers:
        held = [v for v in {**vars(layer), **layer._buffers}.values() if isinstance(v, np.ndarray)]
        held += [*layer.parameters.values(), *layer.gradients.values(), *layer.statistics.values()]
        assert {array.dtype for array in held} <= {np.dtype(np.float32), np.dtype(np.bool_)}


@pytest.mark.parametrize("name", ENDS)
def test_float32_gradients_are_those_of_float64(name: str) -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((6, UNITS), dtype=np.float32)
    gradients = []
    for dtype in (np.float32, np.float64):
        network = build(ENDS[name], seed=2, inputs=UNITS, dtype=dtype)
        same_dropout(network)
        y = network.forward(x.astype(dtype), training=True)
        network.backward(np.ones_like(y))
        gradients.append(network.gradient)
    np.testing.assert_allclose(*gradients, rtol=1e-3, atol=1e-4)


def test_a_second_batch_of_another_size_is_not_mixed_with_the_first() -> None:
    spec = ENDS["conv of two channels, padded"]
    network = build(spec, seed=2, inputs=UNITS)
    x = np.random.default_rng(1).random((5, UNITS), dtype=np.float32)
    whole = network.forward(x)
    for rows in (slice(0, 2), slice(2, 5), slice(0, 5)):
        np.testing.assert_allclose(network.forward(x[rows]), whole[rows], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pool", ["max-pool", "average-pool"])
def test_a_second_step_through_a_pool_with_a_rest_is_as_right_as_the_first(pool: str) -> None:
    spec = [IMAGE, ["conv", 1, 2, 1], ["batch-norm", 2], [pool, 3], ["flatten"], ["dense", 4, 3]]
    x = np.random.default_rng(1).random((5, UNITS), dtype=np.float32)
    gradients = []
    network = build(spec, seed=2, inputs=UNITS)
    for _ in range(2):
        network.backward(np.ones_like(network.forward(x, training=True)))
        gradients.append(network.gradient.copy())
    np.testing.assert_array_equal(*gradients)


def test_a_padding_wider_than_the_output_is_no_matter() -> None:
    spec = [IMAGE, ["conv", 1, 1, 8, 4], ["flatten"]]
    x = np.random.default_rng(1).random((3, UNITS), dtype=np.float32)
    network = build(spec, seed=2, inputs=UNITS)
    padded = np.pad(x.reshape(3, 4, 6), ((0, 0), (4, 4), (4, 4)))
    kernel = network.layers[1].parameters["weights"][0, :, :, 0]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (8, 8), axis=(1, 2))
    expected = (windows * kernel).sum(axis=(3, 4)).reshape(3, -1)
    np.testing.assert_allclose(network.forward(x), expected, rtol=1e-4, atol=1e-5)


def test_sigmoid_overflows_for_no_input() -> None:
    y = Sigmoid().forward(np.array([[-1e30, -100, 0, 100, 1e30]], np.float32))
    np.testing.assert_allclose(y, [[0, 0, 0.5, 1, 1]], atol=1e-6)


@pytest.mark.parametrize(("rectified", "variance"), [(True, 2 / 400), (False, 1 / 400)])
def test_initial_weights_have_the_variance_of_he_and_lecun(
    rectified: bool, variance: float
) -> None:
    layer = Dense(400, 300)
    layer.initialise(np.random.default_rng(2), rectified=rectified)
    assert np.var(layer.parameters["weights"]) == pytest.approx(variance, rel=0.03)
    assert not layer.parameters["bias"].any()


def test_dropout_keeps_the_mean_and_does_nothing_outside_training() -> None:
    layer = Dropout(0.25)
    x = np.ones((200, 200), np.float32)
    y = layer.forward(x, training=True)
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.01)
    assert y.mean() == pytest.approx(1, abs=0.02)
    assert layer.forward(x) is x
    with pytest.raises(ValueError, match="from 0 to below 1, not 1"):
        Dropout(1.0)


def test_batch_norm_outside_training_uses_what_it_saw_in_training() -> None:
    layer = BatchNorm(2)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 5000), dtype=np.float32) * [[2], [0.5]] + [[3], [-1]]
    for _ in range(60):
        y = layer.forward(x.astype(np.float32), training=True)
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(y.var(axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(layer.forward(x.astype(np.float32)), y, atol=0.02)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([["conv", 1, 2, 3]], "conv layer takes pictures"),
        ([["image", 5, 5]], "no picture of 5×5"),
        ([IMAGE, ["conv", 2, 2, 3]], "convolution of 2 channels"),
        ([IMAGE, ["conv", 1, 2, 5]], "cannot take"),
        ([IMAGE, ["conv", 1, 2, 3, 3]], "padding of 3 leaves nothing for a kernel of 3"),
        ([IMAGE, ["max-pool", 5]], "max-pool of 5×5 cannot take"),
        ([["flatten"]], "flatten layer takes pictures"),
        ([["batch-norm", 23]], "batch-norm of 23 channels"),
        ([["dropout", -0.1]], "dropout takes a rate"),
    ],
)
def test_layers_that_do_not_fit_are_refused(spec: list[list[Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(spec, inputs=UNITS)


@pytest.mark.parametrize("name", ENDS)
def test_gradients_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    spec = [end for end in ENDS[name] if end[0] != "dropout"]
    network = build(spec, seed=2, inputs=UNITS, dtype=np.float64)
    x = np.random.default_rng(5).standard_normal((6, UNITS))
    y: Any = network.forward(x, training=True)  # type: ignore[arg-type]
    dx = network.backward(y.copy(), to_input=True)

    # The same network written with torch's functions: pictures are (n, channels, rows, columns).
    f = torch.nn.functional
    theirs: list[Any] = []
    start = torch.tensor(x, requires_grad=True)
    z = start
    for layer in network.layers:
        own = {
            key: torch.tensor(value, requires_grad=True) for key, value in layer.parameters.items()
        }
        theirs += [(own[key], layer.gradients[key]) for key in own]
        match layer.kind:
            case "image":
                z = z.reshape(-1, 1, 4, 6)
            case "flatten":
                z = z.permute(0, 2, 1, 3).reshape(len(x), -1)
            case "dense":
                z = f.linear(z, own["weights"], own.get("bias"))
            case "conv":
                kernels = own["weights"].permute(0, 3, 1, 2)
                z = f.conv2d(z, kernels, own.get("bias"), padding=layer.spec()[4])
            case "max-pool":
                z = f.max_pool2d(z, layer.spec()[1])
            case "average-pool":
                z = f.avg_pool2d(z, layer.spec()[1])
            case "batch-norm":
                z = f.batch_norm(z, None, None, None, own["shift"], training=True)
            case kind:
                z = getattr(torch, kind)(z)
    np.testing.assert_allclose(y.reshape(len(x), -1), z.detach().reshape(len(x), -1), rtol=1e-9)
    (z**2 / 2).sum().backward()
    np.testing.assert_allclose(dx, start.grad, rtol=1e-7, atol=1e-9)
    for their, our in theirs:
        np.testing.assert_allclose(our, their.grad, rtol=1e-7, atol=1e-9)
