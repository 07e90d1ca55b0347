"""The layers of a network: each has a forward pass and its gradient, the backward pass.

All arrays are float32, and the examples of a batch lie along the last axis, as columns, the way
the books write it: y = W x. Units are (units, n). Pictures are (rows, channels, columns, n), so
that one row of one channel is contiguous over the whole batch (`convolution.py` says what else this
order buys).

A layer owns the arrays that it returns and overwrites them with the next batch. `backward` takes
dL/d(output) of the last forward pass, which was one of training, and may overwrite it.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Shape = tuple[int, ...]


class Layer(ABC):
    """The base of every layer.

    `parameters` are trained and have `gradients` of the same shapes; `statistics` are measured
    during training and saved with the parameters. A layer without weights has none of them.
    """

    kind: str
    dtype: npt.DTypeLike = np.float32

    def __init__(self) -> None:
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.statistics: dict[str, Array] = {}
        self._buffers: dict[str, npt.NDArray[Any]] = {}

    @abstractmethod
    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return the layer's output; with `training` also store what `backward` needs."""

    @abstractmethod
    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        """Fill `gradients` and return dL/d(input), which is undefined without `to_input`."""

    def initialise(self, rng: "np.random.Generator", *, rectified: bool) -> None:  # noqa: B027
        """Draw random weights, if there are any; `rectified` where a ReLU follows."""

    def output_shape(self, before: Shape) -> Shape:
        """Return one example's output shape; raises ValueError where the input does not fit."""
        return before

    def multiply_adds(self, before: Shape) -> int:
        """Return the multiply-adds of one example's forward pass."""
        return 0

    def spec(self) -> list[Any]:
        """Return the JSON form that `network.build` turns back into this layer."""
        return [self.kind]

    def _buffer(self, name: str, shape: Shape, dtype: npt.DTypeLike | None = None) -> Any:
        """Return the layer's own array of this name, zeros where it is new or of another shape."""
        array = self._buffers.get(name)
        if array is None or array.shape != shape:
            array = self._buffers[name] = np.zeros(shape, dtype or self.dtype)
        return array


class Dense(Layer):
    """Fully connected: y = W x + b, with W (outputs, inputs) and b (outputs,).

    `bias=False` leaves b out, as the networks of Rashid's book do.
    """

    kind = "dense"

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.inputs, self.outputs, self.bias = inputs, outputs, bias
        self.parameters = {"weights": np.zeros((outputs, inputs), np.float32)}
        if bias:
            self.parameters["bias"] = np.zeros(outputs, np.float32)

    def initialise(self, rng: "np.random.Generator", *, rectified: bool) -> None:
        weights = self.parameters["weights"]
        weights[...] = draw_weights(rng, weights.shape, self.inputs, rectified)

    def forward(self, x: Array, *, training: bool = False) -> Array:
        if training:
            self._x = x
        y: Array = self._buffer("y", (self.outputs, x.shape[1]))
        np.matmul(self.parameters["weights"], x, out=y)
        if self.bias:
            y += self.parameters["bias"][:, None]
        return y

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        if gradient.shape[1] == 1:
            # For an outer product numpy's own multiplication is several times as fast as BLAS.
            np.multiply(gradient, self._x.T, out=self.gradients["weights"])
        else:
            np.matmul(gradient, self._x.T, out=self.gradients["weights"])
        if self.bias:
            np.sum(gradient, axis=1, out=self.gradients["bias"])
        dx: Array = self._buffer("dx", self._x.shape)
        if to_input:
            np.matmul(self.parameters["weights"].T, gradient, out=dx)
        return dx

    def output_shape(self, before: Shape) -> Shape:
        if before != (self.inputs,):
            raise ValueError(f"a dense layer of {self.inputs} inputs cannot take {before}")
        return (self.outputs,)

    def multiply_adds(self, before: Shape) -> int:
        return self.inputs * self.outputs

    def spec(self) -> list[Any]:
        return [self.kind, self.inputs, self.outputs, *([] if self.bias else [False])]


class BookOutput(Dense):
    """A dense layer without bias and its sigmoids, trained by the rule of Rashid's book.

    The book propagates the plain error, without the sigmoid's slope: "errors from the output are
    split across the weights". So `backward` returns W^T e where the gradient is W^T (e y (1 - y));
    the gradient of its own weights is exact.
    """

    kind = "book-output"

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.sigmoid = Sigmoid()

    def forward(self, x: Array, *, training: bool = False) -> Array:
        self.sigmoid.dtype = self.dtype
        return self.sigmoid.forward(super().forward(x, training=training))

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        error = gradient.copy()
        super().backward(self.sigmoid.backward(gradient), to_input=False)
        dx: Array = self.parameters["weights"].T @ error
        return dx

    def spec(self) -> list[Any]:
        return [self.kind, self.inputs, self.outputs]


class ReLU(Layer):
    """max(x, 0)."""

    kind = "relu"

    def forward(self, x: Array, *, training: bool = False) -> Array:
        self._y: Array = self._buffer("y", x.shape)
        y: Array = np.maximum(x, np.float32(0), out=self._y)
        return y

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        mask = self._buffer("mask", self._y.shape, np.bool_)
        gradient *= np.greater(self._y, np.float32(0), out=mask)
        return gradient


class Sigmoid(Layer):
    """1 / (1 + e^-x), computed as (1 + tanh(x / 2)) / 2, which cannot overflow."""

    kind = "sigmoid"

    def forward(self, x: Array, *, training: bool = False) -> Array:
        half = np.float32(0.5)
        y: Array = self._buffer("y", x.shape)
        np.multiply(x, half, out=y)
        np.tanh(y, out=y)
        y *= half
        y += half
        self._y = y
        return y

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        gradient *= self._y
        gradient *= np.subtract(np.float32(1), self._y, out=self._buffer("rest", self._y.shape))
        return gradient


class Tanh(Layer):
    """The hyperbolic tangent."""

    kind = "tanh"

    def forward(self, x: Array, *, training: bool = False) -> Array:
        self._y: Array = self._buffer("y", x.shape)
        return np.tanh(x, out=self._y)

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        slope = np.multiply(self._y, self._y, out=self._buffer("slope", self._y.shape))
        gradient *= np.subtract(np.float32(1), slope, out=slope)
        return gradient


class Dropout(Layer):
    """Set units to 0 at random with probability `rate` in training, and scale the rest up.

    Outside training nothing happens (inverted dropout). Source: N. Srivastava et al., "Dropout",
    2014.
    """

    kind = "dropout"

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"dropout takes a rate from 0 to below 1, not {rate}")
        self.rate = rate
        self._rng = np.random.default_rng(0)

    def initialise(self, rng: "np.random.Generator", *, rectified: bool) -> None:
        self._rng = np.random.default_rng(rng.integers(2**32))

    @property
    def random_state(self) -> Any:
        """The state of the random generator, as numpy gives and takes it."""
        return self._rng.bit_generator.state

    @random_state.setter
    def random_state(self, state: Any) -> None:
        self._rng.bit_generator.state = state

    def forward(self, x: Array, *, training: bool = False) -> Array:
        if not training:
            return x
        mask: Array = self._buffer("mask", x.shape)
        mask[...] = self._rng.random(x.shape, dtype=np.float32)
        np.greater_equal(mask, np.float32(self.rate), out=mask)
        mask *= np.float32(1 / (1 - self.rate))
        y: Array = np.multiply(x, mask, out=self._buffer("y", x.shape))
        return y

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        gradient *= self._buffers["mask"]
        return gradient

    def spec(self) -> list[Any]:
        return [self.kind, self.rate]


class BatchNorm(Layer):
    """Normalise each unit or channel to mean 0 and variance 1 over the batch, then shift it.

    There is no trained scale: before a ReLU the next layer's weights can hold it, and without it
    the layer can be folded into the one before, through a max-pool too. `statistics` are moving
    averages over training batches, used outside training. Source: S. Ioffe and C. Szegedy, "Batch
    Normalization", 2015.
    """

    kind = "batch-norm"
    MOMENTUM = 0.9
    EPSILON = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.parameters = {"shift": np.zeros(channels, np.float32)}
        self.statistics = {
            "mean": np.zeros(channels, np.float32),
            "variance": np.ones(channels, np.float32),
        }

    def forward(self, x: Array, *, training: bool = False) -> Array:
        rows = self._rows(x)
        y: Array = self._buffer("y", rows.shape)
        if not training:
            scale, shift = self.scale_and_shift()
            np.multiply(rows, scale[:, None], out=y)
            y += shift[:, None]
            return y.reshape(x.shape)
        self._count = np.float32(rows.shape[0] * rows.shape[2])
        mean = _sum_channels(rows) / self._count
        self._centred: Array = self._buffer("centred", rows.shape)
        np.subtract(rows, mean[:, None], out=self._centred)
        variance = _dot_channels(self._centred, self._centred) / self._count
        self._scale: Array = np.reciprocal(np.sqrt(variance + np.float32(self.EPSILON)))
        np.multiply(self._centred, self._scale[:, None], out=y)
        y += self.parameters["shift"][:, None]
        for name, value in (("mean", mean), ("variance", variance)):
            average = self.statistics[name]
            average += np.float32(1 - self.MOMENTUM) * (value - average)
        return y.reshape(x.shape)

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        dy = self._rows(gradient)
        self.gradients["shift"][...] = _sum_channels(dy)
        # dx = s (dy - mean(dy) - x̂ mean(dy x̂)), x̂ = s · centred: the paper's equations in one.
        along = _dot_channels(dy, self._centred) * self._scale**2 / self._count
        dy -= (self.gradients["shift"] / self._count)[:, None]
        self._centred *= along[:, None]
        dy -= self._centred
        dy *= self._scale[:, None]
        return gradient

    def scale_and_shift(self) -> tuple[Array, Array]:
        """Return (channels,) each: outside training the layer is y = scale · x + shift."""
        scale: Array = np.reciprocal(
            np.sqrt(self.statistics["variance"] + np.float32(self.EPSILON))
        )
        shift: Array = self.parameters["shift"] - self.statistics["mean"] * scale
        return scale, shift

    def output_shape(self, before: Shape) -> Shape:
        # Pictures are (rows, channels, columns), units are (channels,).
        if (before[1] if len(before) == 3 else before[0]) != self.channels:
            raise ValueError(f"a batch-norm of {self.channels} channels cannot take {before}")
        return before

    def spec(self) -> list[Any]:
        return [self.kind, self.channels]

    def _rows(self, x: Array) -> Array:
        """View pictures (h, c, w, n) or units (c, n) as (h or 1, c, rest), without a copy."""
        return x.reshape(x.shape[0] if x.ndim == 4 else 1, self.channels, -1)


def _sum_channels(rows: Array) -> Array:
    """Return the sum of each channel of (h, c, m), as (c,)."""
    total: Array = (rows @ np.ones(rows.shape[2], np.float32)).sum(axis=0)
    return total


def _dot_channels(a: Array, b: Array) -> Array:
    """Return the sum of a · b over each channel of (h, c, m), as (c,), through BLAS's dot."""
    total: Array = (a[:, :, None, :] @ b[:, :, :, None]).sum(axis=(0, 2, 3))
    return total


def draw_weights(rng: "np.random.Generator", shape: Shape, inputs: int, rectified: bool) -> Array:
    """Draw normal weights of variance 2 / inputs before a ReLU, else 1 / inputs.

    Sources: K. He et al., "Delving Deep into Rectifiers", 2015; Y. LeCun et al., "Efficient
    BackProp", 1998.
    """
    variance = (2.0 if rectified else 1.0) / inputs
    values: Array = rng.standard_normal(shape, dtype=np.float32)
    values *= np.float32(variance**0.5)
    return values
