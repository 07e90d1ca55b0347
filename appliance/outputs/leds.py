"""The answer on LEDs, through gpiozero."""

from typing import Any

from appliance.errors import PinError
from appliance.gpio import driving
from appliance.reading import Reading
from appliance.settings import LedSettings

ZERO_IN_BITS = 10
"""Four LEDs show 0 as ten (1010): all four dark means that there is no digit."""

BLINK_SECONDS = {"looking": 0.5, "error": 0.1}


class Leds:
    """Ten LEDs (one a digit), four (its bits, 1 2 4 8) or a seven-segment digit, and a status LED.

    Wiring: each pin through a resistor (330 Ω for a common LED at 3.3 V) to the LED's longer leg,
    the shorter one to ground; a seven-segment digit of the common-cathode kind, segments a to g.
    The status LED is steady when ready, blinks slowly while looking and fast on an error.

    >>> leds = Leds(LedSettings(layout="four"))
    >>> leds.show(Reading(at=0.0, digit=6, settled=6))
    >>> leds.close()

    Raises PinError on a machine without GPIO, or when a pin is in use.
    """

    def __init__(self, settings: LedSettings) -> None:
        self._patterns = _patterns(settings.layout)
        self._shown: tuple[int | None, str] | None = None
        self._devices: list[Any] = []
        status = () if settings.status < 0 else (settings.status,)
        try:
            with driving("LEDs", settings.digit_pins + status) as gpiozero:
                seven = settings.layout == "seven-segment"
                board = gpiozero.LEDCharDisplay if seven else gpiozero.LEDBoard
                self._digits = board(*settings.digit_pins)
                self._devices.append(self._digits)
                self._digits.value = self._patterns[None]
                self._status = gpiozero.LED(*status) if status else None
                self._devices += [self._status] if status else []
        except PinError:
            self.close()
            raise

    def show(self, reading: Reading) -> None:
        wanted = reading.settled, reading.state
        if wanted == self._shown:
            return
        self._digits.value = self._patterns[reading.settled]
        if self._status is not None and (self._shown is None or reading.state != self._shown[1]):
            if reading.state == "ready":
                self._status.on()
            else:
                seconds = BLINK_SECONDS[reading.state]
                self._status.blink(on_time=seconds, off_time=seconds)
        self._shown = wanted

    def close(self) -> None:
        """Turn everything off and let go of the pins."""
        if self._devices:
            # gpiozero's own close() would leave the pins at their last level.
            self._digits.value = self._patterns[None]
        for device in self._devices:
            if device is not self._digits:
                device.off()
            device.close()
        self._devices = []


def _patterns(layout: str) -> dict[int | None, Any]:
    """Return what gpiozero's `value` is set to for each digit, and for none."""
    digits = range(10)
    if layout == "seven-segment":
        return {None: " "} | {digit: str(digit) for digit in digits}
    if layout == "ten":
        return {None: (0,) * 10} | {d: tuple(int(d == each) for each in digits) for d in digits}
    bits = {d: tuple((d or ZERO_IN_BITS) >> bit & 1 for bit in range(4)) for d in digits}
    return {None: (0,) * 4} | bits
