"""A network is a list of layers: forward is one loop, backward is the same loop reversed."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model.convolution import AveragePool, Conv2D, Flatten, Image, MaxPool, Pool
from model.layers import (
    Array,
    BatchNorm,
    BookOutput,
    Dense,
    Dropout,
    Layer,
    ReLU,
    Shape,
    Sigmoid,
    Tanh,
)

KINDS: dict[str, type[Layer]] = {
    layer.kind: layer
    for layer in (
        *(Dense, ReLU, Sigmoid, Tanh, Dropout, BatchNorm, BookOutput),
        *(Image, Conv2D, MaxPool, AveragePool, Flatten),
    )
}
DIGITS = 10
NOT_A_DIGIT = 10
"""The label, and the eleventh output, of what is no digit."""
SURE = 0.9
"""An answer of at least this probability is sure: a person would rely on it."""

ACTIVATIONS = ReLU, Sigmoid, Tanh, BookOutput


class Network:
    """A stack of layers from pixels to scores.

    One that ends in a sigmoid gives values in 0…1 and is trained with squared error; any other
    gives logits and is trained with softmax cross-entropy. All parameters stand in one vector
    `weights`, float32 (parameters,), and their gradients in `gradient`; each layer's arrays are
    views into these, and those of its batch-norm's statistics into `statistics`. `dtype` float64 is
    for checks of the arithmetic alone.

    >>> network = build([["dense", 784, 30], ["sigmoid"], ["dense", 30, 10]], seed=1)
    >>> network.probabilities(np.zeros((1, 784), np.float32)).shape
    (1, 10)
    """

    def __init__(
        self, layers: Sequence[Layer], inputs: int = 784, dtype: npt.DTypeLike = np.float32
    ) -> None:
        self.layers = list(layers)
        self.shapes: list[Shape] = [(inputs,)]
        for layer in self.layers:
            self.shapes.append(layer.output_shape(self.shapes[-1]))
        for layer in self.layers:
            layer.dtype = dtype
            layer.gradients = {name: np.zeros_like(p) for name, p in layer.parameters.items()}
        self.weights = _pack([layer.parameters for layer in self.layers], dtype)
        self.gradient = _pack([layer.gradients for layer in self.layers], dtype)
        self.statistics = _pack([layer.statistics for layer in self.layers], dtype)

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return the scores (n, outputs) of a batch (n, 784) of pixels in 0…1."""
        # A view: BLAS reads a matrix either way round.
        x = x.T
        for layer in self.layers:
            x = layer.forward(x, training=training)
        return x.T.copy()

    def backward(self, gradient: Array, *, to_input: bool = False) -> Array | None:
        """Propagate dL/d(scores) (n, outputs) back through the layers and fill `gradient`.

        Returns dL/d(pixels) (n, 784) with `to_input`, which costs more.
        """
        gradient = np.ascontiguousarray(gradient.T)
        for position, layer in reversed(list(enumerate(self.layers))):
            needed = to_input or any(before.parameters for before in self.layers[:position])
            gradient = layer.backward(gradient, to_input=needed)
        return gradient.T.copy() if to_input else None

    def probabilities(self, x: Array) -> Array:
        """Return the probabilities (n, outputs) of a batch (n, 784); rows sum to 1."""
        return self.to_probabilities(self.forward(x))

    @property
    def logits(self) -> bool:
        """Whether the scores are logits; else they are values in 0…1."""
        last = next(layer for layer in reversed(self.layers) if not isinstance(layer, Dropout))
        return not isinstance(last, Sigmoid | BookOutput)

    def to_probabilities(self, scores: Array) -> Array:
        """Return scores (n, outputs) as probabilities: logits by softmax, others by their sum."""
        if self.logits:
            return softmax(scores)
        total: Array = np.maximum(scores.sum(axis=1, keepdims=True), np.float32(1e-30))
        return scores / total

    def is_finite(self) -> bool:
        """Tell whether all values are finite, at most 1e6 either way, and no variance negative."""
        # NaN is not below the bound either; sums of larger ones would overflow float32.
        return all(
            bool((np.abs(values) < 1e6).all()) for values in (self.weights, self.statistics)
        ) and all(
            bool((layer.statistics["variance"] >= 0).all())
            for layer in self.layers
            if isinstance(layer, BatchNorm)
        )

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield (name, values) of every array that a weights file holds, in a fixed order."""
        for position, layer in enumerate(self.layers):
            for name, values in {**layer.parameters, **layer.statistics}.items():
                yield f"{position}.{name}", values

    def fold(self, gain: float = 1.0, offset: float = 0.0) -> "Network":
        """Return a network for inference: the same scores without batch-norm and dropout.

        A batch-norm is folded into the convolution or dense layer before it, directly or through a
        pool; any other stays. The book's output layer becomes a dense one and sigmoids. The new
        network takes x where this one takes gain · x + offset. Raises ValueError where its first
        layer cannot hold that.
        """
        layers: list[Layer] = []
        for layer in self.layers:
            if isinstance(layer, Dropout):
                continue
            before = [each for each in layers if not isinstance(each, Pool)]
            if isinstance(layer, BatchNorm) and before and isinstance(before[-1], Conv2D | Dense):
                scale, shift = layer.scale_and_shift()
                _fold_scale(before[-1], scale, shift)
                continue
            kind, *sizes = layer.spec()
            if isinstance(layer, Conv2D | Dense) and not layer.bias:
                kind, sizes = ("dense", sizes[:2]) if kind != "conv" else (kind, sizes[:4])
            copy = KINDS[kind](*sizes)
            for name, values in {**layer.parameters, **layer.statistics}.items():
                (copy.parameters | copy.statistics)[name][...] = values
            layers.append(copy)
            if isinstance(layer, BookOutput):
                layers.append(Sigmoid())
        if (gain, offset) != (1, 0):
            if not isinstance(layers[0], Dense):
                raise ValueError(f"a {layers[0].kind} layer cannot hold {gain} · x + {offset}")
            weights = layers[0].parameters["weights"]
            layers[0].parameters["bias"] += np.float32(offset) * weights.sum(axis=1)
            weights *= np.float32(gain)
        return Network(layers, self.shapes[0][0])

    def spec(self) -> list[list[Any]]:
        """Return the layers in the JSON form that `build` reads."""
        return [layer.spec() for layer in self.layers]

    def parameter_count(self) -> int:
        return int(self.weights.size)

    def multiply_adds(self) -> int:
        """Return the multiply-adds of one forward pass of one digit."""
        return sum(self._multiply_adds())

    def training_multiply_adds(self) -> int:
        """Return the multiply-adds of one forward and backward pass of one digit.

        Backward costs each layer the same again for its weights and for its input; the gradient of
        the first layer's input is not needed.
        """
        each = [cost for cost in self._multiply_adds() if cost]
        return 3 * sum(each) - each[0] if each else 0

    def _multiply_adds(self) -> list[int]:
        return [
            layer.multiply_adds(before)
            for layer, before in zip(self.layers, self.shapes[:-1], strict=True)
        ]


def softmax(scores: Array) -> Array:
    """Return e^s / Σ e^s along the last axis, shifted so that no score overflows."""
    shifted: Array = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def build(
    spec: Sequence[Sequence[Any]],
    seed: int = 0,
    *,
    inputs: int = 784,
    initial: str = "scaled",
    dtype: npt.DTypeLike = np.float32,
) -> Network:
    """Return a network for a spec such as `[["dense", 784, 30], ["sigmoid"], ["dense", 30, 10]]`.

    The weights are drawn from `seed`: "scaled" to each layer's inputs, or "unit", all of them and
    the biases normal with variance 1; "none" leaves them 0. Raises ValueError for
    a layer that does not exist or shapes that do not fit each other.
    """
    layers: list[Layer] = []
    for kind, *sizes in spec:
        if kind not in KINDS:
            raise ValueError(f"there is no layer {kind!r}: the layers are {', '.join(KINDS)}")
        layers.append(KINDS[kind](*sizes))
    network = Network(layers, inputs, dtype)
    if initial == "none":
        return network
    rng = np.random.default_rng(seed)
    if initial == "unit":
        network.weights[...] = rng.standard_normal(network.weights.shape, dtype=np.float32)
        return network
    for position, layer in enumerate(layers):
        later = (after for after in layers[position + 1 :] if isinstance(after, ACTIVATIONS))
        layer.initialise(rng, rectified=isinstance(next(later, None), ReLU))
    return network


def _pack(layers: Sequence[dict[str, Array]], dtype: npt.DTypeLike) -> Any:
    """Return one vector of all arrays, and put views into it in their places."""
    vector = np.empty(sum(array.size for arrays in layers for array in arrays.values()), dtype)
    start = 0
    for arrays in layers:
        for name, array in arrays.items():
            view = vector[start : start + array.size]
            view[...] = array.ravel()
            arrays[name] = view.reshape(array.shape)
            start += array.size
    return vector


def _fold_scale(layer: Conv2D | Dense, scale: Array, shift: Array) -> None:
    """Make y = W x + b into y = scale · (W x + b) + shift."""
    weights = layer.parameters["weights"]
    weights *= scale.reshape(-1, *[1] * (weights.ndim - 1))
    layer.parameters["bias"] *= scale
    layer.parameters["bias"] += shift
