"""Weights files: an .npz without pickle, with a card of how the network was made.

The file has one float32 array for each parameter and `card`, JSON as bytes. The card's `sha256`
covers the layers and every weight. The same network and card give the same bytes.
"""

import hashlib
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import WeightsError
from model.files import NotRegularError, open_regular, replace_file
from model.network import DIGITS, KINDS, NOT_A_DIGIT, Network, build

FORMAT = 2
SHIPPED = (Path(__file__).parent / "shipped" / "appliance.npz").resolve()
"""The network that ships with the appliance."""

# Checked before anything is allocated: far above any network that a Pi Zero can run, far below what
# would exhaust it.
_MOST_LAYERS = 64
_MOST_PARAMETERS = 4_000_000
_MOST_MULTIPLY_ADDS = 20_000_000
_MOST_UNITS = 65_536
_MOST_CARD_BYTES = 100_000


def save(path: Path, network: Network, card: dict[str, Any]) -> dict[str, Any]:
    """Write a folded network and its card to `path` atomically; return the completed card.

    Adds `format`, `layers`, `parameters`, `multiply_adds` and `sha256` to the card. Raises OSError.
    """
    card = {
        **card,
        "format": FORMAT,
        "layers": network.spec(),
        "parameters": network.parameter_count(),
        "multiply_adds": network.multiply_adds(),
        "sha256": checksum(network),
    }
    text = json.dumps(card, indent=1).encode()
    arrays = dict(network.arrays())
    with replace_file(path) as file:
        file.write(to_npz(card=np.frombuffer(text, np.uint8), **arrays))
    return card


def to_npz(**arrays: npt.NDArray[Any]) -> bytes:
    """Return named arrays as the bytes of an .npz file.

    In memory: zipfile raises again from its destructor for an archive that a full disk cut off.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def load(path: Path) -> tuple[Network, dict[str, Any]]:
    """Return the network in a weights file and its card, verified.

    Raises WeightsError for a file that is missing, damaged, hostile or not ours. A link is not
    followed: resolve one that is trusted.
    """
    try:
        with open(path, "rb", opener=open_regular) as file, zipfile.ZipFile(file) as archive:
            card = _read_card(archive)
            network = _build_checked(card)
            for name, values in network.arrays():
                values[...] = _read_array(archive, name, np.dtype(np.float32), values.shape)
            _check_answers(network)
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: no such weights file: make one with 'digits train --data DIR --out {path}'"
        ) from None
    except NotRegularError as error:
        raise WeightsError(f"{path}: {error.strerror}: name a weights file") from None
    except OSError as error:
        raise WeightsError(f"{path}: the weights file cannot be read ({error})") from None
    except Exception as error:
        # zipfile, zlib, numpy and json raise a dozen kinds for a damaged or hostile file.
        raise WeightsError(
            f"{path}: not a whole weights file of this appliance ({_reason(error)}): "
            "take the file from its source again, or make one with 'digits train'"
        ) from None
    if card.get("sha256") != checksum(network):
        raise WeightsError(
            f"{path}: the weights do not match the checksum on their card: the file is damaged; "
            "take it from its source again"
        )
    return network, card


def checksum(network: Network) -> str:
    """Return the sha256 of the layers and of every weight, little-endian."""
    digest = hashlib.sha256(json.dumps(network.spec()).encode())
    for _, values in network.arrays():
        digest.update(np.ascontiguousarray(values, "<f4").tobytes())
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error.args[0]!r}"
    return (str(error) or type(error).__name__)[:200]


def _read_card(archive: zipfile.ZipFile) -> dict[str, Any]:
    size = archive.getinfo("card.npy").file_size
    if size > _MOST_CARD_BYTES:
        raise ValueError(f"a card of {size} bytes")
    card = json.loads(_read_array(archive, "card", np.dtype(np.uint8), None).tobytes())
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ValueError(f"its card is not of format {FORMAT}")
    return card


def _build_checked(card: dict[str, Any]) -> Network:
    """Return the card's network, weights 0; raises ValueError for impossible layers or sizes.

    Nothing is allocated before it is known to be small.
    """
    layers = card["layers"]
    if not isinstance(layers, list) or not 0 < len(layers) <= _MOST_LAYERS:
        raise ValueError("its card has no list of layers")
    parameters = 0
    for layer in layers:
        if not isinstance(layer, list) or not layer or layer[0] not in KINDS:
            raise ValueError(f"a layer {layer!r}")
        kind, *sizes = layer
        # A dropout has a rate; all else are whole numbers, and last, whether there is a bias.
        bias = {"dense": 2, "conv": 4}.get(kind)
        if bias is not None and sizes[bias:] in ([True], [False]):
            sizes = sizes[:bias]
        if kind != "dropout" and not all(
            type(size) is int and 0 <= size <= _MOST_UNITS for size in sizes
        ):
            raise ValueError(f"a layer {layer!r}")
        if kind in ("dense", "conv", "book-output"):
            if len(sizes) < 2 or 0 in sizes[:3]:
                raise ValueError(f"a layer {layer!r}")
            kernel = sizes[2] if kind == "conv" else 1
            parameters += sizes[0] * sizes[1] * kernel**2
    if parameters > _MOST_PARAMETERS:
        raise ValueError(f"{parameters} parameters")
    network = build(layers, initial="none")
    if network.shapes[-1] not in ((DIGITS,), (NOT_A_DIGIT + 1,)):
        raise ValueError(
            "its layers do not lead from 784 pixels to 10 digits, with or without 'not a digit'"
        )
    if network.multiply_adds() > _MOST_MULTIPLY_ADDS:
        raise ValueError(f"{network.multiply_adds()} multiply-adds a digit")
    if max(math.prod(shape) for shape in network.shapes) > _MOST_UNITS:
        raise ValueError("a layer of more units than a Pi Zero can hold")
    return network


def _check_answers(network: Network) -> None:
    """Raise ValueError where the answers to a blank or a full picture are not finite."""
    if not network.is_finite():
        raise ValueError("it has values that no trained network has")
    with np.errstate(all="ignore"):
        for level in (0.0, 1.0):
            probabilities = network.probabilities(np.full((1, 784), level, np.float32))
            if not np.isfinite(probabilities).all():
                raise ValueError("its answers are no numbers")


def _read_array(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...] | None
) -> npt.NDArray[Any]:
    """Return one array of the archive; its size and type are checked before it is read."""
    member = f"{name}.npy"
    if archive.getinfo(member).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed in a way that numpy does not use")
    if shape is not None:
        expected = math.prod(shape) * dtype.itemsize
        # An .npy header is 64 to a few hundred bytes long.
        if not expected < archive.getinfo(member).file_size < expected + 1024:
            raise ValueError(f"{name} is not {' × '.join(map(str, shape))}")
    raw = io.BytesIO(archive.read(member))
    if np.lib.format.read_magic(raw) != (1, 0):
        raise ValueError(f"{name} is not an .npy array of version 1.0")
    actual, fortran, kind = np.lib.format.read_array_header_1_0(raw)
    if kind != dtype or fortran or (shape is not None and actual != shape):
        raise ValueError(f"{name} is {kind} {actual}")
    values = np.frombuffer(raw.read(), dtype)
    if values.size != math.prod(actual):
        raise ValueError(f"{name} has missing values")
    return values.reshape(actual)
