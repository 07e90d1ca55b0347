"""The owner's PIN: who knows it may change what everyone else may only look at."""

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
from appliance.storage.layout import StateDirectory
from model.files import read_regular, replace_file

log = logging.getLogger("appliance")

DIGITS = 6
FREE_TRIES = 5
"""Free attempts per address; back-off doubles from FIRST_WAIT to LONGEST_WAIT, in seconds."""
FIRST_WAIT, LONGEST_WAIT = 30.0, 3600.0
MOST_TRIES = 100
"""Wrong PINs per hour from all addresses together: trying a million PINs takes a year."""
_ADDRESSES = 256
_MOST_BYTES = 10_000
_HOUR = 3600.0
# werkzeug's usual count takes a Pi Zero about a second. A PIN has a million values: the limit on
# attempts protects it, and who can read the file owns the appliance already.
_METHOD = "pbkdf2:sha256:20000"


def owner_file(state: Path) -> Path:
    """Return the file of a state directory that has the PIN's hash."""
    return StateDirectory(state).pin


class PinRefused(NamedTuple):
    """Why a PIN was refused, and the whole seconds until the next attempt is allowed.

    `waiting`: the PIN was not checked, because too many wrong ones came before it.
    """

    sentence: str
    seconds: int = 0
    waiting: bool = False


class OwnerPin:
    """Keeps the PIN's hash in a file and limits wrong attempts; safe to call from any thread.

    A file that is damaged or cannot be read counts as one without a PIN: `problem` says why.
    `clock` is monotonic, in seconds.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._lock = threading.Lock()
        self._wrong: dict[str, tuple[int, float]] = {}
        self._all: list[float] = []
        self._stamp: tuple[int, int] | None = None
        self._facts: dict[str, Any] = {}
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the file's PIN cannot be used, in a sentence; None where it can, or none exists."""
        self._load()
        return self._problem

    @property
    def obstacle(self) -> str | None:
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
    def exists(self) -> bool:
        """Whether a PIN has been made."""
        return bool(self._load().get("hash"))

    @property
    def id(self) -> str:
        """An identifier of this PIN: the sessions of an older one are no longer valid."""
        return str(self._load().get("id", ""))

    @property
    def secret(self) -> bytes:
        """The key that signs sessions: 32 random bytes, made with the PIN."""
        return bytes.fromhex(self._load().get("secret", "")) or secrets.token_bytes(32)

    @property
    def made(self) -> float:
        """When the PIN was made, Unix seconds."""
        return float(self._load()["made"])

    def make_pin(self) -> str:
        """Make a new PIN and return it; the file keeps its hash alone, so it is shown only now.

        The old PIN and every session end. Raises StateError where the file cannot be written.
        """
        pin = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
        facts = {
            "hash": generate_password_hash(pin, method=_METHOD),
            "id": secrets.token_hex(8),
            "secret": secrets.token_hex(32),
            "made": time.time(),
        }
        facts["crc"] = _checksum(facts)
        try:
            with replace_file(self._file) as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(json.dumps(facts).encode())
        except OSError as error:
            raise StateError(
                f"{self._file}: the PIN cannot be kept ({error.strerror}): "
                "give the folder to the user that digits runs as"
            ) from None
        return pin

    def check(self, pin: str, address: str) -> PinRefused | None:
        """Return None for the right PIN, else why it is refused; attempts count per `address`."""
        with self._lock:
            # One at a time: thirty machines that guess at once slow the loop no more than one.
            pin_hash = self._load().get("hash")
            now = self._clock()
            self._drop_old_tries(now)
            refused = self._must_wait(address, now)
            if refused is not None:
                return refused
            if not pin_hash:
                return PinRefused(
                    "there is no PIN yet: make one on the appliance with 'digits pin'"
                )
            if check_password_hash(pin_hash, pin):
                self._wrong.pop(address, None)
                return None
            tries = self._wrong.pop(address, (0, now))[0] + 1
            self._wrong[address] = tries, now
            self._all.append(now)
            while len(self._wrong) > _ADDRESSES:
                del self._wrong[next(iter(self._wrong))]
            log.warning("a wrong PIN from %s", address)
            refused = self._must_wait(address, now)
            if refused is not None:
                after, seconds = f"wait {refused.seconds} s, then try again", refused.seconds
            else:
                left, seconds = min(FREE_TRIES - tries, MOST_TRIES - len(self._all)), 0
                after = f"{left} more tries" if left > 1 else "one more try"
            return PinRefused(f"that is not the PIN: {after}", seconds)

    def _drop_old_tries(self, now: float) -> None:
        """Forget an address's attempts an hour after its wait is over, all others after an hour."""
        self._all = [at for at in self._all if now - at < _HOUR]
        self._wrong = {
            address: (tries, at)
            for address, (tries, at) in self._wrong.items()
            if now - at < self._backoff(tries) + LONGEST_WAIT
        }

    def _must_wait(self, address: str, now: float) -> PinRefused | None:
        """Return a refusal while an address, or everybody, has to wait; None otherwise."""
        tries, since = self._wrong.get(address, (0, now))
        own = _round_up(since + self._backoff(tries) - now)
        for_all = _round_up(self._all[0] + _HOUR - now) if len(self._all) >= MOST_TRIES else 0
        if for_all > max(own, 0):
            return PinRefused(
                f"too many wrong PINs from everywhere: wait {for_all} s, "
                "or make another PIN on the appliance with 'digits pin --new'",
                for_all,
                True,
            )
        if own > 0:
            return PinRefused(f"too many wrong PINs: wait {own} s, then try again", own, True)
        return None

    @staticmethod
    def _backoff(tries: int) -> float:
        """Return the wait in seconds after a number of wrong PINs from one address."""
        if tries < FREE_TRIES:
            return 0.0
        return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries - FREE_TRIES, 20))

    def _load(self) -> dict[str, Any]:
        """Return the file's content, read again when `digits pin` has changed the file."""
        try:
            found = self._file.lstat()
            stamp = found.st_mtime_ns, found.st_ino
            if stamp != self._stamp:
                facts, problem = _read(self._file)
                if problem:
                    self._set_problem(problem)
                self._facts, self._problem, self._stamp = facts, problem, stamp
                # Attempts at the old PIN do not count against a new one, whoever made it.
                self._wrong.clear()
                self._all.clear()
        except FileNotFoundError:
            self._facts, self._stamp, self._problem = {}, None, None
        except OSError as error:
            # The file may be readable again later without a change to its time or number.
            self._facts, self._stamp = {}, None
            self._set_problem(
                f"{self._file}: the PIN cannot be read ({error.strerror}): "
                "give the file to the user that digits runs as"
            )
        return self._facts

    def _set_problem(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s; until then nobody can change anything", problem)
        self._problem = problem


def _read(file: Path) -> tuple[dict[str, Any], str | None]:
    """Return a file's content and what is wrong with it, if it is damaged; raises OSError."""
    data = read_regular(file, _MOST_BYTES)
    with suppress(ValueError, RecursionError):
        facts = json.loads(data)
        if (
            isinstance(facts, dict)
            and all(isinstance(facts.get(key), str) for key in ("hash", "id", "secret"))
            and isinstance(facts.get("made"), int | float)
            and 0 <= facts["made"] < 1e11
            and len(bytes.fromhex(facts["secret"])) == 32
            # Another method, or a larger count, could take for ever.
            and re.match(r"pbkdf2:sha256:[0-9]{1,5}\$", facts["hash"])
            # Files of older versions have no checksum.
            and facts.get("crc", _checksum(facts)) == _checksum(facts)
        ):
            return facts, None
    return {}, f"{file}: damaged: make another PIN with 'digits pin --new'"


def _checksum(facts: dict[str, Any]) -> int:
    facts = {key: value for key, value in facts.items() if key != "crc"}
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def _round_up(seconds: float) -> int:
    # Less than a millionth of a second is the rounding of float sums.
    return math.ceil(seconds - 1e-6)
