"""The answer on LEDs, through gpiozero."""

import threading
import time
from collections.abc import Callable
from typing import Any

from appliance.device.gpio import driving
from appliance.errors import PinError
from appliance.reading import Reading
from appliance.settings.schema import LedSettings

ZERO_IN_BITS = 10
"""Four LEDs show 0 as ten (1010): all four dark means that there is no digit."""

BLINK_SECONDS = {"looking": 0.5, "error": 0.1}
PULSE_SECONDS = 2.0
"""From dark to bright and from bright to dark."""
_ASK_SECONDS = 3.0
_STEP_SECONDS = 0.4


class Leds:
    """Ten LEDs (one a digit), four (its bits, 1 2 4 8) or a seven-segment digit, and a status LED.

    Wiring: each pin through a resistor (330 Ω for a common LED at 3.3 V) to the LED's longer leg,
    the shorter one to ground; a seven-segment digit of the common-cathode kind, segments a to g.
    The status LED is steady when ready, blinks slowly while looking and fast on an error. While
    `training` tells that a retraining runs and there is nothing to show, it swells and fades.

    >>> leds = Leds(LedSettings(layout="four"))
    >>> leds.show(Reading(at=0.0, digit=6, settled=6))
    >>> leds.close()

    Raises PinError on a machine without GPIO, or when a pin is in use.
    """

    def __init__(
        self,
        settings: LedSettings,
        training: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patterns = _patterns(settings.layout)
        self._training, self._clock = training, clock
        self._trains, self._asked = False, -_ASK_SECONDS
        self._settled: int | None = None
        self._state = ""
        self._told = ""
        self._devices: list[Any] = []
        # The loop shows, the page asks for a walk: the pins belong to one of them at a time.
        self._lock = threading.RLock()
        self._walker: threading.Thread | None = None
        self._closing = threading.Event()
        status = () if settings.status < 0 else (settings.status,)
        try:
            with driving("LEDs", settings.digit_pins + status) as gpiozero:
                seven = settings.layout == "seven-segment"
                board = gpiozero.LEDCharDisplay if seven else gpiozero.LEDBoard
                self._digits = board(*settings.digit_pins)
                self._devices.append(self._digits)
                self._digits.value = self._patterns[None]
                # Without a frequency it is an LED like the others: software PWM costs wake-ups.
                self._status = gpiozero.PWMLED(*status, frequency=None) if status else None
                self._devices += [self._status] if status else []
        except PinError:
            self.close()
            raise

    def show(self, reading: Reading) -> None:
        with self._lock:
            if reading.settled != self._settled and self._walker is None:
                self._digits.value = self._patterns[reading.settled]
            self._settled, self._state = reading.settled, reading.state
            self._tell()

    def walk(self) -> None:
        """Light each digit from 0 to 9 in turn, then what is shown again; does not wait for it.

        Raises PinError while an earlier walk goes on.
        """
        with self._lock:
            if self._walker is not None:
                raise PinError("the LEDs are being tested already: wait until they have been lit")
            self._walker = threading.Thread(target=self._walk, name="leds", daemon=True)
            self._walker.start()

    def _walk(self) -> None:
        for digit in range(10):
            with self._lock:
                if self._closing.is_set():
                    return
                self._digits.value = self._patterns[digit]
            self._closing.wait(_STEP_SECONDS)
        with self._lock:
            if not self._closing.is_set():
                self._digits.value = self._patterns[self._settled]
            self._walker = None

    def wait(self) -> None:
        """Wait until a walk is at its end."""
        walker = self._walker
        if walker is not None:
            walker.join()

    def look(self) -> None:
        """Notice that a retraining began or ended; to be called often, asks every 3 seconds.

        A frame like the last one is not shown again, and at night they are all alike.
        """
        now = self._clock()
        if self._status is None or now - self._asked < _ASK_SECONDS:
            return
        self._asked = now
        self._trains = self._training()
        with self._lock:
            self._tell()

    def _tell(self) -> None:
        """Have the status LED tell the state, if it does not yet."""
        state = self._state
        if state == "ready" and self._settled is None and self._trains:
            state = "training"
        if self._status is None or state == self._told:
            return
        if "training" in (state, self._told):
            self._status.off()
            self._status.frequency = 100 if state == "training" else None
        if state == "training":
            self._status.pulse(fade_in_time=PULSE_SECONDS, fade_out_time=PULSE_SECONDS)
        elif state in BLINK_SECONDS:
            seconds = BLINK_SECONDS[state]
            self._status.blink(on_time=seconds, off_time=seconds)
        elif state:
            self._status.on()
        self._told = state

    def close(self) -> None:
        """Turn everything off and let go of the pins."""
        self._closing.set()
        if self._walker is not None:
            self._walker.join(1)
        with self._lock:
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
