"""Pictures of 28×28 in a file, their labels after them: a night needs no memory for them."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from model.datasets import Bytes, Split
from model.files import open_regular, replace_file

_PIXELS = 784


def write_pictures(path: Path, blocks: Iterable[tuple[Bytes, Bytes]]) -> list[Any]:
    """Write blocks of pictures uint8 (n, 784), then all their labels, a byte each.

    Returns their number and the sha256 of the file. Raises OSError.
    """
    labels, digest = bytearray(), hashlib.sha256()
    with replace_file(path) as file:
        for pictures, answers in blocks:
            file.write(pictures.tobytes())
            digest.update(pictures.tobytes())
            labels += answers.tobytes()
        file.write(labels)
        digest.update(labels)
    return [len(labels), digest.hexdigest()]


def read_pictures(path: Path, count: int, checksum: str) -> Split:
    """Return the pictures of a file; raises OSError, or ValueError where it is damaged."""
    with open(path, "rb", opener=open_regular) as file:
        if os.fstat(file.fileno()).st_size != (_PIXELS + 1) * count:
            raise ValueError(f"{path.name} has another size than it had")
        if hashlib.file_digest(file, "sha256").hexdigest() != checksum:
            raise ValueError(f"{path.name} does not match its checksum")
        if not count:
            return Split(np.empty((0, _PIXELS), np.uint8), np.empty(0, np.uint8))
        file.seek(_PIXELS * count)
        return Split.from_file(file, np.frombuffer(file.read(), np.uint8))
