"""The first chapters' networks: one neuron, XOR and the other gates, one step worked by hand."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from model.layers import Array
from model.losses import squared_error
from model.network import Network, build
from model.optimisers import SGD
from model.train import train_batch

GATES = {"OR": (0.1, 0.9, 0.9, 0.9), "AND": (0.1, 0.1, 0.1, 0.9), "XOR": (0.1, 0.9, 0.9, 0.1)}
"""Each gate's answers to (0.1, 0.1), (0.1, 0.9), (0.9, 0.1), (0.9, 0.9)."""

_PAIRS = [[0.1, 0.1], [0.1, 0.9], [0.9, 0.1], [0.9, 0.9]]


def neuron(steps: int = 10_000) -> float:
    """Train one sigmoid of three inputs, in full batches, and return its answer to (1, 0, 0).

    Source: M. Spencer-Harper, "How to build a simple neural network in 9 lines of Python", 2015.
    """
    network = build([["dense", 3, 1, False], ["sigmoid"]], inputs=3)
    network.weights[...] = _uniform(np.random.RandomState(1), 3)
    _gradient_descent(network, [[0, 0, 1], [1, 1, 1], [1, 0, 1], [0, 1, 1]], [0, 1, 1, 0], steps)
    return float(network.forward(np.array([[1, 0, 0]], np.float32))[0, 0])


def eleven_lines(steps: int = 60_000) -> float:
    """Train 3-4-1 sigmoids on the XOR of two inputs; return the mean error of its four answers.

    Source: A. Trask, "A Neural Network in 11 lines of Python", 2015.
    """
    network = build(
        [["dense", 3, 4, False], ["sigmoid"], ["dense", 4, 1, False], ["sigmoid"]], inputs=3
    )
    rng = np.random.RandomState(1)
    # The source's matrices are (inputs, outputs), filled row by row; ours are their transposes.
    network.layers[0].parameters["weights"][...] = _uniform(rng, 12).reshape(3, 4).T
    network.layers[2].parameters["weights"][...] = _uniform(rng, 4).reshape(4, 1).T
    x, y = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], [0, 1, 1, 0]
    _gradient_descent(network, x, y, steps)
    answers = network.forward(np.array(x, np.float32))[:, 0]
    return float(np.abs(answers - np.array(y, np.float32)).mean())


def logic(gate: str, *, hidden: int = 3, epochs: int = 5000, seed: int = 1) -> list[float]:
    """Train 2-n-1 sigmoids on a gate of `GATES`; return the sum-squared error of every epoch."""
    network = build(
        [["dense", 2, hidden], ["sigmoid"], ["dense", hidden, 1], ["sigmoid"]],
        seed,
        inputs=2,
        initial="unit",
    )
    x, y = np.array(_PAIRS, np.float32), np.array(GATES[gate], np.float32)[:, None]
    optimiser = SGD(network, momentum=0.9)
    # The loss is half of the mean over the four.
    return [8 * train_batch(network, squared_error, optimiser, 1.0, x, y) for _ in range(epochs)]


def hill_climb(*, hidden: int = 3, tries: int = 20_000, seed: int = 1) -> Iterator[float]:
    """Learn XOR by random changes of which those that help stay; yield the error after each try."""
    network = build(
        [["dense", 2, hidden], ["sigmoid"], ["dense", hidden, 1], ["sigmoid"]],
        seed,
        inputs=2,
        initial="unit",
    )
    x, y = np.array(_PAIRS, np.float32), np.array(GATES["XOR"], np.float32)[:, None]
    rng = np.random.default_rng(seed)
    least = float("inf")
    for _ in range(tries):
        before = network.weights.copy()
        if least < float("inf"):
            network.weights += rng.standard_normal(before.shape, dtype=np.float32) * np.float32(0.3)
        error = float(np.square(network.forward(x) - y).sum())
        if error < least:
            least = error
        else:
            network.weights[...] = before
        yield least


def by_hand() -> dict[str, float]:
    """Take one step of a 1-1-1 network in float64, as on paper; return its parameters and costs."""
    network = build(
        [["dense", 1, 1], ["sigmoid"], ["dense", 1, 1], ["sigmoid"]], inputs=1, dtype=np.float64
    )
    first, second = network.layers[0].parameters, network.layers[2].parameters
    for parameters, weight, bias in ((first, 1.58, -0.14), (second, 2.45, -0.11)):
        parameters["weights"][...] = weight
        parameters["bias"][...] = bias
    x: npt.NDArray[np.float64] = np.array([[0.8]])
    y: npt.NDArray[np.float64] = np.array([[1.0]])
    before = train_batch(network, squared_error, SGD(network), 0.1, x, y)  # type: ignore[arg-type]
    after, _ = squared_error(network.forward(x), y)  # type: ignore[arg-type]
    return {
        "b2": float(second["bias"][0]),
        "w2": float(second["weights"][0, 0]),
        "b1": float(first["bias"][0]),
        "w1": float(first["weights"][0, 0]),
        "cost before": before,
        "cost after": after,
    }


def _uniform(rng: np.random.RandomState, size: int) -> Array:
    """Draw weights in -1…1 with numpy's old generator: the sources' seed gives theirs."""
    return (2 * rng.random_sample(size) - 1).astype(np.float32)


def _gradient_descent(network: Network, x: list[list[int]], y: list[int], steps: int) -> None:
    """Take full-batch steps of learning rate 1 on the sum over the batch; the loss is its mean."""
    inputs, targets = np.array(x, np.float32), np.array(y, np.float32)[:, None]
    optimiser = SGD(network)
    for _ in range(steps):
        train_batch(network, squared_error, optimiser, float(len(y)), inputs, targets)
