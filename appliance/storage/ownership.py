"""A command that root starts works as the user whose folder it works in, and never as root.

Who writes in a folder can put a link, a pipe or a damaged file in the place of any file there, at
any instant. Led by such a thing, root could be made to write, remove or tell of any file; its user
can be made to do no more than that user could do anyway.
"""

import errno
import os
import pwd
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from appliance.errors import StateError
from model.files import NewFile

_NOBODY = 65534


def become_owner(folder: Path) -> None:
    """Give root up for good and be the owner of a folder: user, group and groups.

    One that is not there yet is made by the owner of the nearest that is. Whoever is not root stays
    who it is, and so does root where the folder is root's own. Raises StateError where others may
    write in a folder of root's, or on the way to it, and where the owner may not read the program.
    """
    owner = _owner_to_become(folder)
    if owner is None:
        return
    # Without what root may read: the owner's other groups alone.
    name, group, groups = _account(owner)
    os.setgroups(groups)
    os.setresgid(group, group, group)
    os.setresuid(owner, owner, owner)
    if not os.access(__file__, os.R_OK):
        raise StateError(
            f"{folder} belongs to the user {name}, who may not read the program in "
            f"{Path(__file__).parents[2]}: run the command that 'sudo ./setup.sh install' "
            "installs, or this one as that user"
        )


def _owner_to_become(folder: Path) -> int | None:
    """Return the number of the user that root is to become, None where nothing is to change."""
    if os.geteuid() != 0:
        return None
    there = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    owner = there.stat().st_uid
    if owner != 0:
        return owner
    wrong = _others_may_change(there)
    if wrong is not None:
        raise StateError(
            f"{wrong}: others than root may write there, and root does not work where they do: "
            f"'chown' {folder} to the user that digits runs as, or take their right with "
            f"'chmod go-w {wrong}'"
        )
    return None


def _account(number: int) -> tuple[str, int, list[int]]:
    """Return a user's name, group and groups; one without an account has no group of anybody's."""
    try:
        account = pwd.getpwuid(number)
    except KeyError:
        return f"number {number}", _NOBODY, []
    return account.pw_name, account.pw_gid, os.getgrouplist(account.pw_name, account.pw_gid)


def _others_may_change(path: Path) -> Path | None:
    """Return what others than root may write of a way from the root folder on, None for nothing.

    In a sticky folder, such as /tmp, nobody takes away what is root's. Raises OSError.
    """
    here = Path("/")
    for part in path.absolute().parts[1:]:
        here = here.parent if part == ".." else here / part
        found = here.lstat()
        if stat.S_ISLNK(found.st_mode):
            target = here.parent / os.readlink(here)
            wrong = here if found.st_uid != 0 else _others_may_change(target)
            here = target.resolve()
        else:
            sticky = found.st_mode & stat.S_ISVTX and here != path.absolute()
            open_to_all = found.st_mode & 0o022 and not sticky
            wrong = here if found.st_uid != 0 or open_to_all else None
        if wrong is not None:
            return wrong
    return None


# ---- what a person names, outside of that folder ----


class Placed:
    """A new file that takes a place which root alone may write, though root is given up by then.

    >>> with placed("backup", path, state) as out:
    ...     become_owner(state)
    ...     out.file.write(b"all of it")
    ...     out.put()

    What is not put there is dropped, whatever ends the process.
    """

    def __init__(self, path: Path, new: NewFile, keeper: socket.socket | None) -> None:
        self.path, self._new, self._keeper = path, new, keeper
        self.file: IO[bytes] = new.file

    def put(self) -> None:
        """Give the file its name; raises OSError, and what was in its place then stays."""
        if self._keeper is None:
            self._new.put()
            return
        self.file.flush()
        os.fsync(self.file.fileno())
        self._keeper.sendall(_PUT)
        said = self._keeper.recv(200)
        if said != _PUT:
            number, _, reason = said.decode().partition(" ")
            raise OSError(int(number or errno.EIO), reason or "root's process has ended")


@contextmanager
def placed(what: str, path: Path, folder: Path) -> Iterator[Placed]:
    """Open a new file for a place, before `become_owner(folder)` gives up the right to it.

    A process that stays root gives the file its name when it is told so, and can do nothing else.
    Raises StateError, which begins with `what` the file is.
    """
    new = new_file(what, path)
    try:
        if _owner_to_become(folder) is None:
            yield Placed(path, new, None)
            return
        keeper, process = _keep(new)
        try:
            yield Placed(path, new, keeper)
        finally:
            keeper.close()
            # What was not put in its place is gone before this goes on.
            os.waitpid(process, 0)
    finally:
        new.drop()


def new_file(what: str, path: Path) -> NewFile:
    """Return a new file for a place that somebody named; raises StateError."""
    try:
        if path.exists() and not path.is_file():
            # A pipe or /dev/null is not to be replaced by a file.
            raise OSError(errno.EEXIST, "it is there and no regular file")
        return NewFile(path, open_folder(path.parent))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file's name"
        raise StateError(f"{what} {path}: cannot be written ({reason}): name another") from None


_PUT = b"+"


def _keep(new: NewFile) -> tuple[socket.socket, int]:
    """Start the process that names a file as root; return the line to it, and its number."""
    here, there = socket.socketpair()
    if process := os.fork():
        there.close()
        new.forget()
        return here, process
    try:
        here.close()
        # Ctrl-C is for the one that writes: when that ends, so does the line, and then this.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if there.recv(1) == _PUT:
            try:
                new.rename()
                there.sendall(_PUT)
            except OSError as error:
                there.sendall(f"{error.errno} {error.strerror}".encode())
        new.drop()
    finally:
        os._exit(0)


def open_named(path: Path) -> IO[bytes]:
    """Open a file that a person named, to be read; raises OSError.

    As root no link that is another user's is followed, and what is no file is not waited for.
    """
    if os.geteuid() != 0 or (path.is_file() and _others_may_change(path) is None):
        return open(path, "rb")
    there = _find(path)
    try:
        kind = os.fstat(there).st_mode
        # /dev/null stands for an empty settings file.
        if not (stat.S_ISREG(kind) or path == Path(os.devnull)):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        return open(f"/proc/self/fd/{there}", "rb")
    finally:
        os.close(there)


def open_folder(path: Path) -> int:
    """Return a descriptor of a folder; as root no link that is another user's is followed.

    Raises OSError.
    """
    if os.geteuid() != 0:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    there = _find(path)
    try:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=there)
    finally:
        os.close(there)


def _find(path: Path) -> int:
    """Return a descriptor that only names what is at a path, found step by step."""
    rest = path.absolute().parts
    here = os.open("/", os.O_PATH)
    try:
        for _ in range(_MOST_STEPS):
            if not rest:
                return here
            there = os.open(rest[0], os.O_PATH | os.O_NOFOLLOW, dir_fd=here)
            rest = rest[1:]
            found = os.fstat(there)
            if not stat.S_ISLNK(found.st_mode):
                os.close(here)
                here = there
                continue
            target = os.readlink("", dir_fd=there)
            os.close(there)
            if found.st_uid != 0:
                raise OSError(errno.ELOOP, "root follows no link of another user's on the way")
            rest = (*Path(target).parts, *rest)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    except OSError as error:
        os.close(here)
        raise OSError(error.errno, error.strerror, str(path)) from None


_MOST_STEPS = 400
"""Folders and links on the way to a file; links may lead round in a circle."""
