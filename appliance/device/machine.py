"""What the machine says of itself: heat, power, its clock, and what became of its last update."""

import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from appliance.storage.layout import StateDirectory

LIBRARIES = "numpy", "scipy", "pillow", "flask", "gpiozero", "waitress", "segno"

_THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")
_SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
_UPTIME = Path("/proc/uptime")
_MEMORY, _OWN_MEMORY = Path("/proc/meminfo"), Path("/proc/self/status")
_OWN_FILES = "/proc/self/fd"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
# Bits of 'vcgencmd get_throttled' that tell of now; the same sixteen higher, of since the start.
_NOW = {0: "the power supply sags", 1: "the processor is slowed down", 2: "it is throttled",
        3: "it is near its hottest"}  # fmt: skip
_SINCE = {16: "the power supply sagged", 17: "the processor was slowed down",
          18: "it was throttled", 19: "it was near its hottest"}  # fmt: skip
_EARLIEST = 1_760_000_000
"""A clock that shows an earlier time (Unix seconds, October 2025) was never set."""
_STAMPS = (
    Path("/var/lib/systemd/timesync/clock"),
    Path("/var/lib/chrony/chrony.drift"),
    Path("/etc/fake-hwclock.data"),
    # The release that runs: it was installed by a clock that setup.sh had looked at.
    Path(__file__),
)
"""Files whose time has passed for certain: the first three are kept so that it is known."""
_MOST_BEHIND = 300.0
"""Seconds that a file may be ahead of the clock: one that is corrected a little is no fault."""
_APP = Path("/opt/digits")


def temperature() -> float | None:
    """Return the processor's temperature in °C, or None where it is not told."""
    with suppress(OSError, ValueError):
        return int(_THERMAL.read_text()) / 1000
    return None


def throttled() -> str | None:
    """Return what `vcgencmd get_throttled` says of now in words; None for nothing, or no such."""
    return _said(_NOW)


def was_throttled() -> str | None:
    """Return the same of the time since the machine's start."""
    return _said(_SINCE)


def throttling() -> int | None:
    """Return the bits of `vcgencmd get_throttled`, None where there is no such command."""
    try:
        said = subprocess.run(
            ["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
        return int(said.strip().removeprefix("throttled="), 16)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _said(words: dict[int, str]) -> str | None:
    bits = throttling() or 0
    told = [said for bit, said in words.items() if bits >> bit & 1]
    return " and ".join(told) or None


class Clock(NamedTuple):
    """Whether the clock can be believed, and at least how many seconds it is behind, by which file.

    `known` is the time of the file `by`, in Unix seconds.
    """

    is_set: bool
    behind: float
    known: float
    by: Path | None


def examine_clock(state: Path, now: float | None = None) -> Clock:
    """Look whether the clock was synchronised, and whether it is behind a time that has passed.

    A Pi has no battery for its clock: after a power cut it goes on from a time that a file
    remembers, or from years ago. `state` is the state directory, `now` in Unix seconds.
    """
    now = time.time() if now is None else now
    synchronised = _SYNCHRONISED.exists()
    known: float = _EARLIEST
    by: Path | None = None
    if not synchronised:
        # One that was synchronised is right: a file of the future was written by one that was not.
        for file in (*_STAMPS, *_state_files(state)):
            with suppress(OSError):
                if (at := file.lstat().st_mtime) > known:
                    known, by = at, file
    behind = max(0.0, known - now)
    if behind <= _MOST_BEHIND and by is not None:
        behind = 0.0
    # Without such a service it is somebody else's, or a battery's.
    is_set = not behind and (synchronised or not _SYNCHRONISED.parent.exists())
    return Clock(is_set, behind, known, by)


def _state_files(state: Path) -> list[Path]:
    places = StateDirectory(state)
    files: list[Path] = []
    for folder in (places.path, places.knowledge, places.networks):
        with suppress(OSError):
            files += folder.iterdir()
    return files


def clock_is_set(state: Path, now: float | None = None) -> bool:
    """Tell whether the clock can be believed, as in `examine_clock`."""
    return examine_clock(state, now).is_set


class GivenUp(NamedTuple):
    """The last update's release, which did not run: since `at` (Unix seconds) `current` does again.

    `why` is a sentence.
    """

    release: str
    current: str
    at: float
    why: str


def find_given_up() -> GivenUp | None:
    """Return what became of the last update if its release did not run; setup.sh writes it down."""
    with suppress(OSError, ValueError):
        lines = (_APP / "gone-back").read_text("utf-8", errors="replace").splitlines()
        release, current, at, why = lines[:4]
        return GivenUp(release, current, float(at), why)
    return None


def is_update_on_trial() -> bool:
    """Tell whether an update is at work, or was broken off."""
    return (_APP / "trying").exists()


class Memory(NamedTuple):
    """Bytes: `resident` of this process in RAM, `available` to whoever asks; None if not told."""

    resident: int | None
    available: int | None


def memory() -> Memory:
    """Return how much memory this process has, and how much is free to use."""
    return Memory(_kilobytes(_OWN_MEMORY, "VmRSS"), _kilobytes(_MEMORY, "MemAvailable"))


def open_files() -> int | None:
    """Return how many files, sockets and pipes this process holds open; None where not told."""
    try:
        # One of them is the folder that is listed.
        return len(os.listdir(_OWN_FILES)) - 1
    except OSError:
        return None


def trim_heap() -> None:
    """Give the system back what is free of this process's memory, between what is in use as well.

    The C library does so at the end of its heap alone: arrays that come and go leave pieces, and
    over weeks these grow. Where that library is another, nothing is done.
    """
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _kilobytes(file: Path, name: str) -> int | None:
    """Return a line of one of the kernel's tables in bytes."""
    with suppress(OSError, ValueError, IndexError):
        for line in file.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


def addresses() -> list[str]:
    """Return the addresses of this machine on the LAN, none where there is no network.

    Nothing is sent: the kernel is asked which address it would send from.
    """
    found = []
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((elsewhere, 9))
            found.append(str(way.getsockname()[0]))
    return found


def versions() -> dict[str, str | None]:
    """Return the version of each library that the appliance stands on, None for one that lacks."""
    import importlib.metadata

    found: dict[str, str | None] = dict.fromkeys(LIBRARIES)
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def uptime() -> float:
    """Return the seconds since the start of the machine, 0 where it is not told."""
    with suppress(OSError, ValueError, IndexError):
        return float(_UPTIME.read_text().split()[0])
    return 0.0


def boot() -> str:
    """Return a text that is another one after each start of the machine."""
    with suppress(OSError):
        return _BOOT.read_text().strip()
    return ""
