"""Atomic writes, and files that are opened only where they are regular ones."""

import codecs
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


class NotRegularError(OSError):
    """There is a link, a pipe, a folder or a device in the place of a file."""

    def __init__(self, path: Any, number: int = errno.EINVAL) -> None:
        link = number == errno.ELOOP
        what = "is a link, and none is followed there" if link else "is no regular file"
        super().__init__(number, what, str(path))


def open_regular(path: Any, flags: int) -> int:
    """Open a regular file: the `opener` for `open` in a folder that others may write in.

    A link, which leads elsewhere, a pipe, which blocks, a folder and a device raise
    NotRegularError.
    """
    try:
        opened = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise NotRegularError(path, error.errno) from None
        raise
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise NotRegularError(path)
    return opened


def check_regular(path: Path) -> None:
    """Raise NotRegularError for what is there and no regular file, before a library opens it."""
    with suppress(FileNotFoundError):
        kind = path.lstat().st_mode
        if not stat.S_ISREG(kind):
            raise NotRegularError(path, errno.ELOOP if stat.S_ISLNK(kind) else errno.EINVAL)


def is_regular(path: Path) -> bool:
    """Tell whether there is a regular file, and no link to one."""
    with suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def read_regular(path: Path, most: int | None = None) -> bytes:
    """Return the content of a regular file; raises OSError, also for more than `most` bytes."""
    with open(path, "rb", opener=open_regular) as file:
        data = file.read() if most is None else file.read(most + 1)
    if most is not None and len(data) > most:
        raise OSError(errno.EFBIG, f"has more than {most:,} bytes", path)
    return data


def decode_file(data: bytes) -> str:
    """Return the text of a file that a person wrote: UTF-8, or UTF-16 with a byte order mark.

    Windows' editors put such a mark before both; it is no part of the text. Raises ValueError.
    """
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"not text in UTF-8 (byte {error.start + 1} is none): save it with the encoding UTF-8"
        ) from None


def copy_regular(source: Path, to: Path) -> None:
    """Copy the content of a regular file into another; raises OSError."""
    with open(source, "rb", opener=open_regular) as old, open(to, "wb", opener=open_regular) as new:
        shutil.copyfileobj(old, new)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the card; raises OSError."""
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class NewFile:
    """A temporary file `.<name>.new` beside `path`, which is renamed to it when it is complete.

    `file` is open for reading and writing. `folder` is a descriptor of the folder, for whoever does
    not trust the path to it; it is closed here. End it with `put` or `drop`. Raises OSError.
    """

    def __init__(self, path: Path, folder: int | None = None) -> None:
        self._folder = os.open(path.parent, os.O_RDONLY) if folder is None else folder
        self._name, self._beside = path.name, f".{path.name}.new"
        try:
            with suppress(FileNotFoundError):
                os.unlink(self._beside, dir_fd=self._folder)
            # O_EXCL: what is there already could be a link.
            descriptor = os.open(
                self._beside,
                os.O_RDWR | os.O_CREAT | os.O_EXCL,
                0o666,
                dir_fd=self._folder,
            )
        except BaseException:
            os.close(self._folder)
            raise
        self.file: IO[bytes] = os.fdopen(descriptor, "w+b")

    def put(self) -> None:
        """Flush the bytes to the card, then rename; a link at `path` is itself replaced."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.rename()
        finally:
            self.drop()

    def rename(self) -> None:
        """Give the file its name, and flush that to the card."""
        os.replace(self._beside, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        # Without this a power cut can undo the rename.
        os.fsync(self._folder)

    def drop(self) -> None:
        """Remove the temporary file, if it still has no name: what was at `path` stays."""
        with suppress(OSError):
            self.file.close()
        if self._folder >= 0:
            with suppress(OSError):
                os.unlink(self._beside, dir_fd=self._folder)
            self.forget()

    def forget(self) -> None:
        """Leave the file to another process that knows it."""
        os.close(self._folder)
        self._folder = -1


@contextmanager
def replace_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that replaces `path` atomically where the block ends without an error.

    After an error the old file stays. Raises OSError.
    """
    new = NewFile(path)
    try:
        yield new.file
    except BaseException:
        new.drop()
        raise
    new.put()
