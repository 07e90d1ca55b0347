"""The layers of a network: each knows its forward pass and its own gradient.

All arrays are float32. A batch is (n, width), one row an example. `backward` takes dL/d(output) of
the last training forward pass, fills `gradients`, and returns dL/d(input).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class Layer:
    """The common shape of a layer; one without weights has empty `parameters` and `gradients`."""

    kind: str

    def __init__(self) -> None:
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return the layer's output; with `training` also keep what `backward` needs."""
        raise NotImplementedError(self.kind)

    def backward(self, gradient: Array) -> Array:
        """Return dL/d(input) for dL/d(output), and fill `gradients`."""
        raise NotImplementedError(self.kind)

    def spec(self) -> list[Any]:
        """Return the JSON form that `network.build` turns back into this layer."""
        return [self.kind]


class Dense(Layer):
    """Every input to every output: y = x W + b, with W (inputs, outputs) and b (outputs,)."""

    kind = "dense"

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.parameters = {
            "weights": np.zeros((inputs, outputs), np.float32),
            "bias": np.zeros(outputs, np.float32),
        }
        self.gradients = {name: np.zeros_like(p) for name, p in self.parameters.items()}

    def initialise(self, rng: np.random.Generator, *, rectified: bool) -> None:
        """Draw the weights anew: He (2015) before a ReLU, else Glorot and Bengio (2010), normal."""
        variance = 2.0 / self.inputs if rectified else 2.0 / (self.inputs + self.outputs)
        drawn = rng.standard_normal((self.inputs, self.outputs), dtype=np.float32)
        self.parameters["weights"][...] = drawn * np.float32(variance**0.5)
        self.parameters["bias"][...] = 0.0

    def forward(self, x: Array, *, training: bool = False) -> Array:
        if training:
            self._x = x
        y: Array = x @ self.parameters["weights"]
        y += self.parameters["bias"]
        return y

    def backward(self, gradient: Array) -> Array:
        np.matmul(self._x.T, gradient, out=self.gradients["weights"])
        np.sum(gradient, axis=0, out=self.gradients["bias"])
        dx: Array = gradient @ self.parameters["weights"].T
        return dx

    def spec(self) -> list[Any]:
        return [self.kind, self.inputs, self.outputs]


class ReLU(Layer):
    """max(x, 0)."""

    kind = "relu"

    def forward(self, x: Array, *, training: bool = False) -> Array:
        y = np.maximum(x, np.float32(0))
        if training:
            self._open = y > 0
        return y

    def backward(self, gradient: Array) -> Array:
        return gradient * self._open


class Sigmoid(Layer):
    """1 / (1 + e^-x), computed through tanh so that no input overflows."""

    kind = "sigmoid"

    def forward(self, x: Array, *, training: bool = False) -> Array:
        half = np.float32(0.5)
        y: Array = np.tanh(x * half) * half + half
        if training:
            self._y = y
        return y

    def backward(self, gradient: Array) -> Array:
        return gradient * self._y * (1 - self._y)


KINDS: dict[str, type[Layer]] = {layer.kind: layer for layer in (Dense, ReLU, Sigmoid)}
