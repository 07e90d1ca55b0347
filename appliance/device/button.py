"""A push button that takes a reading at once."""

from collections.abc import Callable

from appliance.device.gpio import driving


class ReadButton:
    """Calls `pressed` when the button between a BCM pin and ground is pushed.

    >>> button = ReadButton(27, loop.read_now)
    >>> button.close()

    Raises PinError on a machine without GPIO, or when the pin is in use.
    """

    def __init__(self, pin: int, pressed: Callable[[], None]) -> None:
        with driving("button", (pin,)) as gpiozero:
            self._button = gpiozero.Button(pin, bounce_time=0.05)
        self._button.when_pressed = pressed

    def close(self) -> None:
        self._button.close()
