"""What keeps gpiozero from the pins is told by name: gpiozero's own code on stand-in lgpios."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import gpiozero
import pytest
from gpiozero.pins.local import LocalPiFactory
from gpiozero.pins.mock import MockFactory

from appliance.device import gpio
from appliance.device.button import ReadButton
from appliance.errors import PinError
from appliance.outputs.leds import Leds
from appliance.settings.schema import LedSettings

ZERO_W = 0x9000C1
Lay = Callable[[str], object]

LGPIO = """
class error(Exception): pass
BOTH_EDGES, RISING_EDGE, FALLING_EDGE = 3, 1, 2
SET_PULL_NONE = SET_PULL_UP = SET_PULL_DOWN = 0
SET_BIAS_DISABLE = SET_BIAS_PULL_UP = SET_BIAS_PULL_DOWN = 0
def gpiochip_open(chip): return 0
def gpiochip_close(handle): pass
def gpio_claim_input(handle, pin, flags=0): pass
def gpio_claim_output(handle, pin, level=0, flags=0): pass
def gpio_get_mode(handle, pin): return 2
def gpio_write(handle, pin, level): pass
def gpio_read(handle, pin): return 0
def gpio_free(handle, pin): pass
"""
"""As much of lgpio 0.2.2.0 as gpiozero asks for."""
CLOSED_CHIP = LGPIO + "def gpiochip_open(chip): raise error('can not open gpiochip')\n"
BUSY = LGPIO + (
    "def gpio_claim_input(handle, pin, flags=0):\n"
    "    if pin in (13, 19): raise error('GPIO busy')\n"
    "def gpio_get_line_info(handle, pin): return [0, pin, 3, '', {13: 'spi1 CS0'}.get(pin, '')]\n"
)


@pytest.fixture
def lay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lay:
    """Have an lgpio with this source be the only pin library of a Pi Zero W with a GPIO chip."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/gpiochip0").touch()
    monkeypatch.setattr(gpio, "_CHIPS", tmp_path / "dev")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    monkeypatch.setattr(LocalPiFactory, "_get_revision", lambda _: ZERO_W)
    # All of a process's factories share them.
    monkeypatch.setattr(LocalPiFactory, "pins", {})
    for name in ("gpiozero.pins.lgpio", "lgpio"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("RPi", "RPIO", "pigpio"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.syspath_prepend(tmp_path)

    return lambda source: (tmp_path / "lgpio.py").write_text(source)


def said(what: str = "LEDs") -> str:
    makes = {"LEDs": lambda: Leds(LedSettings(layout="four")),
             "button": lambda: ReadButton(27, lambda: None)}  # fmt: skip
    with pytest.raises(PinError) as refused:
        makes[what]()
    return str(refused.value)


@pytest.mark.parametrize("what", ["LEDs", "button"])
@pytest.mark.parametrize("named", ["", "lgpio"])
def test_no_lgpio_is_told_with_what_installs_it(
    lay: Lay, monkeypatch: pytest.MonkeyPatch, what: str, named: str
) -> None:
    monkeypatch.setitem(sys.modules, "lgpio", None)
    if named:
        monkeypatch.setenv("GPIOZERO_PIN_FACTORY", named)
    told = said(what)
    assert told.startswith(f"lgpio, the library that drives the {what}, is missing (")
    assert "run 'sudo apt install --no-install-recommends python3-lgpio'" in told


def test_in_a_virtual_environment_that_alone_would_not_do(
    lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lgpio", None)
    monkeypatch.setattr(sys, "prefix", "/venv")
    assert "--system-site-packages" in said()
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert "--system-site-packages" not in said()


@pytest.mark.parametrize("named", ["", "lgpio"])
def test_pips_old_lgpio_which_is_an_empty_file_is_told(
    lay: Lay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    if named:
        monkeypatch.setenv("GPIOZERO_PIN_FACTORY", named)
    lay("")
    assert said().startswith(
        f"the lgpio that would drive the LEDs is an empty one ({tmp_path}/lgpio.py), as pip's "
        "version 0.0.0.2 is: run 'pip uninstall lgpio', then run 'sudo apt install "
    )


def test_gpiozeros_own_pins_do_not_take_the_place_of_lgpio(
    lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They drive LEDs, but fail when the status LED is to pulse, and at the button."""
    import gpiozero.pins.native

    monkeypatch.setitem(sys.modules, "lgpio", None)
    own = MockFactory()
    monkeypatch.setattr(gpiozero.pins.native, "NativeFactory", lambda: own)
    for what in ("LEDs", "button"):
        assert said(what).startswith(f"lgpio, the library that drives the {what}, is missing (")
    assert not any(pin.state for pin in own.pins.values() if pin.function == "output")


def test_where_lgpio_may_not_make_its_pipe_is_told(
    lay: Lay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay("open('.lgd-nfy-3', 'rb')\n")
    monkeypatch.chdir(tmp_path)
    assert said() == (
        f"lgpio, the library that drives the LEDs, cannot write into the folder {tmp_path} ([Errno "
        "2] No such file or directory: '.lgd-nfy-3'): start in a folder that this user may write to"
    )


@pytest.mark.parametrize("named", ["", "lgpio"])
@pytest.mark.parametrize(
    ("mode", "group", "next_step"),
    [
        (0o660, 1, r"not open to the user \w+: run 'sudo usermod -a -G \w+ \w+', then log in anew"),
        (0o600, 1, "open to root alone: give it to the group gpio, as docs/troubleshooting.md"),
        (0o660, 0, "open to root alone: give it to the group gpio, as docs/troubleshooting.md"),
    ],
)
def test_a_chip_that_may_not_be_opened_is_told_with_its_group(
    lay: Lay, monkeypatch: pytest.MonkeyPatch, mode: int, group: int, next_step: str, named: str
) -> None:
    if named:
        monkeypatch.setenv("GPIOZERO_PIN_FACTORY", named)
    lay(CLOSED_CHIP)
    opened, looked_at = os.open, Path.stat

    def refuse(path: Path, *words: int, **options: int) -> int:
        # Root, who may run this, is refused nothing.
        if str(path).endswith("gpiochip0"):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *words, **options)

    def stat(path: Path, **options: bool) -> os.stat_result:
        facts = list(looked_at(path, **options))
        if path.name == "gpiochip0":
            facts[0], facts[5] = 0o020000 | mode, group
        return os.stat_result(facts)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "stat", stat)
    told = said()
    assert re.match(rf"/\S+/gpiochip0, which drives the LEDs, is {next_step}", told)


def test_a_chip_that_fails_is_told(lay: Lay, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(CLOSED_CHIP)
    opened = os.open

    def fail(path: Path, *words: int, **options: int) -> int:
        if str(path).endswith("gpiochip0"):
            raise OSError(19, "No such device", str(path))
        return opened(path, *words, **options)

    monkeypatch.setattr(os, "open", fail)
    assert "cannot be opened (No such device): restart the machine" in said()


def test_what_is_known_of_no_kind_is_told_in_gpiozeros_words(lay: Lay) -> None:
    lay(CLOSED_CHIP)
    assert "Falling back from lgpio: can not open gpiochip" in said().replace("'", "")


def test_a_machine_without_a_chip_has_no_pins(lay: Lay, tmp_path: Path) -> None:
    lay(CLOSED_CHIP)
    (tmp_path / "dev/gpiochip0").unlink()
    assert said() == "this machine has no GPIO pins for the LEDs"


def test_the_pins_that_another_has_are_named_with_its_name(lay: Lay) -> None:
    lay(BUSY)
    assert said() == (
        "the LEDs on BCM pins 5, 6, 13, 19, 17 cannot be driven (pin 13 is in use by 'spi1 CS0', "
        "pin 19 is in use): stop the other program that uses them, or set other pins under [leds] "
        "in digits.toml"
    )


def test_an_lgpio_too_new_for_this_gpiozero_is_not_called_a_layout(lay: Lay) -> None:
    """gpiozero 1.6.2, Debian's own, asks lgpio 0.2 for names that it has no more."""
    lay(
        LGPIO + "def gpio_claim_input(handle, pin, flags=0):\n"
        "    raise AttributeError(\"module 'lgpio' has no attribute 'SET_BIAS_DISABLE'\")\n"
    )
    assert said() == (
        "this gpiozero is too old for the lgpio that drives the LEDs (module 'lgpio' has no "
        "attribute 'SET_BIAS_DISABLE'): update python3-gpiozero to 2.0"
    )
