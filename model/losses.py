"""The losses: each returns the mean over a batch and its gradient."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.layers import Array
from model.network import DIGITS, softmax

Labels = npt.NDArray[np.uint8]


class Loss(Protocol):
    def __call__(self, scores: Array, targets: Array) -> tuple[float, Array]:
        """Return the mean loss of a batch and dL/d(scores), of the scores' shape (n, classes)."""


def cross_entropy(scores: Array, targets: Array) -> tuple[float, Array]:
    """Softmax cross-entropy of logits: -Σ target · log p, whose gradient is p - target.

    Targets are rows of probabilities that sum to 1.
    """
    gradient = softmax(scores)
    floored = np.maximum(gradient, np.float32(1e-30))
    loss = -float(np.vdot(targets, np.log(floored, out=floored))) / len(scores)
    gradient -= targets
    gradient /= np.float32(len(scores))
    return loss, gradient


def squared_error(scores: Array, targets: Array) -> tuple[float, Array]:
    """½ |score - target|², the quadratic cost of Nielsen's book, chapter 1."""
    gradient = scores - targets
    loss = 0.5 * float(np.vdot(gradient, gradient)) / len(scores)
    gradient /= np.float32(len(scores))
    return loss, gradient


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "squared-error": squared_error}


def one_hot(labels: Labels, low: float = 0.0, high: float = 1.0, classes: int = DIGITS) -> Array:
    """Return targets (n, classes): `high` at each row's label and `low` elsewhere."""
    targets = np.full((len(labels), classes), low, np.float32)
    targets[np.arange(len(labels)), labels] = high
    return targets
