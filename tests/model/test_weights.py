"""A weights file is whole and ours, or it is refused."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import weights
from model.errors import WeightsError
from model.network import build

SPEC: list[list[Any]] = [["dense", 784, 4], ["relu"], ["dense", 4, 10]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("weights") / "good.npz"
    weights.save(path, build(SPEC, seed=1), {"seed": 1})
    return path.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    network = build(SPEC, seed=2)
    saved = weights.save(tmp_path / "n.npz", network, {"seed": 2, "preset": "toy"})
    loaded, card = weights.load(tmp_path / "n.npz")
    assert card == saved
    assert card["seed"] == 2
    assert card["sha256"] == weights.checksum(network)
    x = np.random.default_rng(0).random((3, 784), dtype=np.float32)
    np.testing.assert_array_equal(loaded.forward(x), network.forward(x))


def test_a_network_with_an_answer_for_no_digit_is_loaded(tmp_path: Path) -> None:
    network = build([["dense", 784, 4], ["relu"], ["dense", 4, 11]], seed=2)
    weights.save(tmp_path / "n.npz", network, {})
    loaded, _ = weights.load(tmp_path / "n.npz")
    assert loaded.probabilities(np.zeros((1, 784), np.float32)).shape == (1, 11)


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        weights.save(tmp_path / name, build(SPEC, seed=1), {"seed": 1})
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_saving_over_a_file_that_cannot_be_finished_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "n.npz"
    weights.save(path, build(SPEC, seed=1), {})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        weights.save(path, build(SPEC, seed=2), {"not JSON": object()})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_error_for_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such weights file: make one with 'digits train"):
        weights.load(tmp_path / "none.npz")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_or_cut_file_is_never_half_loaded(
    good: bytes, folder: Path, data: st.DataObject
) -> None:
    damaged = bytearray(good)
    if data.draw(st.booleans()):
        damaged = damaged[: data.draw(st.integers(0, len(good) - 1))]
    else:
        position = data.draw(st.integers(0, len(good) - 1))
        damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    file = folder / "damaged.npz"
    file.write_bytes(damaged)
    try:
        network, _ = weights.load(file)
    except WeightsError:
        return
    # Some bits of a zip file mean nothing, such as its dates: then nothing is lost.
    assert weights.checksum(network) == weights.checksum(build(SPEC, seed=1))


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def card(**changed: Any) -> dict[str, Any]:
    return {"format": 2, "layers": SPEC, "sha256": "", **changed}


HOSTILE: dict[str, tuple[Any, str]] = {
    "a foreign npz": ({}, "lacks|no item"),
    "another format": (card(format=1), "not of format 2"),
    "no layers": (card(layers=[]), "no list of layers"),
    "a huge layer": (card(layers=[["dense", 784, 10**4], ["dense", 10**4, 10]]), "parameters"),
    "a monstrous layer": (
        card(layers=[["dense", 784, 10**9], ["dense", 10**9, 10]]),
        "a layer",
    ),
    "a negative layer": (card(layers=[["dense", 784, -1], ["dense", -1, 10]]), "a layer"),
    "an unknown layer": (card(layers=[["dense", 784, 10], ["exec", 1]]), "a layer ..exec"),
    "another task": (card(layers=[["dense", 784, 26]]), "784 pixels to 10 digits"),
    "one class too many": (card(layers=[["dense", 784, 12]]), "with or without 'not a digit'"),
    "a huge kernel": (card(layers=[["image", 28, 28], ["conv", 1, 1, 9000]]), "parameters"),
    "a kernel grown by its padding": (
        card(layers=[["image", 28, 28], ["conv", 1, 1, 900, 899], ["flatten"], ["dense", 4, 10]]),
        "cannot take",
    ),
    "too much work": (
        card(
            layers=[
                *(["image", 28, 28], ["conv", 1, 40, 5, 2], ["conv", 40, 40, 5, 2]),
                *(["flatten"], ["dense", 31360, 10]),
            ]
        ),
        "multiply-adds a digit",
    ),
    "too many units of the book's output": (
        card(layers=[["book-output", 784, 60000], ["book-output", 60000, 10]]),
        "parameters",
    ),
    "true for a size": (card(layers=[["image", True, 784], ["flatten"]]), "a layer"),
    "a pool of nothing": (card(layers=[["image", 28, 28], ["max-pool", 0]]), "not a whole"),
    "a share for a size": (card(layers=[["dense", 784, 10.0]]), "a layer"),
    "too many sizes": (card(layers=[["dense", 784, 10, True, 7]]), "not a whole weights file"),
    "a list for a layer's kind": (
        card(layers=[[["dense"], 784, 10]]),
        "not a whole weights file",
    ),
    "a list for a card": ([1, 2], "not of format 2"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_foreign_or_hostile_file_is_refused(name: str, tmp_path: Path) -> None:
    content, message = HOSTILE[name]
    path = tmp_path / "hostile.npz"
    with zipfile.ZipFile(path, "w") as archive:
        if content:
            archive.writestr("card.npy", npy(np.frombuffer(json.dumps(content).encode(), "u1")))
        archive.writestr("0.weights.npy", npy(np.zeros((784, 4), np.float32)))
    with pytest.raises(WeightsError, match=message):
        weights.load(path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_another_compression_is_refused(tmp_path: Path, good: bytes, packing: int) -> None:
    source, path = tmp_path / "good.npz", tmp_path / "packed.npz"
    source.write_bytes(good)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", packing) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(WeightsError, match="packed in a way"):
        weights.load(path)


def test_pickled_arrays_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "pickle.npz"
    np.savez(path, card=np.array([{"format": 2}], dtype=object))
    with pytest.raises(WeightsError, match="not a whole weights file"):
        weights.load(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    network = build(SPEC, seed=1)
    network.layers[0].parameters["weights"][2, 3] = bad
    weights.save(tmp_path / "bad.npz", network, {})
    with pytest.raises(WeightsError, match="that no trained network has"):
        weights.load(tmp_path / "bad.npz")


def test_other_weights_under_a_good_card_are_refused(tmp_path: Path, good: bytes) -> None:
    source, path = tmp_path / "good.npz", tmp_path / "swapped.npz"
    source.write_bytes(good)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            swapped = npy(np.ones((4, 784), np.float32))
            new.writestr(name, swapped if name == "0.weights.npy" else old.read(name))
    with pytest.raises(WeightsError, match="do not match the checksum"):
        weights.load(path)


def test_the_shipped_card_says_how_it_was_made() -> None:
    network, card = weights.load(weights.SHIPPED)
    assert card["command"].startswith("digits train --data MNIST --out appliance.npz")
    assert card["seed"] == 1
    assert set(card["data"]) == {
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    }
    assert card["parameters"] == network.parameter_count()


def test_the_readme_has_the_card_of_the_shipped_file() -> None:
    _, card = weights.load(weights.SHIPPED)
    text = (weights.SHIPPED.parent / "README.md").read_text()
    assert json.loads(text.split("```json")[1].split("```")[0]) == card
    assert hashlib.sha256(weights.SHIPPED.read_bytes()).hexdigest() in text


def test_weights_whose_answers_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = build([["dense", 784, 100], *[["dense", 100, 100]] * 8, ["dense", 100, 10]])
    network.weights[...] = 9e5
    weights.save(tmp_path / "far.npz", network, {})
    with pytest.raises(WeightsError, match="its answers are no numbers"):
        weights.load(tmp_path / "far.npz")


def test_a_negative_variance_is_refused(tmp_path: Path) -> None:
    network = build([["batch-norm", 784], ["dense", 784, 10]], seed=1)
    network.layers[0].statistics["variance"][3] = -1
    weights.save(tmp_path / "negative.npz", network, {})
    with pytest.raises(WeightsError, match="values that no trained network has"):
        weights.load(tmp_path / "negative.npz")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(WeightsError, match="is no regular file: name a weights file"):
        weights.load(tmp_path / "pipe.npz")
