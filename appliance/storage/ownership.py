"""A command that root starts drops to the user who owns the folder it works in.

Whoever may write in a folder can put a link, a pipe or a damaged file in the place of any file
there, at any instant. Root could so be made to write, remove or reveal any file; the folder's owner
can be made to do only what that user could do anyway.
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
    """Drop root's rights for good and be the owner of a folder: user, group and groups.

    A folder that is not there yet belongs to the owner of its nearest parent. A process that is not
    root's, or a folder that is, changes nothing. Raises StateError where others may write in a
    folder of root's, or on the way to it, and where the owner may not read the program.
    """
    owner = _find_new_owner(folder)
    if owner is None:
        return
    # The owner's own groups, none of root's.
    name, group, groups = _look_up_account(owner)
    os.setgroups(groups)
    os.setresgid(group, group, group)
    os.setresuid(owner, owner, owner)
    if not os.access(__file__, os.R_OK):
        raise StateError(
            f"{folder} belongs to the user {name}, who may not read the program in "
            f"{Path(__file__).parents[2]}: run the command that 'sudo ./setup.sh install' "
            "installs, or this one as that user"
        )


def _find_new_owner(folder: Path) -> int | None:
    """Return the id of the user that root is to become, None to stay who it is."""
    if os.geteuid() != 0:
        return None
    existing = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    owner = existing.stat().st_uid
    if owner != 0:
        return owner
    unsafe = _find_unsafe_part(existing)
    if unsafe is not None:
        raise StateError(
            f"{unsafe}: others than root may write there, and root does not work where they do: "
            f"'chown' {folder} to the user that digits runs as, or take their right with "
            f"'chmod go-w {unsafe}'"
        )
    return None


def _look_up_account(id: int) -> tuple[str, int, list[int]]:
    """Return a user's name, group and groups; without an account the group is nobody's."""
    try:
        account = pwd.getpwuid(id)
    except KeyError:
        return f"number {id}", _NOBODY, []
    return account.pw_name, account.pw_gid, os.getgrouplist(account.pw_name, account.pw_gid)


def _find_unsafe_part(path: Path) -> Path | None:
    """Return the first part of a path that others than root may change, None for none.

    In a sticky folder, such as /tmp, nobody can remove what is root's. Raises OSError.
    """
    here = Path("/")
    for part in path.absolute().parts[1:]:
        here = here.parent if part == ".." else here / part
        entry = here.lstat()
        if stat.S_ISLNK(entry.st_mode):
            target = here.parent / os.readlink(here)
            unsafe = here if entry.st_uid != 0 else _find_unsafe_part(target)
            here = target.resolve()
        else:
            sticky = entry.st_mode & stat.S_ISVTX and here != path.absolute()
            writable = entry.st_mode & 0o022 and not sticky
            unsafe = here if entry.st_uid != 0 or writable else None
        if unsafe is not None:
            return unsafe
    return None


# ---- files that a person names on the command line


class OutputFile:
    """A new file in a folder that only root may write in, written by a process that is not root.

    >>> with open_output("backup", path, state) as out:
    ...     become_owner(state)
    ...     out.file.write(b"all of it")
    ...     out.put()

    Without `put` it is removed, whatever ends the process.
    """

    def __init__(self, path: Path, new: NewFile, renamer: socket.socket | None) -> None:
        self.path, self._new, self._renamer = path, new, renamer
        self.file: IO[bytes] = new.file

    def put(self) -> None:
        """Give the file its name; raises OSError, and leaves what was there."""
        if self._renamer is None:
            self._new.put()
            return
        self.file.flush()
        os.fsync(self.file.fileno())
        self._renamer.sendall(_PUT)
        answer = self._renamer.recv(200)
        if answer != _PUT:
            number, _, reason = answer.decode().partition(" ")
            raise OSError(int(number or errno.EIO), reason or "root's process has ended")


@contextmanager
def open_output(what: str, path: Path, folder: Path) -> Iterator[OutputFile]:
    """Open a new file, before `become_owner(folder)` takes the right to do so.

    A process that stays root renames the file when asked to, and can do nothing else. Raises
    StateError, which begins with `what` the file is.
    """
    new = create_output(what, path)
    try:
        if _find_new_owner(folder) is None:
            yield OutputFile(path, new, None)
            return
        renamer, process = _fork_renamer(new)
        try:
            yield OutputFile(path, new, renamer)
        finally:
            renamer.close()
            # By its end a file that was not put is removed.
            os.waitpid(process, 0)
    finally:
        new.drop()


def create_output(what: str, path: Path) -> NewFile:
    """Return a new file that is to be renamed to a path; raises StateError."""
    try:
        if path.exists() and not path.is_file():
            # A file must not replace a pipe or /dev/null.
            raise OSError(errno.EEXIST, "it is there and no regular file")
        return NewFile(path, open_folder(path.parent))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file's name"
        raise StateError(f"{what} {path}: cannot be written ({reason}): name another") from None


_PUT = b"+"


def _fork_renamer(new: NewFile) -> tuple[socket.socket, int]:
    """Start the process that renames a file as root; return a socket to it, and its id."""
    here, there = socket.socketpair()
    if process := os.fork():
        there.close()
        new.forget()
        return here, process
    try:
        here.close()
        # Ctrl-C ends the writer; that closes the socket, which ends this process.
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


def open_input(path: Path) -> IO[bytes]:
    """Open a file to read; raises OSError.

    Root follows no link of another user's, and waits for no pipe.
    """
    if os.geteuid() != 0 or (path.is_file() and _find_unsafe_part(path) is None):
        return open(path, "rb")
    found = _resolve(path)
    try:
        kind = os.fstat(found).st_mode
        # /dev/null stands for an empty settings file.
        if not (stat.S_ISREG(kind) or path == Path(os.devnull)):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        return open(f"/proc/self/fd/{found}", "rb")
    finally:
        os.close(found)


def open_folder(path: Path) -> int:
    """Return a descriptor of a folder; root follows no link of another user's. Raises OSError."""
    if os.geteuid() != 0:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    found = _resolve(path)
    try:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=found)
    finally:
        os.close(found)


_MAX_STEPS = 400
"""Folders and links on the way to a file; links may lead round in a circle."""


def _resolve(path: Path) -> int:
    """Return an O_PATH descriptor of what is at a path, followed step by step."""
    rest = path.absolute().parts
    here = os.open("/", os.O_PATH)
    try:
        for _ in range(_MAX_STEPS):
            if not rest:
                return here
            there = os.open(rest[0], os.O_PATH | os.O_NOFOLLOW, dir_fd=here)
            rest = rest[1:]
            entry = os.fstat(there)
            if not stat.S_ISLNK(entry.st_mode):
                os.close(here)
                here = there
                continue
            target = os.readlink("", dir_fd=there)
            os.close(there)
            if entry.st_uid != 0:
                raise OSError(errno.ELOOP, "root follows no link of another user's on the way")
            rest = (*Path(target).parts, *rest)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    except OSError as error:
        os.close(here)
        raise OSError(error.errno, error.strerror, str(path)) from None
