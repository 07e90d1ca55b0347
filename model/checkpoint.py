"""A training on disk, to be taken up again bit for bit after a power cut."""

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
"""Another order of the digits, or other contents, is another format: what was begun begins anew."""
_LARGEST = 64_000_000


def save(path: Path, course: TrainingRun, about: dict[str, Any]) -> int:
    """Write where a course stands to `path` in one step; return the bytes. Raises OSError.

    `about` tells, in JSON, which course it is: data, recipe, seed.
    """
    arrays, facts = course.state()
    card = {"format": FORMAT, "about": about, "facts": facts, "sha256": _checksum(arrays)}
    text = json.dumps(card).encode()
    with replace_file(path) as file:
        return file.write(to_npz(facts=np.frombuffer(text, np.uint8), **arrays))


def load(path: Path, course: TrainingRun, about: dict[str, Any]) -> bool:
    """Bring a course to where `path` says it stood; False where there is no such file.

    Raises CheckpointError, in a sentence, for a damaged file or one of another course; make the
    course anew then.
    """
    try:
        with np.load(io.BytesIO(read_regular(path, _LARGEST)), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        text = json.loads(arrays.pop("facts").tobytes())
        if text["sha256"] != _checksum(arrays):
            raise ValueError("it does not match its checksum")
        if text.get("format") != FORMAT:
            raise ValueError("another version of the program wrote it")
        if text["about"] != json.loads(json.dumps(about)):
            raise ValueError("it is of other data, another network or another recipe")
        course.restore(arrays, text["facts"])
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
