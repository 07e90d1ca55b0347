"""How the weights follow their gradients, and how the step shrinks over a training."""

import math

import numpy as np

from model.layers import Array
from model.network import Network


class SGD:
    """Mini-batch stochastic gradient descent with momentum: v ← m v - step g; w ← w + v."""

    def __init__(self, network: Network, *, momentum: float = 0.0) -> None:
        self._network = network
        self._momentum = np.float32(momentum)
        self._velocity: dict[str, Array] = {
            name: np.zeros_like(values) for name, values, _ in network.parameters()
        }

    def step(self, size: float) -> None:
        """Move every weight one step of `size` along its velocity."""
        for name, values, gradient in self._network.parameters():
            velocity = self._velocity[name]
            velocity *= self._momentum
            velocity -= np.float32(size) * gradient
            values += velocity


def constant(progress: float) -> float:
    """Return 1: the step never changes."""
    return 1.0


def cosine(progress: float) -> float:
    """Fall from 1 at the start (progress 0) to 0 at the end (progress 1) along half a cosine."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


SCHEDULES = {"constant": constant, "cosine": cosine}
