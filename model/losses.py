"""What a network is trained to make small; each returns the mean loss and its gradient."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.layers import Array
from model.network import softmax

Labels = npt.NDArray[np.uint8]


class Loss(Protocol):
    def __call__(self, scores: Array, labels: Labels) -> tuple[float, Array]:
        """Return the mean loss of a batch and dL/d(scores), the same shape as scores (n, 10)."""


def cross_entropy(scores: Array, labels: Labels) -> tuple[float, Array]:
    """Softmax cross-entropy of logits: -log p(label), whose gradient is p - onehot(label)."""
    rows = np.arange(len(labels))
    gradient = softmax(scores)
    loss = -float(np.mean(np.log(np.maximum(gradient[rows, labels], np.float32(1e-30)))))
    gradient[rows, labels] -= 1
    gradient /= np.float32(len(labels))
    return loss, gradient


def squared_error(scores: Array, labels: Labels) -> tuple[float, Array]:
    """½ |score - onehot(label)|², the quadratic cost of Nielsen's book, chapter 1."""
    gradient = scores.copy()
    gradient[np.arange(len(labels)), labels] -= 1
    loss = 0.5 * float(np.vdot(gradient, gradient)) / len(labels)
    gradient /= np.float32(len(labels))
    return loss, gradient


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "squared-error": squared_error}
