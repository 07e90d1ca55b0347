"""What the machine says of itself: how hot it is, whether power sags, whether its clock is set."""

import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

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


def clock_is_set(now: float | None = None) -> bool:
    """Tell whether the clock can be believed: it was synchronised, or there is no such service.

    A Pi has no battery clock: after a power cut it goes on from a time that a file remembers.
    """
    now = time.time() if now is None else now
    if now < _EARLIEST:
        return False
    return _SYNCHRONISED.exists() or not _SYNCHRONISED.parent.exists()


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
