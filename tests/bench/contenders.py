"""Who takes part in the bench of the networks: each with a training step, an answer, a product.

Other libraries are imported where they are measured: one that is not installed is left out.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.layers import Array
    from model.network import Network

NETWORKS = {"scratch-200": 200, "appliance": 128}
"""What is measured, with the batch it is trained in."""

TASKS = {
    "train scratch-200": (
        "ours", "ours one at a time", "the book's loop", "PyTorch", "scikit-learn",
    ),
    "train appliance": ("ours", "PyTorch"),
    "answer scratch-200": ("ours", "the book's query", "PyTorch", "scikit-learn", "ONNX Runtime"),
    "answer appliance": ("ours", "ours by layers", "PyTorch", "ONNX Runtime"),
    "convolve": ("ours", "im2col", "shifted products"),
    "multiply": ("sgemm",),
    "remember": ("60,000 digits", "120,000 digits"),
}  # fmt: skip
"""Each task with its contenders, ours first."""


def measure(task: str, contender: str) -> dict[str, float]:
    """Return one contender's `value` and the process's peak memory in MB."""
    verb, _, name = task.partition(" ")
    verbs: dict[str, Callable[[str, str], float]] = {
        "train": _train, "answer": _answer, "convolve": _convolve, "multiply": _multiply,
        "remember": _remember,
    }  # fmt: skip
    value = verbs[verb](contender, name)
    return {"value": value, "peak_mb": _peak_memory()}


def _train(contender: str, name: str) -> float:
    """Return the digits a second of a training: forward, loss, backward and step."""
    import numpy as np

    from model.losses import LOSSES, one_hot
    from model.optimisers import OPTIMISERS
    from model.presets import get_preset
    from model.train import train_batch

    recipe, batch = get_preset(name), NETWORKS[name]
    if contender in ("ours one at a time", "the book's loop"):
        batch = 1
    rng = np.random.default_rng(1)
    x = rng.random((batch, 784), dtype=np.float32)
    labels = rng.integers(10, size=batch, dtype=np.uint8)
    network = build_untrained(name)
    match contender:
        case "ours" | "ours one at a time":
            loss = LOSSES[recipe.loss]
            optimiser = OPTIMISERS[recipe.optimiser](network, **recipe.settings)
            y = one_hot(labels, *recipe.targets)

            def step() -> object:
                return train_batch(network, loss, optimiser, 0.01, x, y)

        case "the book's loop":
            book = _Book(network)

            def step() -> object:
                book.train(x[0], int(labels[0]))
                return None

        case "PyTorch":
            import torch

            theirs = _torch(network)
            settings = dict(recipe.settings)
            sgd = torch.optim.SGD(
                theirs.parameters(),
                lr=0.01,
                momentum=settings.get("momentum", 0.0),
                nesterov=settings.get("nesterov", False),
                weight_decay=settings.get("decay", 0.0),
            )
            inputs, classes = torch.from_numpy(x), torch.from_numpy(labels.astype(np.int64))
            targets = torch.from_numpy(one_hot(labels, *recipe.targets))

            def step() -> object:
                sgd.zero_grad()
                scores = theirs(inputs)
                if recipe.loss == "cross-entropy":
                    value = torch.nn.functional.cross_entropy(scores, classes)
                else:
                    value = (scores - targets).square().sum() / (2 * batch)
                value.backward()
                sgd.step()
                return value.item()

        case "scikit-learn":
            from sklearn.neural_network import MLPClassifier

            machine = MLPClassifier(
                (200,), activation="logistic", solver="sgd", batch_size=batch, momentum=0.0
            )
            # One call goes through many batches, so that its own checks do not count for much.
            many = np.repeat(x, 32, axis=0)
            machine.partial_fit(many, np.tile(labels, 32), classes=range(10))
            each = _time_call(lambda: machine.partial_fit(many, np.tile(labels, 32)))
            return 32 * batch / each
        case _:
            raise ValueError(contender)
    return batch / _time_call(step)


def _answer(contender: str, name: str) -> float:
    """Return the microseconds from one digit's pixels to its ten probabilities."""
    import numpy as np

    network = build_untrained(name)
    x = np.random.default_rng(1).random((1, 784), dtype=np.float32)
    match contender:
        case "ours":
            from model.inference import OneDigit

            one = OneDigit(network)
            return 1e6 * _time_call(lambda: one.probabilities(x[0]))
        case "ours by layers":
            folded = network.fold()
            return 1e6 * _time_call(lambda: folded.probabilities(x))
        case "the book's query":
            book = _Book(network)
            return 1e6 * _time_call(lambda: book.query(x[0]))
        case "PyTorch":
            import torch

            theirs, inputs = _torch(network).eval(), torch.from_numpy(x)

            def ask() -> object:
                with torch.inference_mode():
                    return torch.softmax(theirs(inputs), 1)

            return 1e6 * _time_call(ask)
        case "scikit-learn":
            from sklearn.neural_network import MLPClassifier

            machine = MLPClassifier((200,), activation="logistic", max_iter=1)
            machine.partial_fit(np.repeat(x, 20, axis=0), np.arange(20) % 10, classes=range(10))
            return 1e6 * _time_call(lambda: machine.predict_proba(x))
        case "ONNX Runtime":
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            session = onnxruntime.InferenceSession(
                _onnx(network.fold()), options, providers=["CPUExecutionProvider"]
            )
            theirs = session.run(None, {"x": x})[0]
            np.testing.assert_allclose(theirs, network.probabilities(x), atol=1e-4)
            return 1e6 * _time_call(lambda: session.run(None, {"x": x}))
    raise ValueError(contender)


def _convolve(contender: str, name: str) -> float:
    """Return the microseconds of the appliance's second convolution, forward, on a batch."""
    import numpy as np
    from numpy.lib.stride_tricks import as_strided

    from model.convolution import Conv2D

    layer = next(
        c for c in build_untrained("appliance").layers if isinstance(c, Conv2D) and c.inputs > 1
    )
    x = np.random.default_rng(1).random((12, layer.inputs, 12, 128), dtype=np.float32)
    kernels, k = layer.parameters["weights"], layer.kernel
    rows = columns = 12 - k + 1
    ours = layer.forward(x).copy()
    match contender:
        case "ours":
            return 1e6 * _time_call(lambda: layer.forward(x))
        case "im2col":
            flat = kernels.reshape(layer.outputs, -1)
            s = x.strides
            seen = as_strided(
                x, (k, k, layer.inputs, rows, columns, 128), (s[0], s[2], s[1], s[0], s[2], s[3])
            )
            unfolded = np.empty(seen.shape, np.float32)
            y = np.empty((layer.outputs, rows * columns * 128), np.float32)

            def product() -> object:
                np.copyto(unfolded, seen)
                return np.matmul(flat, unfolded.reshape(flat.shape[1], -1), out=y)

            product()
            result = y.reshape(layer.outputs, rows, columns, 128).transpose(1, 0, 2, 3)
        case "shifted products":
            parts = [np.ascontiguousarray(kernels[:, i, j]) for i in range(k) for j in range(k)]
            part, result = np.empty_like(ours), np.empty_like(ours)
            wide = part.reshape(rows, layer.outputs, -1)

            def product() -> object:
                result[...] = 0
                for place, kernel in enumerate(parts):
                    down, right = divmod(place, k)
                    moved = x[down : down + rows, :, right : right + columns]
                    np.matmul(kernel, moved.reshape(rows, layer.inputs, -1), out=wide)
                    np.add(result, part, out=result)
                return result

            product()
        case _:
            raise ValueError(contender)
    np.testing.assert_allclose(result, ours, rtol=1e-3, atol=1e-4)
    return 1e6 * _time_call(product)


def _multiply(contender: str, name: str) -> float:
    """Return the GFLOP/s of a product of two float32 matrices of 512×512."""
    import numpy as np

    a = np.random.default_rng(1).random((512, 512), dtype=np.float32)
    b, c = a.copy(), np.empty_like(a)
    return 2 * 512**3 / _time_call(lambda: np.matmul(a, b, out=c)) / 1e9


def _remember(contender: str, name: str) -> float:
    """Return the peak memory, in MB, of one epoch of the appliance's recipe."""
    import struct

    import numpy as np

    from model.datasets import load_split
    from model.presets import get_preset
    from model.train import train

    digits = int(contender.split()[0].replace(",", ""))
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        with open(f"{place}/train-images-idx3-ubyte", "wb") as images:
            images.write(bytes([0, 0, 8, 3]) + struct.pack(">3I", digits, 28, 28))
            for _ in range(digits // 1000):
                images.write(rng.integers(256, size=784_000, dtype=np.uint8).tobytes())
        with open(f"{place}/train-labels-idx1-ubyte", "wb") as labels:
            labels.write(bytes([0, 0, 8, 1]) + struct.pack(">I", digits))
            labels.write(rng.integers(10, size=digits, dtype=np.uint8).tobytes())
        train(get_preset("appliance"), load_split(Path(place), "train"), seed=1, epochs=1)
    return _peak_memory()


def build_untrained(name: str) -> "Network":
    from model.network import build
    from model.presets import get_preset

    return build(get_preset(name).layers, seed=1)


def _time_call(function: Callable[[], object], enough: float = 1.5) -> float:
    """Return the median seconds of a call, over as many as fit into `enough` seconds."""
    for _ in range(3):
        function()
    times: list[float] = []
    end = time.perf_counter() + enough
    while time.perf_counter() < end or len(times) < 5:
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]


def _peak_memory() -> float:
    """Return the most memory that this process has ever taken, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    raise ValueError("no VmHWM in /proc/self/status")


class _Book:
    """The network of "Make Your Own Neural Network" as the book writes it: float64, one at a time.

    Written anew from the book's formulas, with the same numpy calls.
    """

    def __init__(self, network: "Network") -> None:
        import numpy as np
        from scipy.special import expit

        self.activation, self.step = expit, 0.1
        matrices = [layer.parameters["weights"] for layer in network.layers if layer.parameters]
        self.wih, self.who = (matrix.astype(np.float64) for matrix in matrices)

    def train(self, pixels: "Array", label: int) -> None:
        import numpy as np

        targets_list = np.zeros(10) + 0.01
        targets_list[label] = 0.99
        inputs = np.array(pixels, dtype=np.float64, ndmin=2).T
        targets = np.array(targets_list, ndmin=2).T
        hidden = self.activation(np.dot(self.wih, inputs))
        final = self.activation(np.dot(self.who, hidden))
        output_errors = targets - final
        hidden_errors = np.dot(self.who.T, output_errors)
        self.who += self.step * np.dot(output_errors * final * (1.0 - final), hidden.T)
        self.wih += self.step * np.dot(hidden_errors * hidden * (1.0 - hidden), inputs.T)

    def query(self, pixels: "Array") -> Any:
        import numpy as np

        inputs = np.array(pixels, dtype=np.float64, ndmin=2).T
        return self.activation(np.dot(self.who, self.activation(np.dot(self.wih, inputs))))


def _torch(network: "Network") -> Any:
    """Return the same layers in PyTorch, on one thread."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    layers: list[Any] = []
    for kind, *sizes in network.spec():
        match kind:
            case "image":
                layers.append(nn.Unflatten(1, (1, *sizes)))
            case "conv":
                inputs, outputs, kernel, padding, *bias = sizes
                layers.append(nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=not bias))
            case "max-pool":
                layers.append(nn.MaxPool2d(sizes[0]))
            case "batch-norm":
                layers.append(nn.BatchNorm2d(sizes[0]))
            case "relu":
                layers.append(nn.ReLU(inplace=True))
            case "flatten":
                layers.append(nn.Flatten())
            case "dense":
                layers.append(nn.Linear(sizes[0], sizes[1], bias=len(sizes) < 3))
            case "sigmoid":
                layers.append(nn.Sigmoid())
            case "book-output":
                layers += [nn.Linear(sizes[0], sizes[1], bias=False), nn.Sigmoid()]
            case _:
                raise ValueError(kind)
    return nn.Sequential(*layers)


def _onnx(network: "Network") -> bytes:
    """Return a folded network as an ONNX model, from pixels "x" to probabilities."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    tensors: list[Any] = []
    last = "x"

    def add_tensor(array: Any) -> str:
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), f"c{len(tensors)}"))
        return str(tensors[-1].name)

    def put(kind: str, *others: str, **attributes: Any) -> None:
        nonlocal last
        nodes.append(helper.make_node(kind, [last, *others], [f"n{len(nodes)}"], **attributes))
        last = f"n{len(nodes) - 1}"

    for layer in network.layers:
        own = layer.parameters
        match layer.spec():
            case ["image", rows, columns]:
                put("Reshape", add_tensor(np.array([-1, 1, rows, columns])))
            case ["conv", _, _, _, padding]:
                kernels = add_tensor(own["weights"].transpose(0, 3, 1, 2))
                put("Conv", kernels, add_tensor(own["bias"]), pads=[padding] * 4)
            case ["max-pool", size]:
                put("MaxPool", kernel_shape=[size, size], strides=[size, size])
            case ["relu"]:
                put("Relu")
            case ["sigmoid"]:
                put("Sigmoid")
            case ["flatten"]:
                put("Transpose", perm=[0, 2, 1, 3])
                put("Flatten")
            case ["dense", *_]:
                put("Gemm", add_tensor(own["weights"]), add_tensor(own["bias"]), transB=1)
            case spec:
                raise ValueError(spec)
    if network.layers[-1].kind == "sigmoid":
        put("ReduceSum", add_tensor(np.array([1])), keepdims=1)
        nodes.append(helper.make_node("Div", [f"n{len(nodes) - 2}", last], ["y"]))
    else:
        put("Softmax", axis=1)
        nodes.append(helper.make_node("Identity", [last], ["y"]))
    pixels = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 784])
    shares = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])
    graph = helper.make_graph(nodes, "digits", [pixels], [shares], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
