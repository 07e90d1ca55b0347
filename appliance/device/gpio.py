"""gpiozero at arm's length: what it cannot do on this machine becomes one sentence."""

import os
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from appliance.errors import PinError

_CHIPS = Path("/dev")


@contextmanager
def driving(what: str, pins: tuple[int, ...]) -> Iterator[Any]:
    """Yield the gpiozero module to make devices with; `what` and `pins` are named in an error.

    Raises PinError where gpiozero or lgpio is missing or no good, the machine has no GPIO, its chip
    may not be opened, or a pin is in use. Tests set gpiozero's own `MockFactory` as
    `Device.pin_factory`.
    """
    try:
        import gpiozero
    except ImportError:
        raise PinError(
            "gpiozero is missing: run 'sudo apt install --no-install-recommends python3-gpiozero "
            "python3-lgpio', or run without LEDs with --leds none"
        ) from None
    with warnings.catch_warnings(record=True) as tried:
        # It tells of each pin library that it tries, once for each that could not be had.
        warnings.simplefilter("always", gpiozero.exc.PinWarning)
        try:
            yield gpiozero
            if any(issubclass(each.category, gpiozero.NativePinFactoryFallback) for each in tried):
                # Its own pins dim no LED, and newer kernels tell them of no button.
                gpiozero.Device.pin_factory = None
                raise gpiozero.BadPinFactory("gpiozero has no pin library but its own")
        except Exception as error:
            factory = gpiozero.Device.pin_factory
            if factory is None:
                sentence = _explain_no_pins(what, [*(str(each.message) for each in tried), error])
            else:
                sentence = _explain_pins(what, pins, factory, error)
            raise PinError(sentence) from None


def _explain_no_pins(what: str, told: list[Any]) -> str:
    """Return why no pin can be driven here; `told` is what gpiozero said of its libraries."""
    chips = sorted(_CHIPS.glob("gpiochip*"))
    if not chips:
        return f"this machine has no GPIO pins for the {what}"
    return (
        _find_fault_of_library(what)
        or _find_fault_of_chip(what, chips[0])
        or f"gpiozero cannot drive the {what} here ({'; '.join(map(str, told))}): run without LEDs "
        "with --leds none"
    )


def _find_fault_of_library(what: str) -> str | None:
    """Return what is wrong with lgpio, the library of gpiozero's that has all it takes."""
    install = "run 'sudo apt install --no-install-recommends python3-lgpio'"
    if sys.prefix != sys.base_prefix:
        install += ", and make the virtual environment with --system-site-packages"
    try:
        import lgpio
    except ImportError as error:
        return f"lgpio, the library that drives the {what}, is missing ({error}): {install}"
    except OSError as error:
        # It makes a pipe where it is started.
        return (
            f"lgpio, the library that drives the {what}, cannot write into the folder "
            f"{os.getcwd()} ({error}): start in a folder that this user may write to"
        )
    if hasattr(lgpio, "gpiochip_open"):
        return None
    place = getattr(lgpio, "__file__", None) or "there"
    return (
        f"the lgpio that would drive the {what} is an empty one ({place}), as pip's version "
        f"0.0.0.2 is: run 'pip uninstall lgpio', then {install}"
    )


def _find_fault_of_chip(what: str, chip: Path) -> str | None:
    """Return why a chip's device cannot be opened; None where it can."""
    try:
        os.close(os.open(chip, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        group, user = _find_names(chip)
        if group is None:
            return (
                f"{chip}, which drives the {what}, is open to root alone: give it to the group "
                "gpio, as docs/troubleshooting.md says"
            )
        return (
            f"{chip}, which drives the {what}, is not open to the user {user}: run 'sudo usermod "
            f"-a -G {group} {user}', then log in anew"
        )
    except OSError as error:
        return (
            f"{chip}, which drives the {what}, cannot be opened ({error.strerror}): restart "
            "the machine"
        )
    return None


def _find_names(chip: Path) -> tuple[str | None, str]:
    """Return the group that may open a device, None where root alone may, and this user's name."""
    import grp
    import pwd

    group, user = None, str(os.getuid())
    with suppress(KeyError, OSError):
        user = pwd.getpwuid(os.getuid()).pw_name
        facts = chip.stat()
        if facts.st_gid and facts.st_mode & stat.S_IWGRP:
            group = grp.getgrgid(facts.st_gid).gr_name
    return group, user


def _explain_pins(what: str, pins: tuple[int, ...], factory: Any, error: Exception) -> str:
    """Return why pins cannot be driven by the library that gpiozero has."""
    if isinstance(error, AttributeError):
        if "lgpio" in str(error):
            return (
                f"this gpiozero is too old for the lgpio that drives the {what} ({error}): update "
                "python3-gpiozero to 2.0"
            )
        return (
            f"this gpiozero is too old for the {what} ({error}): update python3-gpiozero to 2.0, "
            "or choose the LED layout ten or four"
        )
    named = ", ".join(map(str, pins))
    return (
        f"the {what} on BCM pins {named} cannot be driven ({_find_held(factory, pins) or error}): "
        "stop the other program that uses them, or set other pins under [leds] in digits.toml"
    )


def _find_held(factory: Any, pins: tuple[int, ...]) -> str | None:
    """Return which of the pins others hold, and what these call themselves to the kernel."""
    held = []
    for pin in pins:
        try:
            factory.pin(pin)
        except Exception:
            held.append(pin)
    names = _ask_holders(getattr(factory, "chip", None), held)
    return ", ".join(
        f"pin {pin} is in use" + f" by {name!r}" * bool(name)
        for pin, name in zip(held, names, strict=True)
    )


def _ask_holders(chip: int | None, pins: list[int]) -> list[str]:
    """Return the kernel's names of who holds pins, each empty where it has none or lgpio fails."""
    if chip is None or not pins:
        return [""] * len(pins)
    try:
        import lgpio

        handle = lgpio.gpiochip_open(chip)
        try:
            return [str(lgpio.gpio_get_line_info(handle, pin)[4]) for pin in pins]
        finally:
            lgpio.gpiochip_close(handle)
    except Exception:
        # It is no more than a hint.
        return [""] * len(pins)
