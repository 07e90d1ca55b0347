"""Files that are either the old one or the whole new one, whatever happens in between."""

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
    """Open a regular file: what `open` takes as its `opener` where others may write.

    A link would lead elsewhere, a pipe would be waited for without end, and a device may do
    anything: each raises NotRegularError.
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
    """Raise NotRegularError for what is there and is no file, where a library opens it by name."""
    with suppress(FileNotFoundError):
        kind = path.lstat().st_mode
        if not stat.S_ISREG(kind):
            raise NotRegularError(path, errno.ELOOP if stat.S_ISLNK(kind) else errno.EINVAL)


def read_regular(path: Path, most: int | None = None) -> bytes:
    """Return what is in a regular file; raises OSError for another, or for more than `most` bytes.

    It is what every small file of a state directory is read with.
    """
    with open(path, "rb", opener=open_regular) as file:
        data = file.read() if most is None else file.read(most + 1)
    if most is not None and len(data) > most:
        raise OSError(errno.EFBIG, f"has more than {most:,} bytes", path)
    return data


def copy_regular(source: Path, to: Path) -> None:
    """Copy what is in a regular file into another; raises OSError."""
    with open(source, "rb", opener=open_regular) as old, open(to, "wb", opener=open_regular) as new:
        shutil.copyfileobj(old, new)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the card: a power cut could undo a rename.

    Raises OSError.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class NewFile:
    """A file beside a place, which is put there in one step when it is whole.

    `file` is open for reading and writing, its name is `.<name>.new`. `folder` is a descriptor of
    the place's folder, for whoever does not trust the way there; it is this one's to close. `put`
    or `drop` ends it. Raises OSError.
    """

    def __init__(self, path: Path, folder: int | None = None) -> None:
        self._folder = os.open(path.parent, os.O_RDONLY) if folder is None else folder
        self._name, self._beside = path.name, f".{path.name}.new"
        try:
            with suppress(FileNotFoundError):
                os.unlink(self._beside, dir_fd=self._folder)
            # Never one that is there already: it could be a link.
            made = os.open(
                self._beside,
                os.O_RDWR | os.O_CREAT | os.O_EXCL,
                0o666,
                dir_fd=self._folder,
            )
        except BaseException:
            os.close(self._folder)
            raise
        self.file: IO[bytes] = os.fdopen(made, "w+b")

    def put(self) -> None:
        """Have the bytes on the card, then the name; a link in the place gives way itself."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.rename()
        finally:
            self.drop()

    def rename(self) -> None:
        """Give the file its name, and have that on the card."""
        os.replace(self._beside, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        # The rename itself is in the folder's data: without this a power cut can undo it.
        os.fsync(self._folder)

    def drop(self) -> None:
        """Remove what has no name yet, if there is something: what was in the place stays."""
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
    """Yield a binary file that takes the place of `path` only when the block ends well.

    The bytes go into `.<name>.new` in the same folder, are flushed to the card, and are renamed in
    one step; on an error the new file is removed and the old one stays. Raises OSError.
    """
    new = NewFile(path)
    try:
        yield new.file
    except BaseException:
        new.drop()
        raise
    new.put()
