"""Files that are either the old one or the whole new one, whatever happens in between."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


def regular(path: Any, flags: int) -> int:
    """Open a regular file: what `open` takes as its `opener` where others may write.

    A link would lead elsewhere, a pipe would be waited for without end, and a device may do
    anything: each is an OSError that says which it is.
    """
    try:
        opened = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "is a link, and none is followed there", path) from None
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, _NOT_REGULAR, path) from None
        raise
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, _NOT_REGULAR, path)
    return opened


def read_regular(path: Path, most: int | None = None) -> bytes:
    """Return what is in a regular file; raises OSError for another, or for more than `most` bytes.

    It is what every small file of a state directory is read with.
    """
    with open(path, "rb", opener=regular) as file:
        data = file.read() if most is None else file.read(most + 1)
    if most is not None and len(data) > most:
        raise OSError(errno.EFBIG, f"has more than {most:,} bytes", path)
    return data


_NOT_REGULAR = "is no regular file"


def probe(path: Path) -> None:
    """Raise OSError or ValueError now when `replaced(path)` would later."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        # A pipe or /dev/null is not to be replaced by a file.
        raise OSError(errno.EEXIST, "it is there and no regular file", str(path))
    beside = path.with_name(f".{path.name}.new")
    beside.touch()
    beside.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder where there is none; raises OSError.

    One that root makes belongs to whom the folder around it belongs to: a command with sudo is not
    to shut the service's own user out.
    """
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        owner = folder.parent.stat()
        with suppress(OSError):
            os.chown(folder, owner.st_uid, owner.st_gid)


@contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """Be the folder's user for a while, where this is root.

    Made with sudo a file is the service's all the same, and no link in its folder leads root to a
    file that the service may not write.
    """
    if os.geteuid() != 0:
        yield
        return
    found = folder.stat()
    os.setegid(found.st_gid)
    os.seteuid(found.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def as_oneself() -> Iterator[None]:
    """Be root again for a while, where `as_owner_of` made root another user."""
    user, group = os.geteuid(), os.getegid()
    os.seteuid(os.getuid())
    os.setegid(os.getgid())
    try:
        yield
    finally:
        os.setegid(group)
        os.seteuid(user)


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the place of `path` only when the block ends well.

    The bytes go into `.<name>.new` in the same folder, are flushed to the card, and are renamed in
    one step; on an error the new file is removed and the old one stays. Raises OSError.
    """
    # What a link points to is replaced, not the link.
    path = path.resolve()
    beside = path.with_name(f".{path.name}.new")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    # The rename itself is in the folder's data: without this a power cut can undo it.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
