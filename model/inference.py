"""Fast inference of one digit at a time, as the appliance reads: no allocation, few operations."""

import threading
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from model.convolution import AveragePool, Conv2D, Flatten, Image, MaxPool
from model.layers import Array, BatchNorm, Dense, ReLU, Sigmoid, Tanh
from model.network import Network, softmax

Step = Callable[[], object]


class OneDigit:
    """A network for single digits, with the same answers but for rounding.

    Batch-norms are folded, every array is allocated once, and a convolution is one product of its
    kernels with its im2col matrix, biases included. Threads may share it: a lock makes them wait.
    """

    def __init__(self, network: Network) -> None:
        folded = network.fold()
        self._lock = threading.Lock()
        self._logits = not isinstance(folded.layers[-1], Sigmoid)
        self._pixels = array = np.zeros(folded.shapes[0], np.float32)
        self._steps: list[Step] = []
        # Pictures are (channels, rows, columns) here: what a product of the kernels leaves.
        for layer in folded.layers:
            match layer:
                case Image():
                    array = array.reshape(1, layer.rows, layer.columns)
                case Conv2D():
                    array = self._convolve(layer, array)
                case MaxPool() | AveragePool():
                    array = self._pool(layer, array)
                case Flatten():
                    array = self._flatten(array)
                case Dense():
                    array = self._multiply(layer, array)
                case ReLU():
                    self._add(np.maximum, array, 0.0, out=array)
                case BatchNorm():
                    array = self._shift(layer, array)
                case Sigmoid() | Tanh():
                    array = self._apply(layer, array)
                case _:
                    raise TypeError(f"OneDigit has no step for a {layer.kind} layer: write it")
        self._scores = array

    def probabilities(self, pixels: Array) -> Array:
        """Return the probabilities (outputs,) of one digit's pixels (784,) in 0…1."""
        with self._lock:
            self._pixels[...] = pixels
            for step in self._steps:
                step()
            scores = self._scores.copy()
        if self._logits:
            return softmax(scores)
        shares: Array = scores / max(scores.sum(), np.float32(1e-30))
        return shares

    def _add(self, function: Callable[..., object], *arguments: Array | float, out: Array) -> None:
        self._steps.append(partial(function, *arguments, out=out))

    def _copy(self, target: Array, source: Array) -> None:
        self._steps.append(partial(np.copyto, target, source))

    def _convolve(self, layer: Conv2D, x: Array) -> Array:
        channels, height, width = x.shape
        k, p = layer.kernel, layer.padding
        if p:
            padded = np.zeros((channels, height + 2 * p, width + 2 * p), np.float32)
            self._copy(padded[:, p:-p, p:-p], x)
            x = padded
        rows, columns = x.shape[1] - k + 1, x.shape[2] - k + 1
        windows = as_strided(x, (channels, k, k, rows, columns), x.strides + x.strides[1:])
        # The last row, of ones, is multiplied by the biases, the last column of the kernels.
        columns_matrix = np.ones((channels * k * k + 1, rows * columns), np.float32)
        self._copy(columns_matrix[:-1].reshape(windows.shape), windows)
        kernels = layer.parameters["weights"].transpose(0, 3, 1, 2).reshape(layer.outputs, -1)
        kernels = np.column_stack([kernels, layer.parameters["bias"]])
        y = np.zeros((layer.outputs, rows * columns), np.float32)
        self._add(np.matmul, kernels, columns_matrix, out=y)
        return y.reshape(layer.outputs, rows, columns)

    def _pool(self, layer: MaxPool | AveragePool, x: Array) -> Array:
        size = layer.size
        rows, columns = x.shape[1] // size, x.shape[2] // size
        y = np.zeros((len(x), rows, columns), np.float32)
        parts = [
            x[:, down : rows * size : size, right : columns * size : size]
            for down in range(size)
            for right in range(size)
        ]
        combine = np.maximum if isinstance(layer, MaxPool) else np.add
        self._copy(y, parts[0])
        for part in parts[1:]:
            self._add(combine, y, part, out=y)
        if isinstance(layer, AveragePool):
            self._add(np.multiply, y, 1 / size**2, out=y)
        return y

    def _flatten(self, x: Array) -> Array:
        if x.ndim == 1:
            return x
        # Units follow each other as (rows, channels, columns).
        y = np.zeros(x.size, np.float32)
        ordered = x.transpose(1, 0, 2)
        self._copy(y.reshape(ordered.shape), ordered)
        return y

    def _multiply(self, layer: Dense, x: Array) -> Array:
        y = np.zeros(layer.outputs, np.float32)
        self._add(np.dot, layer.parameters["weights"], x, out=y)
        self._add(np.add, y, layer.parameters["bias"], out=y)
        return y

    def _shift(self, layer: BatchNorm, x: Array) -> Array:
        shape = (layer.channels, *[1] * (x.ndim - 1))
        scale, shift = (array.reshape(shape) for array in layer.scale_and_shift())
        y = np.zeros_like(x)
        self._add(np.multiply, x, scale, out=y)
        self._add(np.add, y, shift, out=y)
        return y

    def _apply(self, layer: Sigmoid | Tanh, x: Array) -> Array:
        y = np.zeros_like(x)
        self._steps.append(lambda: np.copyto(y, layer.forward(x)))
        return y
