"""Data sets on disk, memory-mapped: MNIST's four idx files, or the book's CSV form.

idx: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits": a big-endian header
(magic, count, and for pictures rows and columns), then one byte a value; plain or gzipped.
CSV: T. Rashid, "Make Your Own Neural Network": on each line a digit's label and its 784 pixels,
0…255.
"""

import codecs
import errno
import gzip
import hashlib
import math
import mmap
import os
import struct
import tempfile
import zlib
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from model.errors import DatasetError
from model.files import open_regular, replace_file
from model.layers import Array
from model.shuffle import Rows

# sha256 of each unpacked file: the gzip wrappers differ between mirrors, the content does not.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SPLITS = {"train": "train", "test": "t10k"}
_CHUNK = 1 << 20
_LARGEST = 100_000_000
_IDX3_HEADER = 16
# 784 values of three digits and a comma, and room for spaces.
_LONGEST_LINE = 10_000
# Spreadsheets begin a file with it.

Bytes = npt.NDArray[np.uint8]


class PictureFile:
    """An open file of pictures of 784 bytes each, the first of them at byte `start`."""

    def __init__(self, file: IO[bytes], start: int) -> None:
        self._descriptor, self._start = os.dup(file.fileno()), start

    def read(self, rows: Rows) -> Bytes:
        """Return the pictures uint8 (n, 784) at some rows; raises DatasetError."""
        images = np.empty((len(rows), 784), np.uint8)
        for image, row in zip(images, rows.tolist(), strict=True):
            if os.preadv(self._descriptor, [image.data], self._start + row * 784) != 784:
                raise DatasetError("the data set became shorter while it was read: start again")
        return images

    def __del__(self) -> None:
        os.close(self._descriptor)


@dataclass(frozen=True)
class Split:
    """One part of a data set: images uint8 (n, 784), 0 = background, 255 = ink; labels uint8 (n,).

    The labels are digits, of simulated photographs also `network.NOT_A_DIGIT`. `checksums` maps
    each file's name to the sha256 of its unpacked bytes. Images that are mapped from a file have it
    as `source`.
    """

    images: Bytes
    labels: Bytes
    checksums: dict[str, str] = field(default_factory=dict)
    source: PictureFile | None = None

    @classmethod
    def from_file(cls, pictures: IO[bytes], labels: Bytes) -> "Split":
        """Return a data set whose pictures, 784 bytes each, are in an open and flushed file."""
        images = _map_array(pictures, 0, (len(labels), 784))
        return cls(images, labels, source=PictureFile(pictures, 0))

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, digits: int) -> "Split":
        """Return the first digits as a data set."""
        return replace(self, images=self.images[:digits], labels=self.labels[:digits])

    def take(self, rows: Rows) -> tuple[Bytes, Bytes]:
        """Return copies of the pictures and labels at some rows.

        Mapped pictures are read from their file: every page of a map that is touched counts as this
        process's memory, and a shuffled epoch would touch them all.
        """
        images = self.images[rows] if self.source is None else self.source.read(rows)
        return images, self.labels[rows]


@dataclass(frozen=True)
class Scaling:
    """Scale pixels 0…255 to a network's inputs: pixel · scale + offset, float32."""

    scale: float = 1 / 255
    offset: float = 0.0

    def __call__(self, images: Bytes) -> Array:
        x: Array = np.multiply(images, np.float32(self.scale), dtype=np.float32)
        if self.offset:
            x += np.float32(self.offset)
        return x


def load_split(folder: Path, split: str) -> Split:
    """Return the "train" or "test" part of the data set in `folder`.

    These are MNIST's idx files, else the book's `mnist_train.csv` and `mnist_test.csv`; `folder`
    may also be one CSV file. The pictures stay on disk and are paged in as they are used. Raises
    DatasetError for a file that is missing, damaged, or does not fit its partner.
    """
    if is_csv_file(folder):
        return load_csv(folder)
    table = folder / f"mnist_{split}.csv"
    if table.is_file() and _lacks_idx(folder, split):
        return load_csv(table)
    stem = SPLITS[split]
    names = f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte"
    (images, images_sum, source), (labels, labels_sum, _) = (
        _read_idx(folder, name) for name in names
    )
    if len(images) != len(labels):
        raise DatasetError(
            f"{folder}: {len(images)} pictures do not fit {len(labels)} labels: "
            f"fetch the data set again with 'digits data fetch --to {folder}'"
        )
    if len(labels) == 0 or int(labels.max()) > 9:
        raise DatasetError(f"{folder}/{names[1]}: the labels are not digits 0 to 9")
    return Split(
        images.reshape(len(images), -1),
        labels,
        {names[0]: images_sum, names[1]: labels_sum},
        source,
    )


def is_csv_file(path: Path) -> bool:
    """Tell whether a path names one CSV file, which is not divided into "train" and "test"."""
    return path.suffix == ".csv" and not path.is_dir()


def _lacks_idx(folder: Path, split: str) -> bool:
    return all(
        find_file(folder, name) is None for name in MNIST_SHA256 if name.startswith(SPLITS[split])
    )


def load_csv(path: Path) -> Split:
    """Return the digits of a CSV file: on each line a label 0…9 and 784 pixels 0…255.

    A first line of column names is skipped. The pixels go into a temporary file and are mapped from
    there. Raises DatasetError, with the number of the line, for anything else.
    """
    digest, digits = hashlib.sha256(), 0
    with open_temporary() as pixels, open_temporary() as labels:
        try:
            with open(path, "rb") as file:
                for number in count(1):
                    line = file.readline(_LONGEST_LINE)
                    if not line:
                        break
                    digest.update(line)
                    if number == 1:
                        line = line.removeprefix(codecs.BOM_UTF8)
                        _refuse_utf_16(path, line)
                    if not line.strip() or (number == 1 and line[:1].isalpha()):
                        continue
                    values = _parse_line(path, number, line)
                    labels.write(values[:1])
                    pixels.write(values[1:])
                    digits += 1
            pixels.flush()
            labels.flush()
        except OSError as error:
            raise _read_error(path, error) from None
        if not digits:
            raise DatasetError(
                f"{path}: there is no digit in it: each line is a label and 784 pixels"
            )
        split = Split.from_file(pixels, _map_array(labels, 0, (digits,)))
        return replace(split, checksums={path.name: digest.hexdigest()})


def _refuse_utf_16(path: Path, line: bytes) -> None:
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DatasetError(f"{path}: it is text in UTF-16: save it with the encoding UTF-8")


def _parse_line(path: Path, number: int, line: bytes) -> bytes:
    try:
        values = bytes(map(int, line.split(b",")))
    except ValueError:
        raise DatasetError(
            f"{path}, line {number}: not whole numbers from 0 to 255 with commas between them: "
            f"it begins {line[:20]!r}"
        ) from None
    if len(values) != 785:
        raise DatasetError(
            f"{path}, line {number}: {len(values)} values where a label and 784 pixels belong"
        )
    if values[0] > 9:
        raise DatasetError(f"{path}, line {number}: its label is {values[0]}, not a digit 0 to 9")
    return values


def find_file(folder: Path, name: str) -> Path | None:
    """Return the path of one MNIST file in a folder, plain or with .gz, or None."""
    places = folder / name, folder / f"{name}.gz"
    return next((place for place in places if place.is_file()), None)


def list_missing(folder: Path) -> list[str]:
    """Return the names of MNIST's files that a folder lacks."""
    return [name for name in MNIST_SHA256 if find_file(folder, name) is None]


def is_genuine(path: Path, name: str) -> bool:
    """Tell whether a file has the content of the MNIST file `name`."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            return _unpack(file, path, None) == MNIST_SHA256[name]
    except DatasetError:
        return False


def import_file(source: IO[bytes], path: Path, folder: Path, name: str = "") -> Path:
    """Unpack or copy one MNIST file into `folder` and return its path there.

    `path` is the source's name in errors, `name` which of the four files it is (empty: by the
    path). Raises DatasetError for other content, and what was in `folder` then stays; raises
    OSError.
    """
    name = name or path.name.removesuffix(".gz")
    if name not in MNIST_SHA256:
        raise DatasetError(
            f"{path}: not one of MNIST's files: the names are {', '.join(MNIST_SHA256)}, "
            "plain or with .gz"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with replace_file(folder / name) as file:
        checksum = _unpack(source, path, file)
        if checksum != MNIST_SHA256[name]:
            raise DatasetError(
                f"{path}: its content is not MNIST's {name}: sha256 {checksum[:12]}… where "
                f"{MNIST_SHA256[name][:12]}… belongs; delete it and fetch it again"
            )
    return folder / name


def _read_idx(folder: Path, name: str) -> tuple[Bytes, str, PictureFile]:
    """Map one idx file, and return its array, its checksum and the file.

    A gzipped one is unpacked into a temporary file.
    """
    path = find_file(folder, name)
    if path is None:
        raise DatasetError(
            f"{folder}: there is no {name} in it (nor {name}.gz): "
            f"run 'digits data fetch --to {folder}'"
        )
    if path.suffix != ".gz":
        with open(path, "rb", opener=open_regular) as file:
            checksum = _unpack(file, path, None)
            return _map_idx(file, path), checksum, PictureFile(file, _IDX3_HEADER)
    with open_temporary() as unpacked, open(path, "rb", opener=open_regular) as file:
        checksum = _unpack(file, path, unpacked)
        return _map_idx(unpacked, path), checksum, PictureFile(unpacked, _IDX3_HEADER)


def _read_error(path: Path, error: OSError) -> DatasetError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DatasetError(
            f"{path}: there is no room to unpack it in /var/tmp ({error.strerror}): free 50 MB"
        )
    return DatasetError(f"{path}: cannot be read ({error.strerror}): name a file that can")


def open_temporary() -> IO[bytes]:
    """Open a temporary file on the card: /tmp is RAM on Raspberry Pi OS trixie."""
    return tempfile.TemporaryFile(dir="/var/tmp" if Path("/var/tmp").is_dir() else None)


def _map_idx(file: IO[bytes], path: Path) -> Bytes:
    dimensions = 3 if "idx3" in path.name else 1
    header = _IDX3_HEADER if dimensions == 3 else 8
    file.seek(0)
    start = file.read(header)
    size = file.seek(0, 2)
    if len(start) < header or start[:4] != bytes([0, 0, 8, dimensions]):
        raise DatasetError(f"{path}: not an idx file of bytes in {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", start[4:])
    if dimensions == 3 and shape[1:] != (28, 28):
        raise DatasetError(f"{path}: its pictures are {shape[1]}×{shape[2]}, not 28×28")
    expected = header + int(np.prod(shape, dtype=np.uint64))
    if size != expected:
        raise DatasetError(
            f"{path}: it has {size} bytes where its header promises {expected}: "
            "the file is damaged, fetch it again"
        )
    if shape[0] == 0:
        return np.zeros(shape, np.uint8)
    return _map_array(file, header, shape)


def _map_array(file: IO[bytes], start: int, shape: tuple[int, ...]) -> Bytes:
    """Map a file as a plain array, which is indexed several times faster than np.memmap."""
    memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(memory, np.uint8, math.prod(shape), start).reshape(shape)


def _unpack(source: IO[bytes], path: Path, target: IO[bytes] | None) -> str:
    """Copy a plain or gzipped file into `target` (or nowhere) and return the content's sha256."""
    digest, size = hashlib.sha256(), 0
    try:
        source.seek(0)
        packed = source.read(2) == b"\x1f\x8b"
        source.seek(0)
        file = gzip.GzipFile(fileobj=source) if packed else source
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > _LARGEST:
                raise DatasetError(f"{path}: larger than any of MNIST's files")
            digest.update(chunk)
            if target is not None:
                target.write(chunk)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{path}: not a whole gzip file ({error}): delete it and fetch it again"
        ) from None
    except OSError as error:
        raise _read_error(path, error) from None
    return digest.hexdigest()
