"""One digit on its way through a network: what comes out of every layer."""

from typing import Any, NamedTuple

import numpy as np

from model.convolution import Conv2D, Image
from model.layers import Array, Dense, Layer, Shape
from model.network import Network, build

SOFTMAX, SHARES = "softmax", "shares"
"""The last step: what turns the scores into probabilities (`Network.shares`)."""


class Step(NamedTuple):
    """What one layer made of what the one before it gave.

    `values` are maps (channels, rows, columns) or units (units,). `kind` and `spec` are the
    layer's; the first step is always "image", the last SOFTMAX or SHARES.
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
    """Steps through a network, on a copy with arrays of its own.

    A layer writes into its own memory, which others who ask the same network would write into too.
    One thread at a time may ask.
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
        found = []
        if not isinstance(network.layers[0], Image):
            found.append(Step("image", _square(x[:, 0])[None]))
        # Weights far from what training makes can overflow on one picture and not on another.
        with np.errstate(all="ignore"):
            for layer, before in zip(network.layers, network.shapes[:-1], strict=True):
                x = layer.forward(x)
                found.append(
                    Step(
                        layer.kind,
                        _upright(x[..., 0]).copy(),
                        tuple(layer.spec()[1:]),
                        _parameters(layer),
                        layer.multiply_adds(before),
                    )
                )
            shares = network.to_probabilities(x.T.copy())[0]
        return [*found, Step(SOFTMAX if network.logits else SHARES, shares)]


def filters(network: Network) -> Array:
    """Return what the first layer that weighs looks for, one picture each: (n, rows, columns).

    A unit that looks at all the pixels has 28×28 weights; one that looks at units which are no
    picture has them as near to a square as they come, the rest zeros. A network without such a
    layer has none.
    """
    for layer in network.layers:
        if isinstance(layer, Conv2D):
            # The first layer of pictures sees one channel.
            kernels: Array = layer.parameters["weights"][..., 0]
            return kernels
        if isinstance(layer, Dense):
            return np.stack([_square(row) for row in layer.parameters["weights"]])
    return np.zeros((0, 1, 1), np.float32)


def _upright(values: Array) -> Array:
    """View pictures (rows, channels, columns) as (channels, rows, columns)."""
    return values.transpose(1, 0, 2) if values.ndim == 3 else values


def _square(units: Array) -> Array:
    """Return units as the picture nearest to a square; 784 are 28×28, as they were."""
    side = int(np.ceil(np.sqrt(len(units))))
    square = np.zeros(side * -(-len(units) // side), np.float32)
    square[: len(units)] = units
    return square.reshape(-1, side)


def _parameters(layer: Layer) -> int:
    return sum(values.size for values in layer.parameters.values())
