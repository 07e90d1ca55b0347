"""The owner: the one who knows the PIN, and may change what everyone else may look at."""

import json
import logging
import math
import os
import re
import secrets
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from werkzeug.security import check_password_hash, generate_password_hash

from appliance.errors import StateError
from model.files import read_regular, replace_file

log = logging.getLogger("appliance")

DIGITS = 6
FREE_TRIES = 5
"""So many wrong PINs from one address cost nothing; each more doubles how long it has to wait…"""
FIRST_WAIT, LONGEST_WAIT = 30.0, 3600.0
"""…from so many seconds to so many."""
MOST_TRIES = 100
"""So many wrong PINs an hour from all addresses together: a million PINs then last for a year."""
_ADDRESSES = 256
_MOST_BYTES = 10_000
_HOUR = 3600.0
# A Pi Zero takes about a second for werkzeug's usual count. A PIN has a million values: what keeps
# them from being tried is the limit, and who can read the file owns the appliance already.
_METHOD = "pbkdf2:sha256:20000"


def owner_file(state: Path) -> Path:
    """Return where a state directory holds the PIN's hash."""
    return state / "owner.json"


class Refused(NamedTuple):
    """Why a PIN was not taken, and after how many whole seconds another may be tried.

    `waiting` tells that it was not even looked at, as there were too many before it.
    """

    sentence: str
    seconds: int = 0
    waiting: bool = False


class Owner:
    """Holds the PIN's hash in a file, and counts wrong PINs; may be asked from any thread.

    A file that is damaged or cannot be read has no PIN in it: `problem` says so.

    `clock` gives seconds that nobody sets.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._lock = threading.Lock()
        self._wrong: dict[str, tuple[int, float]] = {}
        self._all: list[float] = []
        self._stamp: tuple[int, int] | None = None
        self._held: dict[str, Any] = {}
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the file's PIN cannot be used, in a sentence; None where it can, or there is none."""
        self._look()
        return self._problem

    @property
    def shut(self) -> str | None:
        """Why nobody may change anything now, in a sentence; None where the owner may."""
        folder = self._file.parent
        if self.problem or os.access(folder, os.W_OK | os.X_OK):
            return self.problem
        why = "it belongs to another user"
        with suppress(OSError):
            if os.statvfs(folder).f_flag & os.ST_RDONLY:
                why = "the card is read-only"
        return (
            f"{folder} cannot be written ({why}): it reads on, but nothing is kept, and nothing "
            "can be changed; run 'digits doctor'"
        )

    @property
    def known(self) -> bool:
        """Whether there is a PIN."""
        return bool(self._look().get("hash"))

    @property
    def id(self) -> str:
        """What changes with the PIN, so that a session of the old one ends."""
        return str(self._look().get("id", ""))

    @property
    def secret(self) -> bytes:
        """The key that sessions are signed with, 32 bytes, of this appliance alone."""
        return bytes.fromhex(self._look().get("secret", "")) or secrets.token_bytes(32)

    @property
    def made(self) -> float:
        """When the PIN was made, Unix seconds."""
        return float(self._look()["made"])

    def new_pin(self) -> str:
        """Make another PIN and return it: the file has its hash alone, so nobody tells it again.

        Every session ends. Raises StateError where the file cannot be written.
        """
        pin = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
        told = {
            "hash": generate_password_hash(pin, method=_METHOD),
            "id": secrets.token_hex(8),
            "secret": secrets.token_hex(32),
            "made": time.time(),
        }
        told["crc"] = _checksum(told)
        try:
            with replace_file(self._file) as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(json.dumps(told).encode())
        except OSError as error:
            raise StateError(
                f"{self._file}: the PIN cannot be kept ({error.strerror}): "
                "give the folder to the user that digits runs as"
            ) from None
        return pin

    def check(self, pin: str, address: str) -> Refused | None:
        """Return None for the PIN, else why it is not taken. `address` is whose try it is."""
        with self._lock:
            # One at a time: thirty machines that guess at once take the loop no more time than one.
            kept = self._look().get("hash")
            now = self._clock()
            self._forget(now)
            refused = self._too_many(address, now)
            if refused is not None:
                return refused
            if not kept:
                return Refused("there is no PIN yet: make one on the appliance with 'digits pin'")
            if check_password_hash(kept, pin):
                self._wrong.pop(address, None)
                return None
            tries = self._wrong.pop(address, (0, now))[0] + 1
            self._wrong[address] = tries, now
            self._all.append(now)
            while len(self._wrong) > _ADDRESSES:
                del self._wrong[next(iter(self._wrong))]
            log.warning("a wrong PIN from %s", address)
            refused = self._too_many(address, now)
            if refused is not None:
                after, seconds = f"wait {refused.seconds} s, then try again", refused.seconds
            else:
                left, seconds = min(FREE_TRIES - tries, MOST_TRIES - len(self._all)), 0
                after = f"{left} more tries" if left > 1 else "one more try"
            return Refused(f"that is not the PIN: {after}", seconds)

    def _forget(self, now: float) -> None:
        """Let old tries lapse: an address's an hour after it might have tried again."""
        self._all = [at for at in self._all if now - at < _HOUR]
        self._wrong = {
            address: (tries, at)
            for address, (tries, at) in self._wrong.items()
            if now - at < self._wait(tries) + LONGEST_WAIT
        }

    def _too_many(self, address: str, now: float) -> Refused | None:
        """Return that an address has to wait before another PIN is looked at, None when it has not.

        The seconds are whole ones, after which it has waited long enough.
        """
        tries, since = self._wrong.get(address, (0, now))
        own = _whole(since + self._wait(tries) - now)
        everybodys = _whole(self._all[0] + _HOUR - now) if len(self._all) >= MOST_TRIES else 0
        if everybodys > max(own, 0):
            return Refused(
                f"too many wrong PINs from everywhere: wait {everybodys} s, "
                "or make another PIN on the appliance with 'digits pin --new'",
                everybodys,
                True,
            )
        if own > 0:
            return Refused(f"too many wrong PINs: wait {own} s, then try again", own, True)
        return None

    @staticmethod
    def _wait(tries: int) -> float:
        """Return for how many seconds an address with so many wrong PINs has to wait."""
        if tries < FREE_TRIES:
            return 0.0
        return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries - FREE_TRIES, 20))

    def _look(self) -> dict[str, Any]:
        """Return what the file holds; it is read again when `digits pin` has changed it."""
        try:
            found = self._file.lstat()
            stamp = found.st_mtime_ns, found.st_ino
            if stamp != self._stamp:
                held, problem = _read(self._file)
                if problem:
                    self._say(problem)
                self._held, self._problem, self._stamp = held, problem, stamp
                # Wrong PINs of before say nothing about another PIN, whichever process made it.
                self._wrong.clear()
                self._all.clear()
        except FileNotFoundError:
            self._held, self._stamp, self._problem = {}, None, None
        except OSError as error:
            # It may be another's for a while only, which is not seen in the file itself.
            self._held, self._stamp = {}, None
            self._say(
                f"{self._file}: the PIN cannot be read ({error.strerror}): "
                "give the file to the user that digits runs as"
            )
        return self._held

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s; until then nobody can change anything", problem)
        self._problem = problem


def _read(file: Path) -> tuple[dict[str, Any], str | None]:
    """Return what a file holds, and what is wrong with one that is damaged; raises OSError."""
    data = read_regular(file, _MOST_BYTES)
    with suppress(ValueError, RecursionError):
        held = json.loads(data)
        if (
            isinstance(held, dict)
            and all(isinstance(held.get(key), str) for key in ("hash", "id", "secret"))
            and isinstance(held.get("made"), int | float)
            and 0 <= held["made"] < 1e11
            and len(bytes.fromhex(held["secret"])) == 32
            # Another method, or another count, could take for ever.
            and re.match(r"pbkdf2:sha256:[0-9]{1,5}\$", held["hash"])
            # One of before there was a checksum has none.
            and held.get("crc", _checksum(held)) == _checksum(held)
        ):
            return held, None
    return {}, f"{file}: damaged: make another PIN with 'digits pin --new'"


def _checksum(held: dict[str, Any]) -> int:
    facts = {key: value for key, value in held.items() if key != "crc"}
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def _whole(seconds: float) -> int:
    # Less than a millionth of one is what sums of floats leave.
    return math.ceil(seconds - 1e-6)
