"""The board below the appliance, each part in a sentence: processor, memory, card, power, units."""

import json
import os
import platform
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from appliance.device import machine

SERVICE, TIMER = "digits.service", "digits-retrain.timer"

_MODEL = Path("/proc/device-tree/model")
_PROCESSOR = Path("/proc/cpuinfo")
_MEMORY = Path("/proc/meminfo")
_DEVICES = Path("/sys/dev/block")
_SYSTEMD = Path("/run/systemd/system")
_LEAST_MEMORY = 30_000_000
_LEAST_DISK = 200_000_000
"""Bytes for MNIST's files and the pictures of a night."""
_HOTTEST = 80.0
"""A Pi lowers its clock from here on, in °C."""
_WORN = 10
"""A card estimates its used life in tenths: from this one on it is in its last tenth."""
_POWER = 0x10001
_NOT_SYNCHRONISED = "NTPSynchronized=no\n"
_UNSET_MEANS = (
    "Until it is set, readings bear the wrong time, and learning begins three hours after a start, "
    "whatever the hour"
)
_SET_CLOCK = (
    "connect the machine to a network, which sets it ('timedatectl' tells), or set it with "
    "'sudo date -s \"YYYY-MM-DD HH:MM\"'"
)
_SECTOR = 512


class NotApplicable(Exception):
    """A check that does not apply to this machine, in a sentence; it is no fault."""


class Fault(Exception):
    """A fault of the board, in a sentence with the next step."""


def is_a_pi() -> bool:
    """Tell whether this machine calls itself a Raspberry Pi."""
    return _text(_MODEL).startswith("Raspberry Pi")


def processor() -> str:
    """Name machine, processor, cores and instruction set; NEON decides how fast numpy is."""
    facts: dict[str, str] = {}
    cores = 0
    for line in _text(_PROCESSOR).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            # Each core has its own "processor"; on ARM the board's own lines follow them.
            cores += name.strip() == "processor"
            facts.setdefault(name.strip().lower(), value.strip())
    if not cores:
        raise NotApplicable(f"{platform.machine()}; {_PROCESSOR} does not tell the processor")
    name = facts.get("model name") or facts.get("cpu architecture", "of no name")
    has = set((facts.get("features") or facts.get("flags", "")).split())
    if has & {"neon", "asimd"}:
        vectors = "with NEON"
    elif "avx2" in has:
        vectors = "with AVX2"
    else:
        vectors = "without NEON" if "features" in facts else "without AVX2"
    text = f"{platform.machine()}, {name}, {cores} core{'s' * (cores != 1)}, {vectors}"
    board = _text(_MODEL)
    return f"{board}: {text}" if board else text


def memory() -> str:
    """Return the total and the free memory, and the used swap."""
    facts = {}
    for line in _text(_MEMORY).splitlines():
        with suppress(ValueError, IndexError):
            facts[line.split(":")[0]] = int(line.split()[1]) * 1024
    if not {"MemTotal", "MemAvailable"} <= set(facts):
        raise NotApplicable(f"{_MEMORY} does not tell it")
    swap = facts.get("SwapTotal", 0)
    swapped = f"{_mb(swap - facts.get('SwapFree', 0))} of {_mb(swap)} swap used" * bool(swap)
    text = f"{_mb(facts['MemAvailable'])} of {_mb(facts['MemTotal'])} free, {swapped or 'no swap'}"
    if facts["MemAvailable"] < _LEAST_MEMORY:
        raise Fault(f"{text}: end other programs, or restart the machine")
    return text


def disk(folder: Path) -> str:
    """Describe the disk of a folder: free space, bytes written since the start, wear if known."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    stats = os.statvfs(folder)
    free = stats.f_bavail * stats.f_frsize
    parts = [f"{_mb(free)} of {_mb(stats.f_blocks * stats.f_frsize)} free"]
    device = _device(folder)
    if device is None:
        parts.append("it does not tell what was written")
    else:
        with suppress(IndexError, ValueError):
            sectors = int(_text(device / "stat").split()[6])
            parts.append(f"{_mb(sectors * _SECTOR)} written since the start")
    wear = _wear(device)
    parts.append("its wear is not told" if wear is None else f"wear {_tenths(wear)}")
    text = ", ".join(parts)
    if wear is not None and wear >= _WORN:
        raise Fault(f"{text}: copy what is on it to a new card")
    if free < _LEAST_DISK:
        raise Fault(f"{text}: remove what is not needed, or move to a larger card")
    return text


def _device(folder: Path) -> Path | None:
    """Return the sysfs folder of a folder's block device; None without one, as in a container."""
    number = os.stat(folder).st_dev
    device = _DEVICES / f"{os.major(number)}:{os.minor(number)}"
    return device if (device / "stat").exists() else None


def _wear(device: Path | None) -> int | None:
    """Return the tenth of its life that a card is in, 1 to 11; None where it is unknown.

    Source: the kernel's documentation of MMC devices, `life_time`; eMMC has it, few SD cards do.
    """
    if device is None:
        return None
    for disk in (device, device.resolve().parent):
        with suppress(ValueError):
            tenths = [int(each, 16) for each in _text(disk / "device" / "life_time").split()]
            if any(tenths):
                return max(tenths)
    return None


def _tenths(wear: int) -> str:
    return f"{10 * (wear - 1)} to {10 * wear} % of its life" if wear <= _WORN else "beyond its life"


def temperature() -> str:
    celsius = machine.temperature()
    if celsius is None:
        raise NotApplicable("this machine does not tell it")
    if celsius >= _HOTTEST:
        raise Fault(f"{celsius:.0f} °C, at which a Pi slows down: give it air or a heat sink")
    return f"{celsius:.0f} °C"


def power() -> str:
    """Report undervoltage and throttling, now and since the start."""
    bits = machine.throttling()
    if bits is None:
        raise NotApplicable("there is no vcgencmd that tells it")
    events = ("", machine.throttled()), ("since the start ", machine.was_throttled())
    wrong = ", ".join(f"{when}{what}" for when, what in events if what)
    if not wrong:
        return "it held, now and since the start"
    step = "use a stronger power supply and a short cable" if bits & _POWER else "give it air"
    raise Fault(f"{wrong}: {step}")


def clock(state: Path) -> str:
    """Tell the time, and whether it can be that late; `state` is the state directory."""
    shown = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    found = machine.examine_clock(state)
    if found.behind:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.known))
        what = f"{found.by} is of {since}" if found.by else f"this version is of {since}"
        raise Fault(
            f"wrong, it shows {shown}, and {what}: at least {_days(found.behind)} behind. "
            f"{_UNSET_MEANS}: {_SET_CLOCK}"
        )
    if not found.is_set:
        raise Fault(
            f"not set since the start, it shows {shown}: it may be behind by as long as the "
            f"machine was off. {_UNSET_MEANS}: {_SET_CLOCK}"
        )
    if is_a_pi() and _run("timedatectl", "show", "--property=NTPSynchronized") == _NOT_SYNCHRONISED:
        raise Fault(
            f"nothing sets it, it shows {shown}: run 'sudo apt install systemd-timesyncd', and "
            "connect the machine to a network"
        )
    return f"{shown}, on for {machine.uptime() / 3600:.1f} hours"


def _days(seconds: float) -> str:
    if seconds < 2 * 86400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86400:.0f} days"


def has_update_news() -> bool:
    """Tell whether the last update did not run, or is not at its end."""
    return machine.find_given_up() is not None or machine.is_update_on_trial()


def update() -> str:
    """Tell whether the last update's release runs."""
    given_up = machine.find_given_up()
    if given_up:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(given_up.at))
        raise Fault(
            f"the release {given_up.release} did not run ({given_up.why}): {given_up.current} does "
            f"again since {at}; 'journalctl -u digits -u digits-trial' tells more, and the next "
            "'sudo ./setup.sh update' takes a newer one"
        )
    if machine.is_update_on_trial():
        raise NotApplicable(
            "one is at work, or was broken off: the next start looks whether its release runs, and "
            "goes back if not; 'sudo ./setup.sh finish-update' does so now"
        )
    return "the last one's release runs"


def service() -> str:
    """Tell whether systemd runs the appliance."""
    facts = _unit(SERVICE)
    text = f"{facts['ActiveState']} ({facts.get('SubState', '')})"
    again = facts.get("NRestarts", "0")
    if again != "0":
        text += f", begun again {'once' if again == '1' else f'{again} times'} by systemd"
    failing = again != "0" and facts.get("SubState") in ("auto-restart", "start-pre")
    if facts["ActiveState"] in ("active", "activating", "reloading") and not failing:
        return text
    if facts.get("Result", "success") != "success":
        text += f", {facts['Result']}"
    raise Fault(
        f"{SERVICE} is {text}: run 'sudo systemctl restart digits', then 'journalctl -u digits -n "
        "50'"
    )


def timer() -> str:
    """Tell when systemd next asks whether it is time to learn."""
    facts = _unit(TIMER)
    if facts["ActiveState"] != "active":
        raise Fault(f"{TIMER} is {facts['ActiveState']}: run 'sudo systemctl enable --now {TIMER}'")
    with suppress(ValueError, LookupError, TypeError, OverflowError):
        (entry,) = json.loads(_run("systemctl", "list-timers", TIMER, "--output=json"))
        return f"asks next at {time.strftime('%H:%M', time.localtime(int(entry['next']) / 1e6))}"
    return "active"


def log(most: int = 200) -> list[str]:
    """Return the last lines of the service's journal, none where there is no journal."""
    return _run(
        "journalctl", "--unit=digits", f"--lines={most}", "--no-pager", "--output=short-iso",
        "--no-hostname", "--quiet",
    ).splitlines()  # fmt: skip


def system() -> str:
    """Name the operating system and its kernel."""
    named = "an unnamed system"
    with suppress(OSError):
        named = platform.freedesktop_os_release().get("PRETTY_NAME", named)
    return f"{named}, {platform.system()} {platform.release()}"


def _unit(name: str) -> dict[str, str]:
    """Return a unit's properties; raises NotApplicable where systemd has none of this name."""
    if not _SYSTEMD.exists():
        raise NotApplicable("systemd does not run here")
    wanted = "LoadState,ActiveState,SubState,Result,NRestarts"
    lines = _run("systemctl", "show", name, f"--property={wanted}").splitlines()
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    if not facts.get("ActiveState"):
        raise NotApplicable("systemd does not answer")
    if facts.get("LoadState") == "not-found":
        raise NotApplicable(f"{name} is not installed: 'sudo ./setup.sh install' does it")
    return facts


def _run(*command: str) -> str:
    """Return a command's output; "" where it is missing or takes more than ten seconds."""
    # The output is parsed: it has to be English in every locale.
    environment: dict[str, Any] = {**os.environ, "LC_ALL": "C.UTF-8"}
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False, env=environment,
            errors="replace",
        ).stdout  # fmt: skip
    return ""


def _text(file: Path) -> str:
    """Return the text of a file of the kernel's; "" where it cannot be read."""
    with suppress(OSError):
        return file.read_text("utf-8", errors="replace").strip("\0\n ")
    return ""


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"
