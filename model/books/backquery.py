"""The label fed backwards: what a network of sigmoids thinks a digit looks like."""

import numpy as np

from model.errors import ModelError
from model.layers import Array, BookOutput, Dense, Sigmoid
from model.network import Network


def backquery(network: Network, digit: int, low: float = 0.01, high: float = 0.99) -> Array:
    """Return the picture (28, 28) in 0…1 that a label, sent backwards, comes out as.

    The answer that means `digit` goes through the logit and then through each layer's weights
    transposed, and what arrives is stretched to `low`…`high` before the next. Raises ModelError for
    a network that has other layers than dense ones and sigmoids. Source: T. Rashid, "Make Your Own
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
                signal = _stretched(layer.parameters["weights"].T @ signal, low, high)
            case _:
                raise ModelError(
                    f"a {layer.kind} layer cannot be asked backwards: use a network of sigmoids, "
                    "such as scratch-200"
                )
    return _stretched(signal, 0.0, 1.0).reshape(28, 28)


def _stretched(values: Array, low: float, high: float) -> Array:
    least, most = float(values.min()), float(values.max())
    stretched: Array = (values - least) * ((high - low) / max(most - least, 1e-30)) + low
    return stretched
