"""A network is a list of layers: forward is one loop, backward is the same loop reversed."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from model.layers import KINDS, Array, Dense, Layer, ReLU


class Network:
    """A stack of layers from pixels to ten scores.

    One that ends in a dense layer gives logits (it is trained with softmax cross-entropy); one that
    ends in a sigmoid gives ten values in 0…1 (it is trained with squared error).

    >>> network = build([["dense", 784, 30], ["sigmoid"], ["dense", 30, 10]], seed=1)
    >>> network.probabilities(np.zeros((1, 784), np.float32)).shape
    (1, 10)
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return the scores (n, 10) of a batch (n, 784) of pixels in 0…1."""
        for layer in self.layers:
            x = layer.forward(x, training=training)
        return x

    def backward(self, gradient: Array) -> Array:
        """Carry dL/d(scores) back to the pixels and fill each layer's gradients on the way."""
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient

    def probabilities(self, x: Array) -> Array:
        """Return (n, 10) values from 0 whose rows sum to 1: softmax, or each score's share."""
        scores = self.forward(x)
        if isinstance(self.layers[-1], Dense):
            return softmax(scores)
        total: Array = np.maximum(scores.sum(axis=1, keepdims=True), np.float32(1e-30))
        return scores / total

    def parameters(self) -> Iterator[tuple[str, Array, Array]]:
        """Yield (name, values, gradient) of every trained array, in a fixed order."""
        for position, layer in enumerate(self.layers):
            for name, values in layer.parameters.items():
                yield f"{position}.{name}", values, layer.gradients[name]

    def spec(self) -> list[list[Any]]:
        """Return the layers in the JSON form that `build` reads."""
        return [layer.spec() for layer in self.layers]

    def parameter_count(self) -> int:
        return sum(values.size for _, values, _ in self.parameters())

    def multiply_adds(self) -> int:
        """Return the multiply-adds of one forward pass of one digit."""
        return sum(
            layer.parameters["weights"].size for layer in self.layers if isinstance(layer, Dense)
        )


def softmax(scores: Array) -> Array:
    """Return e^s / Σ e^s along the last axis, shifted so that no score overflows."""
    shifted: Array = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def build(spec: Sequence[Sequence[Any]], seed: int = 0) -> Network:
    """Return a network for a spec such as `[["dense", 784, 30], ["sigmoid"], ["dense", 30, 10]]`.

    The weights are drawn from `seed`. Raises ValueError for a layer that does not exist or widths
    that do not fit each other.
    """
    layers: list[Layer] = []
    for kind, *sizes in spec:
        if kind not in KINDS:
            raise ValueError(f"there is no layer {kind!r}: the layers are {', '.join(KINDS)}")
        layers.append(KINDS[kind](*sizes))
    dense = [layer for layer in layers if isinstance(layer, Dense)]
    for before, after in pairwise(dense):
        if before.outputs != after.inputs:
            raise ValueError(f"{before.outputs} outputs do not fit {after.inputs} inputs")
    rng = np.random.default_rng(seed)
    for layer, following in pairwise([*layers, None]):
        if isinstance(layer, Dense):
            layer.initialise(rng, rectified=isinstance(following, ReLU))
    return Network(layers)
