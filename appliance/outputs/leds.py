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
_POLL_SECONDS = 3.0
_STEP_SECONDS = 0.4


class Leds:
    """Ten LEDs (one a digit), four (its bits, 1 2 4 8) or a seven-segment digit, and a status LED.

    Wiring: each pin through a resistor (330 Ω for a common LED at 3.3 V) to the LED's longer leg,
    the shorter one to ground; a seven-segment digit of the common-cathode kind, segments a to g.
    The status LED is steady when ready, blinks slowly while looking and fast on an error. It
    pulses while `training` returns True and there is nothing to show.

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
        self._is_training, self._polled_at = False, -_POLL_SECONDS
        self._settled: int | None = None
        self._state = ""
        self._status_state = ""
        self._devices: list[Any] = []
        # The loop shows readings, the page starts walks: one of them has the pins at a time.
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
            self._update_status()

    def walk(self) -> None:
        """Start to light each digit from 0 to 9 in turn, then the reading again; return at once.

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
        """Poll whether a retraining runs, every 3 seconds; to be called more often.

        `show` is not enough: a frame like the last one is not shown, and at night all are alike.
        """
        now = self._clock()
        if self._status is None or now - self._polled_at < _POLL_SECONDS:
            return
        self._polled_at = now
        self._is_training = self._training()
        with self._lock:
            self._update_status()

    def _update_status(self) -> None:
        """Switch the status LED where the state has changed."""
        state = self._state
        if state == "ready" and self._settled is None and self._is_training:
            state = "training"
        if self._status is None or state == self._status_state:
            return
        if "training" in (state, self._status_state):
            self._status.off()
            self._status.frequency = 100 if state == "training" else None
        if state == "training":
            self._status.pulse(fade_in_time=PULSE_SECONDS, fade_out_time=PULSE_SECONDS)
        elif state in BLINK_SECONDS:
            seconds = BLINK_SECONDS[state]
            self._status.blink(on_time=seconds, off_time=seconds)
        elif state:
            self._status.on()
        self._status_state = state

    def close(self) -> None:
        """Turn everything off and free the pins."""
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
    """Return gpiozero's `value` for each digit, and for none."""
    digits = range(10)
    if layout == "seven-segment":
        return {None: " "} | {digit: str(digit) for digit in digits}
    if layout == "ten":
        return {None: (0,) * 10} | {d: tuple(int(d == each) for each in digits) for d in digits}
    bits = {d: tuple((d or ZERO_IN_BITS) >> bit & 1 for bit in range(4)) for d in digits}
    return {None: (0,) * 4} | bits
