"""Training holds no float64, and of its data set no more than the order of its digits."""

import gc
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import model
from model.augment import Augment
from model.datasets import Split, load_csv, load_split
from model.inference import OneDigit
from model.presets import PRESETS, Preset
from model.train import train
from tests.conftest import write_idx

HERE = str(Path(model.__file__).parent)
TINY_CONV = replace(
    PRESETS["appliance"],
    layers=(
        ("image", 28, 28),
        *(("conv", 1, 3, 5, 0, False), ("max-pool", 2), ("batch-norm", 3), ("relu",)),
        *(("conv", 3, 4, 3, 1), ("average-pool", 3), ("tanh",), ("dropout", 0.1)),
        *(("flatten",), ("dense", 64, 10)),
    ),
    augment=Augment(degrees=9, elastic=0.5, stroke=0.3, noise=0.1, erase=0.5),
    batch=20,
    validation=20,
)
RECIPES = {
    "appliance": TINY_CONV,
    "adamw": replace(TINY_CONV, optimiser="adamw", settings={"decay": 0.01}),
    "simard-800": replace(PRESETS["simard-800"], batch=20, validation=20),
    "scratch-rotated": PRESETS["scratch-rotated"],
    "sgd-30": PRESETS["sgd-30"],
}


def random_digits(count: int) -> Split:
    rng = np.random.default_rng(1)
    images = rng.integers(256, size=(count, 784), dtype=np.uint8)
    return Split(images, rng.integers(10, size=count, dtype=np.uint8))


@contextmanager
def find_float64() -> Iterator[set[str]]:
    """Collect where `model` holds a float64 array of two values or more."""
    found: set[str] = set()

    def look(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(HERE):
            return None
        held = dict(frame.f_locals)
        if event == "return":
            held["the result"] = argument
        owner = held.get("self")
        held |= {f"self.{name}": value for name, value in getattr(owner, "__dict__", {}).items()}
        for name, value in held.items():
            if isinstance(value, np.ndarray) and value.dtype == np.float64 and value.size > 1:
                found.add(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {name}")
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        yield found
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("name", RECIPES)
def test_training_and_inference_hold_no_float64(name: str) -> None:
    with find_float64() as found:
        network = train(RECIPES[name], random_digits(130), seed=1, epochs=1).network
        one = OneDigit(network)
        one.probabilities(np.zeros(784, np.float32))
    assert not found


def test_a_float64_is_noticed() -> None:
    # Otherwise the test above proves nothing.
    class Careless:
        offset = 0.0
        scale = 1 / 255

        def __call__(self, images: Any) -> Any:
            return images / 255.0

    careless = replace(RECIPES["sgd-30"], inputs=Careless())  # type: ignore[arg-type]
    with find_float64() as found:
        train(careless, random_digits(40), seed=1, epochs=1)
    assert found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["appliance", "sgd-30"])
def test_memory_grows_with_the_data_set_by_its_order_alone(name: str, tmp_path: Path) -> None:
    def peak(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        digits = random_digits(count)
        write_idx(folder / "train-images-idx3-ubyte", digits.images.reshape(-1, 28, 28))
        write_idx(folder / "train-labels-idx1-ubyte", digits.labels)
        data = load_split(folder, "train")
        recipe: Preset = RECIPES[name]
        train(recipe, data.first(100), seed=1, epochs=1)
        gc.collect()
        tracemalloc.start()
        train(recipe, data, seed=1, epochs=1)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    # A digit has 784 bytes on disk; its places in the shuffle take at most 28 of memory.
    assert peak(30_000) - peak(9_000) < 21_000 * 30


@pytest.mark.slow
def test_a_csv_of_any_length_is_read_a_line_at_a_time(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / f"{count}.csv"
        path.write_text(("7" + ",200" * 784 + "\n") * count)
        tracemalloc.start()
        assert len(load_csv(path)) == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(600) - peak(200) < 5_000
