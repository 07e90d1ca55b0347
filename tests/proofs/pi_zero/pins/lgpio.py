"""Stands in for the lgpio library, which Debian's armel has not: gpiozero's own lgpio pins drive
`/dev/gpiochip0` through it, by the kernel's GPIO character device.

What gpiozero's `pins/lgpio.py` asks for, and no more. Source: the kernel's
include/uapi/linux/gpio.h, version 2 of its interface.
"""

import fcntl
import os
import select
import struct
import threading
import time
from collections.abc import Callable

RISING_EDGE, FALLING_EDGE, BOTH_EDGES = 1, 2, 3
SET_BIAS_PULL_UP, SET_BIAS_PULL_DOWN, SET_BIAS_DISABLE = 32, 64, 128

_GET_LINE, _GET_VALUES, _SET_VALUES = 0xC250B407, 0xC010B40E, 0xC010B40F
_INPUT, _OUTPUT, _RISING, _FALLING = 1 << 2, 1 << 3, 1 << 4, 1 << 5
_BIAS = {SET_BIAS_PULL_UP: 1 << 8, SET_BIAS_PULL_DOWN: 1 << 9, SET_BIAS_DISABLE: 1 << 10}
_OUTPUT_VALUES = 2
_REQUEST = "<64I32sQI20x" + "I4xQQ" + "216x" + "II20xi"
"""Offsets, consumer, flags, the first of ten attributes, lines, size of the buffer, descriptor."""
_EVENT = "<QIIII24x"


class error(Exception):
    """The kernel refused."""


class _Line:
    def __init__(self, fd: int, flags: int) -> None:
        self.fd, self.flags = fd, flags
        self.pwm: _Pwm | None = None
        self.listener: callback | None = None


class _Pwm(threading.Thread):
    def __init__(self, write: Callable[[int], None], frequency: float, duty: float) -> None:
        super().__init__(daemon=True)
        self._write, self._over = write, threading.Event()
        self.frequency, self.duty = frequency, duty

    def run(self) -> None:
        while not self._over.is_set():
            period, share = 1 / self.frequency, self.duty / 100
            for level, seconds in ((1, period * share), (0, period * (1 - share))):
                if seconds:
                    self._write(level)
                    self._over.wait(seconds)

    def end(self) -> None:
        self._over.set()
        self.join()


_lines: dict[tuple[int, int], _Line] = {}


def gpiochip_open(number: int) -> int:
    try:
        return os.open(f"/dev/gpiochip{number}", os.O_RDWR | os.O_CLOEXEC)
    except OSError as refused:
        raise error(str(refused)) from None


def gpiochip_close(chip: int) -> None:
    for held, pin in list(_lines):
        if held == chip:
            gpio_free(held, pin)
    os.close(chip)


def _claim(chip: int, pin: int, flags: int, level: int = 0) -> None:
    gpio_free(chip, pin)
    values = (_OUTPUT_VALUES, level, 1) if flags & _OUTPUT else (0, 0, 0)
    offsets = [pin, *[0] * 63]
    request = bytearray(
        struct.pack(_REQUEST, *offsets, b"digits", flags, bool(flags & _OUTPUT), *values, 1, 0, 0)
    )
    try:
        fcntl.ioctl(chip, _GET_LINE, request)
    except OSError as refused:
        raise error(f"pin {pin}: {refused}") from None
    _lines[chip, pin] = _Line(struct.unpack(_REQUEST, request)[-1], flags)


def gpio_claim_input(chip: int, pin: int, bias: int = 0) -> None:
    _claim(chip, pin, _INPUT | _BIAS.get(bias, 0))


def gpio_claim_output(chip: int, pin: int, level: int = 0, bias: int = 0) -> None:
    _claim(chip, pin, _OUTPUT | _BIAS.get(bias, 0), level)


def gpio_free(chip: int, pin: int) -> None:
    line = _lines.pop((chip, pin), None)
    if line is not None:
        if line.pwm is not None:
            line.pwm.end()
        if line.listener is not None:
            line.listener.cancel()
        os.close(line.fd)


def gpio_get_mode(chip: int, pin: int) -> int:
    """Return lgpio's bits: 2 for an output, its biases as they are set."""
    flags = _lines[chip, pin].flags
    return bool(flags & _OUTPUT) * 2 + sum(bias for bias, bit in _BIAS.items() if flags & bit)


def gpio_read(chip: int, pin: int) -> int:
    values = bytearray(struct.pack("<QQ", 0, 1))
    fcntl.ioctl(_lines[chip, pin].fd, _GET_VALUES, values)
    return int(struct.unpack("<QQ", values)[0]) & 1


def gpio_write(chip: int, pin: int, level: int) -> None:
    fcntl.ioctl(_lines[chip, pin].fd, _SET_VALUES, bytearray(struct.pack("<QQ", bool(level), 1)))


def tx_pwm(chip: int, pin: int, frequency: float, duty: float) -> None:
    line = _lines[chip, pin]
    if line.pwm is not None and not frequency:
        line.pwm.end()
        line.pwm = None
    elif line.pwm is not None:
        line.pwm.frequency, line.pwm.duty = frequency, duty
    elif frequency:
        line.pwm = _Pwm(lambda level: gpio_write(chip, pin, level), frequency, duty)
        line.pwm.start()


def gpio_set_debounce_micros(chip: int, pin: int, micros: int) -> None:
    """Do nothing: no contact bounces here."""


def gpio_claim_alert(chip: int, pin: int, edges: int, bias: int = 0) -> None:
    wanted = (_RISING if edges & RISING_EDGE else 0) | (_FALLING if edges & FALLING_EDGE else 0)
    _claim(chip, pin, _INPUT | wanted | _BIAS.get(bias, 0))


class callback:
    """Calls `function(chip, pin, level, nanoseconds)` at each edge, until it is cancelled."""

    def __init__(
        self, chip: int, pin: int, edges: int, function: Callable[[int, int, int, int], None]
    ) -> None:
        line = _lines[chip, pin]
        line.listener = self
        self._told = line.fd, chip, pin, function
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        fd, chip, pin, function = self._told
        while not self._over.is_set():
            if select.select([fd], [], [], 0.5)[0]:
                event = struct.unpack(_EVENT, os.read(fd, struct.calcsize(_EVENT)))
                function(chip, pin, int(event[1] == RISING_EDGE), time.time_ns())

    def cancel(self) -> None:
        self._over.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
