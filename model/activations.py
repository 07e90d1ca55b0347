"""The activations of a network: what every layer makes of one digit."""

from typing import Any, NamedTuple

import numpy as np

from model.convolution import Conv2D, Image
from model.layers import Array, Dense, Layer, Shape
from model.network import Network, build

SOFTMAX, SHARES = "softmax", "shares"
"""The kinds of the last step, which turns scores into probabilities."""


class Step(NamedTuple):
    """The output of one layer: maps (channels, rows, columns) or units (units,).

    `kind` and `spec` are the layer's; the first step is always "image", the last SOFTMAX or SHARES.
    """

    kind: str
    values: Array
    spec: tuple[Any, ...] = ()
    parameters: int = 0
    multiply_adds: int = 0

    @property
    def shape(self) -> Shape:
        return self.values.shape


class Tracer:
    """Records the activations of a network, on a copy: layers overwrite their own arrays.

    Not for more than one thread at a time.
    """

    def __init__(self, network: Network) -> None:
        self._network = build(network.spec(), inputs=network.shapes[0][0])
        self._network.weights[...] = network.weights
        self._network.statistics[...] = network.statistics

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Each layer's kind, shape (channels, rows, columns) or (units,), and what it costs."""
        network = self._network
        return [
            {
                "kind": layer.kind,
                "shape": [after[1], after[0], after[2]] if len(after) == 3 else list(after),
                "parameters": _parameters(layer),
                "multiply_adds": layer.multiply_adds(before),
            }
            for layer, before, after in zip(
                network.layers, network.shapes[:-1], network.shapes[1:], strict=True
            )
        ]

    def steps(self, pixels: Array) -> list[Step]:
        """Return all steps from pixels (784,) in 0…1 to the probabilities."""
        network = self._network
        x: Array = pixels.reshape(-1, 1).astype(np.float32)
        steps = []
        if not isinstance(network.layers[0], Image):
            steps.append(Step("image", _square(x[:, 0])[None]))
        # Weights far from what training makes can overflow on one picture and not on another.
        with np.errstate(all="ignore"):
            for layer, before in zip(network.layers, network.shapes[:-1], strict=True):
                x = layer.forward(x)
                steps.append(
                    Step(
                        layer.kind,
                        _channels_first(x[..., 0]).copy(),
                        tuple(layer.spec()[1:]),
                        _parameters(layer),
                        layer.multiply_adds(before),
                    )
                )
            probabilities = network.to_probabilities(x.T.copy())[0]
        return [*steps, Step(SOFTMAX if network.logits else SHARES, probabilities)]


def filters(network: Network) -> Array:
    """Return the weights of the first layer that has some, as pictures (n, rows, columns).

    These are a convolution's kernels, or the weights of each dense unit: 28×28 on pixels, else
    nearly square and filled up with zeros. Without such a layer there are none.
    """
    for layer in network.layers:
        if isinstance(layer, Conv2D):
            # The first layer of pictures sees one channel.
            kernels: Array = layer.parameters["weights"][..., 0]
            return kernels
        if isinstance(layer, Dense):
            return np.stack([_square(row) for row in layer.parameters["weights"]])
    return np.zeros((0, 1, 1), np.float32)


def _channels_first(values: Array) -> Array:
    """View a picture (rows, channels, columns) as (channels, rows, columns)."""
    return values.transpose(1, 0, 2) if values.ndim == 3 else values


def _square(units: Array) -> Array:
    """Return units as a picture, nearly square and filled up with zeros; 784 are 28×28."""
    side = int(np.ceil(np.sqrt(len(units))))
    square = np.zeros(side * -(-len(units) // side), np.float32)
    square[: len(units)] = units
    return square.reshape(-1, side)


def _parameters(layer: Layer) -> int:
    return sum(values.size for values in layer.parameters.values())
