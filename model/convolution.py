"""Layers of pictures: convolution and pooling.

A batch of pictures is (rows, channels, columns, n). In this order im2col needs only the horizontal
shifts: with every row stored k times, each time shifted by one column, the k rows that one output
row sees are one contiguous matrix of k·k·channels rows, which BLAS multiplies in place. That is k
copies of a picture where plain im2col makes k·k; `backward` does the same for dL/d(input).
`docs/measured/benchmark.md` compares it with plain im2col and with k·k shifted products.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from model.layers import Array, Layer, Shape, draw_weights


class Image(Layer):
    """Reshape units (rows · columns, n) to pictures of one channel."""

    kind = "image"

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, x: Array, *, training: bool = False) -> Array:
        return x.reshape(self.rows, 1, self.columns, x.shape[-1])

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        return gradient.reshape(self.rows * self.columns, gradient.shape[-1])

    def output_shape(self, before: Shape) -> Shape:
        if before != (self.rows * self.columns,):
            raise ValueError(f"{before} is no picture of {self.rows}×{self.columns}")
        return (self.rows, 1, self.columns)

    def spec(self) -> list[Any]:
        return [self.kind, self.rows, self.columns]


class Flatten(Layer):
    """Reshape pictures to units."""

    kind = "flatten"

    def forward(self, x: Array, *, training: bool = False) -> Array:
        self._shape = x.shape
        return x.reshape(-1, x.shape[-1])

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        return gradient.reshape(self._shape)

    def output_shape(self, before: Shape) -> Shape:
        rows, channels, columns = _picture(before, self.kind)
        return (rows * channels * columns,)


class Conv2D(Layer):
    """Cross-correlate pictures with k×k kernels after zero padding: (h, c, w) → (h', d, w').

    Weights are (outputs, k, k, inputs): row, column and channel of the input. There is one bias
    for each output channel, or none with `bias=False`.
    """

    kind = "conv"

    def __init__(
        self, inputs: int, outputs: int, kernel: int, padding: int = 0, bias: bool = True
    ) -> None:
        super().__init__()
        if padding >= kernel:
            raise ValueError(f"a padding of {padding} leaves nothing for a kernel of {kernel}")
        self.inputs, self.outputs, self.kernel = inputs, outputs, kernel
        self.padding, self.bias = padding, bias
        self.parameters = {"weights": np.zeros((outputs, kernel, kernel, inputs), np.float32)}
        if bias:
            self.parameters["bias"] = np.zeros(outputs, np.float32)

    def initialise(self, rng: "np.random.Generator", *, rectified: bool) -> None:
        weights = self.parameters["weights"]
        weights[...] = draw_weights(rng, weights.shape, self.inputs * self.kernel**2, rectified)

    def forward(self, x: Array, *, training: bool = False) -> Array:
        n = x.shape[3]
        self._columns = self._im2col("columns", x, self.padding)
        y: Array = self._buffer("y", (len(self._columns), self.outputs, self._columns.shape[2]))
        np.matmul(self._matrix(), self._columns, out=y)
        if self.bias:
            y += self.parameters["bias"][:, None]
        return y.reshape(len(y), self.outputs, -1, n)

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        rows, _, columns, n = gradient.shape
        dy = gradient.reshape(rows, self.outputs, columns * n)
        dw: Array = self._buffer("dw", (rows, self.outputs, self._columns.shape[1]))
        np.matmul(dy, self._columns.transpose(0, 2, 1), out=dw)
        np.sum(dw, axis=0, out=self.gradients["weights"].reshape(self.outputs, -1))
        if self.bias:
            self.gradients["bias"][...] = (dy @ np.ones(columns * n, np.float32)).sum(axis=0)
        growth = 2 * self.padding - self.kernel + 1
        dx: Array = self._buffer("dx", (rows - growth, self.inputs, (columns - growth) * n))
        if to_input:
            # dL/d(input) is the same sum, kernels flipped both ways, inputs and outputs swapped.
            flipped = self.parameters["weights"][:, ::-1, ::-1].transpose(3, 1, 2, 0)
            dy_columns = self._im2col("dy columns", gradient, self.kernel - 1 - self.padding)
            np.matmul(flipped.reshape(self.inputs, -1), dy_columns, out=dx)
        return dx.reshape(len(dx), self.inputs, -1, n)

    def output_shape(self, before: Shape) -> Shape:
        rows, channels, columns = _picture(before, self.kind)
        growth = 2 * self.padding - self.kernel + 1
        if channels != self.inputs or min(rows, columns) + growth < 1:
            raise ValueError(
                f"a convolution of {self.inputs} channels by {self.kernel}×{self.kernel} "
                f"cannot take {before}"
            )
        return rows + growth, self.outputs, columns + growth

    def multiply_adds(self, before: Shape) -> int:
        rows, outputs, columns = self.output_shape(before)
        return rows * columns * outputs * self.inputs * self.kernel**2

    def spec(self) -> list[Any]:
        end = [] if self.bias else [False]
        return [self.kind, self.inputs, self.outputs, self.kernel, self.padding, *end]

    def _matrix(self) -> Array:
        return self.parameters["weights"].reshape(self.outputs, -1)

    def _im2col(self, name: str, x: Array, padding: int) -> Array:
        """Return the im2col matrix of each output row: (rows', k·k·channels, columns'·n)."""
        height, channels, width, n = x.shape
        k = self.kernel
        columns = width + 2 * padding - k + 1
        shifted: Array = self._buffer(name, (height + 2 * padding, k, channels, columns, n))
        for right in range(k):
            # The padding stays the zero that the buffer began with.
            first, last = max(0, padding - right), min(columns, width + padding - right)
            if last <= first:
                continue
            shifted[padding : padding + height, right, :, first:last] = x[
                :, :, first + right - padding : last + right - padding
            ]
        return as_strided(
            shifted,
            (height + 2 * padding - k + 1, k * k * channels, columns * n),
            (shifted.strides[0], columns * n * shifted.itemsize, shifted.itemsize),
            writeable=False,
        )


class Pool(Layer):
    """Reduce each `size`×`size` square to one value; an incomplete one at an edge is cut off."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def output_shape(self, before: Shape) -> Shape:
        rows, channels, columns = _picture(before, self.kind)
        if min(rows, columns) < self.size:
            raise ValueError(f"a {self.kind} of {self.size}×{self.size} cannot take {before}")
        return rows // self.size, channels, columns // self.size

    def spec(self) -> list[Any]:
        return [self.kind, self.size]

    def squares(self, x: Array) -> list[Array]:
        """Return size² views of x, each of one pixel of every square."""
        size = self.size
        height, width = x.shape[0] // size * size, x.shape[2] // size * size
        return [
            x[down:height:size, :, right:width:size]
            for down in range(size)
            for right in range(size)
        ]

    def _dx_buffer(self, shape: Shape) -> Array:
        """Return the buffer of dL/d(input): 0 outside all of the squares."""
        dx: Array = self._buffer("dx", shape)
        dx[shape[0] // self.size * self.size :] = 0
        dx[:, :, shape[2] // self.size * self.size :] = 0
        return dx


class MaxPool(Pool):
    """The largest value of each square."""

    kind = "max-pool"

    def forward(self, x: Array, *, training: bool = False) -> Array:
        parts = self.squares(x)
        y: Array = self._buffer("y", parts[0].shape)
        np.copyto(y, parts[0])
        for part in parts[1:]:
            np.maximum(y, part, out=y)
        if training:
            self._x, self._y = x, y
        return y

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        dx = self._dx_buffer(self._x.shape)
        if not to_input:
            return dx
        free = self._buffer("free", self._y.shape, np.bool_)
        wins = self._buffer("wins", self._y.shape, np.bool_)
        free[...] = True
        for part, dpart in zip(self.squares(self._x), self.squares(dx), strict=True):
            # The first of equal values takes the whole gradient.
            np.equal(part, self._y, out=wins)
            wins &= free
            free ^= wins
            np.multiply(gradient, wins, out=dpart)
        return dx


class AveragePool(Pool):
    """The mean of each square."""

    kind = "average-pool"

    def forward(self, x: Array, *, training: bool = False) -> Array:
        self._shape = x.shape
        parts = self.squares(x)
        y: Array = self._buffer("y", parts[0].shape)
        np.copyto(y, parts[0])
        for part in parts[1:]:
            y += part
        y *= 1 / self.size**2
        return y

    def backward(self, gradient: Array, *, to_input: bool = True) -> Array:
        dx = self._dx_buffer(self._shape)
        gradient *= 1 / self.size**2
        for part in self.squares(dx):
            part[...] = gradient
        return dx


def _picture(before: Shape, kind: str) -> tuple[int, int, int]:
    if len(before) != 3:
        raise ValueError(f"a {kind} layer takes pictures, not {before}")
    return before[0], before[1], before[2]
