"""gpiozero at arm's length: what it cannot do on this machine becomes one sentence."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from appliance.errors import PinError


@contextmanager
def driving(what: str, pins: tuple[int, ...]) -> Iterator[Any]:
    """Yield the gpiozero module to make devices with; `what` and `pins` are named in an error.

    Raises PinError where gpiozero is missing, the machine has no GPIO, or a pin is in use. Tests
    set gpiozero's own `MockFactory` as `Device.pin_factory`.
    """
    try:
        import gpiozero
    except ImportError:
        raise PinError(
            "gpiozero is missing: run 'sudo apt install --no-install-recommends python3-gpiozero "
            "python3-lgpio', or run without LEDs with --leds none"
        ) from None
    try:
        with warnings.catch_warnings():
            # It tells of each pin library that it tries; the last word is enough.
            warnings.simplefilter("ignore", gpiozero.PinFactoryFallback)
            yield gpiozero
    except gpiozero.BadPinFactory:
        raise PinError(f"this machine has no GPIO pins for the {what}") from None
    except AttributeError as error:
        raise PinError(
            f"this gpiozero is too old for the {what} ({error}): update python3-gpiozero to 2.0, "
            "or choose the LED layout ten or four"
        ) from None
    except Exception as error:
        named = ", ".join(map(str, pins))
        raise PinError(
            f"the {what} on BCM pins {named} cannot be driven ({error}): stop the other program "
            "that uses them, or set other pins under [leds] in digits.toml"
        ) from None
