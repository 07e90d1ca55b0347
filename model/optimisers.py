"""The optimisers and the schedules of the learning rate.

An optimiser updates a network's whole `weights` vector at once and allocates nothing after its
start.
"""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from model.layers import Array
from model.network import Network


class Optimiser(Protocol):
    steps: int
    """How many steps it has taken."""

    def arrays(self) -> Iterator[Array]:
        """Yield the arrays of its state, to be saved and restored."""

    def step(self, learning_rate: float) -> None:
        """Update the weights by the network's `gradient`, which it overwrites."""


class SGD:
    """Stochastic gradient descent with momentum: v ← m v + g; w ← w - η v, η the learning rate.

    `nesterov` looks ahead: w ← w - η (g + m v). `decay` adds decay · w to the gradient of kernels
    and matrices, not of biases. Source: I. Sutskever et al., "On the importance of
    initialization and momentum", 2013.
    """

    def __init__(
        self, network: Network, *, momentum: float = 0.0, nesterov: bool = False, decay: float = 0.0
    ) -> None:
        self._network, self._nesterov = network, nesterov
        self._momentum = momentum
        self._decay = _decay_vector(network, decay)
        self._change = np.empty_like(network.weights)
        self._velocity = np.zeros_like(network.weights) if momentum else None
        self.steps = 0

    def arrays(self) -> Iterator[Array]:
        if self._velocity is not None:
            yield self._velocity

    def step(self, learning_rate: float) -> None:
        weights, gradient, change = self._network.weights, self._network.gradient, self._change
        self.steps += 1
        if self._decay is not None:
            gradient += np.multiply(self._decay, weights, out=change)
        if self._velocity is None:
            gradient *= learning_rate
            weights -= gradient
            return
        self._velocity *= self._momentum
        self._velocity += gradient
        direction = self._velocity
        if self._nesterov:
            np.multiply(self._velocity, self._momentum, out=change)
            direction = np.add(change, gradient, out=change)
        weights -= np.multiply(direction, learning_rate, out=change)


class AdamW:
    """Adam with decoupled weight decay, of kernels and matrices only.

    Without `decay` it is Adam. Source: D. Kingma and J. Ba, "Adam", 2015; I. Loshchilov and
    F. Hutter, "Decoupled Weight Decay Regularization", 2019.
    """

    EPSILON = 1e-8

    def __init__(
        self, network: Network, *, mean: float = 0.9, square: float = 0.999, decay: float = 0.0
    ) -> None:
        self._network = network
        self._rates = mean, square
        self._decay = _decay_vector(network, decay)
        self.steps = 0
        self._mean, self._square = (np.zeros_like(network.weights) for _ in range(2))
        self._change = np.empty_like(network.weights)

    def arrays(self) -> Iterator[Array]:
        yield self._mean
        yield self._square

    def step(self, learning_rate: float) -> None:
        weights, gradient, change = self._network.weights, self._network.gradient, self._change
        self.steps += 1
        for average, rate, power in zip(
            (self._mean, self._square), self._rates, (1, 2), strict=True
        ):
            average *= rate
            np.multiply(gradient, 1 - rate, out=change)
            if power == 2:
                change *= gradient
            average += change
        if self._decay is not None:
            np.multiply(self._decay, weights, out=change)
            change *= learning_rate
            weights -= change
        mean_part, square_part = (1 - rate**self.steps for rate in self._rates)
        np.multiply(self._square, 1 / square_part, out=change)
        np.sqrt(change, out=change)
        change += self.EPSILON
        np.divide(self._mean, change, out=change)
        change *= learning_rate / mean_part
        weights -= change


def _decay_vector(network: Network, decay: float) -> Array | None:
    """Return `decay` for each weight of a kernel or matrix and 0 for each bias, or None for 0."""
    if not decay:
        return None
    return np.concatenate(
        [
            np.full(values.size, decay if values.ndim > 1 else 0, np.float32)
            for layer in network.layers
            for values in layer.parameters.values()
        ]
    )


OPTIMISERS: dict[str, Callable[..., Optimiser]] = {"sgd": SGD, "adamw": AdamW}


def constant(progress: float) -> float:
    """Return 1: the learning rate never changes."""
    return 1.0


def cosine(progress: float) -> float:
    """Fall from 1 at the start (progress 0) to 0 at the end (progress 1) along half a cosine."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def one_cycle(progress: float) -> float:
    """Rise from 1/25 to 1 over the first quarter, then fall to 0, along half cosines.

    Source: L. Smith and N. Topin, "Super-Convergence", 2018.
    """
    if progress < 0.25:
        return 1 - (1 - 1 / 25) * cosine(progress / 0.25)
    return cosine((progress - 0.25) / 0.75)


SCHEDULES = {"constant": constant, "cosine": cosine, "one-cycle": one_cycle}
