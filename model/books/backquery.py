"""Back-query: a label sent backwards through a network of sigmoids becomes a picture."""

import numpy as np

from model.errors import ModelError
from model.layers import Array, BookOutput, Dense, Sigmoid
from model.network import Network


def backquery(network: Network, digit: int, low: float = 0.01, high: float = 0.99) -> Array:
    """Return the picture (28, 28) in 0…1 that the label `digit` becomes, sent backwards.

    The target goes through the logit, the inverse of the sigmoid, then through each layer's
    transposed weights, and is rescaled to `low`…`high` before the next. Raises ModelError for a
    network of other layers than dense ones and sigmoids. Source: T. Rashid, "Make Your Own
    Neural Network", part 3.
    """
    signal = np.full(network.shapes[-1], low, np.float32)
    signal[digit] = high
    for layer in reversed(network.layers):
        match layer:
            case Sigmoid():
                signal = np.log(signal) - np.log(1 - signal)
            case Dense():
                if isinstance(layer, BookOutput):
                    signal = np.log(signal) - np.log(1 - signal)
                signal = _rescale(layer.parameters["weights"].T @ signal, low, high)
            case _:
                raise ModelError(
                    f"a {layer.kind} layer cannot be asked backwards: use a network of sigmoids, "
                    "such as scratch-200"
                )
    return _rescale(signal, 0.0, 1.0).reshape(28, 28)


def _rescale(values: Array, low: float, high: float) -> Array:
    least, most = float(values.min()), float(values.max())
    rescaled: Array = (values - least) * ((high - low) / max(most - least, 1e-30)) + low
    return rescaled
