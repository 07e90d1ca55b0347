"""A training on disk, to be resumed bit for bit after a power cut."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from model.errors import CheckpointError
from model.files import read_regular, replace_file
from model.train import TrainingRun
from model.weights import to_npz

FORMAT = 2
"""Changes with the order of the digits too: a training begun in another format begins anew."""
_LARGEST = 64_000_000


def save(path: Path, run: TrainingRun, about: dict[str, Any]) -> int:
    """Write the state of a training to `path` atomically; return its bytes. Raises OSError.

    `about` identifies the training, as JSON: data, recipe, seed.
    """
    arrays, facts = run.state()
    card = {"format": FORMAT, "about": about, "facts": facts, "sha256": _checksum(arrays)}
    text = json.dumps(card).encode()
    with replace_file(path) as file:
        return file.write(to_npz(facts=np.frombuffer(text, np.uint8), **arrays))


def load(path: Path, run: TrainingRun, about: dict[str, Any]) -> bool:
    """Restore the state of a training from `path`; return False where there is no such file.

    Raises CheckpointError for a damaged file or one of another training; `run` is of no more use
    then.
    """
    try:
        with np.load(io.BytesIO(read_regular(path, _LARGEST)), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        text = json.loads(arrays.pop("facts").tobytes())
        if text["sha256"] != _checksum(arrays):
            raise ValueError("it does not match its checksum")
        if text.get("format") != FORMAT:
            raise ValueError("another version of the program wrote it")
        if text["about"] != json.loads(json.dumps(about)):
            raise ValueError("it is of other data, another network or another recipe")
        run.restore(arrays, text["facts"])
    except FileNotFoundError:
        return False
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path}: this training cannot be taken up again ({error}): it begins anew"
        ) from None
    return True


def _checksum(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name], "<f4").tobytes())
    return digest.hexdigest()
