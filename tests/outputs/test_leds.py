"""The LEDs on gpiozero's own mock pins."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from gpiozero import PWMLED
from gpiozero.pins.mock import MockFactory

from appliance.errors import PinError
from appliance.outputs.leds import Leds
from appliance.reading import Reading
from appliance.settings.schema import LAYOUTS, LedSettings

INK = np.ones((2, 2), np.float32)


def lit(factory: MockFactory, pins: tuple[int, ...]) -> list[int]:
    return [place for place, pin in enumerate(pins) if factory.pin(f"GPIO{pin}").state]


def showing(digit: int | None) -> Reading:
    return Reading(at=0, digit=digit, settled=digit, mark=INK)


@pytest.mark.parametrize("digit", range(10))
def test_ten_leds_light_the_digits_own(mock_pins: MockFactory, digit: int) -> None:
    leds = Leds(LedSettings(layout="ten"))
    leds.show(showing(digit))
    assert lit(mock_pins, LAYOUTS["ten"]) == [digit]
    leds.close()


@pytest.mark.parametrize(
    ("digit", "bits"),
    [(1, [0]), (2, [1]), (3, [0, 1]), (7, [0, 1, 2]), (8, [3]), (9, [0, 3]), (0, [1, 3])],
)
def test_four_leds_show_the_bits_and_zero_as_ten(
    mock_pins: MockFactory, digit: int, bits: list[int]
) -> None:
    leds = Leds(LedSettings(layout="four"))
    leds.show(showing(digit))
    assert lit(mock_pins, LAYOUTS["four"]) == bits
    leds.close()


@pytest.mark.parametrize(
    ("digit", "segments"),
    [(0, "abcdef"), (1, "bc"), (4, "bcfg"), (7, "abc"), (8, "abcdefg"), (9, "abcdfg")],
)
def test_seven_segments_draw_the_digit(mock_pins: MockFactory, digit: int, segments: str) -> None:
    leds = Leds(LedSettings(layout="seven-segment"))
    leds.show(showing(digit))
    assert "".join("abcdefg"[i] for i in lit(mock_pins, LAYOUTS["seven-segment"])) == segments
    leds.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_leds_go_dark_when_there_is_no_digit(mock_pins: MockFactory, layout: str) -> None:
    leds = Leds(LedSettings(layout=layout))
    leds.show(showing(8))
    leds.show(Reading(at=0, reason="blank"))
    assert lit(mock_pins, LAYOUTS[layout]) == []
    leds.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_closing_turns_everything_off_and_frees_the_pins(
    mock_pins: MockFactory, layout: str
) -> None:
    for _ in range(2):
        leds = Leds(LedSettings(layout=layout))
        leds.show(showing(8))
        leds.close()
        leds.close()
        assert lit(mock_pins, (*LAYOUTS[layout], 17)) == []


def test_the_status_led_is_steady_blinks_slowly_and_blinks_fast(
    mock_pins: MockFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(PWMLED, "on", lambda self: told.append("on"))
    monkeypatch.setattr(PWMLED, "blink", lambda self, on_time, off_time: told.append(on_time))
    leds = Leds(LedSettings(layout="ten"))
    leds.show(Reading(at=0, reason="blank"))
    leds.show(Reading(at=0, digit=3, mark=INK))
    leds.show(Reading(at=0, fault="no camera"))
    leds.show(Reading(at=0, digit=3, settled=3, mark=INK))
    leds.close()
    assert told == ["on", 0.5, 0.1, "on"]
    assert not mock_pins.pin("GPIO17").state


def test_the_blinking_is_not_begun_anew_by_every_reading(mock_pins: MockFactory) -> None:
    leds = Leds(LedSettings(layout="ten"))
    leds.show(Reading(at=0, digit=3, mark=INK))
    thread = leds._status._blink_thread
    leds.show(Reading(at=1, digit=3, mark=INK))
    leds.show(Reading(at=2, digit=4, mark=INK))
    assert leds._status._blink_thread is thread
    leds.close()


class Told:
    """A status LED that writes down what it is told, and a clock and a training beside it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.now, self.trains, self.asked = 100.0, False, 0
        for name in ("on", "blink", "pulse"):
            say = partial(self.said.append, name)
            monkeypatch.setattr(PWMLED, name, lambda led, say=say, **times: say())
        self.leds = Leds(LedSettings(layout="ten"), self.training, lambda: self.now)

    def training(self) -> bool:
        self.asked += 1
        return self.trains

    def later(self, *, trains: bool) -> None:
        self.now, self.trains = self.now + 3.5, trains
        self.leds.look()


@pytest.fixture
def told(mock_pins: MockFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    told = Told(monkeypatch)
    yield told
    told.leds.close()


def test_the_status_led_pulses_while_it_trains_and_shows_no_digit(told: Told) -> None:
    told.leds.show(Reading(at=0, reason="blank"))
    # No frame differs from the one before it: nothing is shown meanwhile.
    told.later(trains=True)
    assert (told.said, told.leds._status.frequency) == (["on", "pulse"], 100)
    for at in range(4):
        told.leds.show(Reading(at=at, reason="blank"))
        told.later(trains=True)
    assert told.said == ["on", "pulse"]
    told.later(trains=False)
    assert (told.said, told.leds._status.frequency) == (["on", "pulse", "on"], None)


def test_nothing_pulses_while_a_digit_is_shown_or_looked_for_or_on_a_fault(told: Told) -> None:
    told.later(trains=True)
    assert told.said == []
    told.leds.show(showing(3))
    told.later(trains=True)
    assert told.said == ["on"]
    told.leds.show(Reading(at=0, reason="blank"))
    told.leds.show(Reading(at=0, digit=3, mark=INK))
    told.leds.show(Reading(at=0, fault="no camera"))
    told.later(trains=True)
    told.leds.show(showing(3))
    assert told.said == ["on", "pulse", "blink", "blink", "on"]


def test_whether_it_trains_is_asked_every_few_seconds(told: Told) -> None:
    for _ in range(80):
        told.now += 0.125
        told.leds.look()
        told.leds.show(Reading(at=0, reason="blank"))
    assert told.asked == 4


def test_the_pulse_ends_when_the_leds_are_closed(mock_pins: MockFactory) -> None:
    leds = Leds(LedSettings(layout="ten"), lambda: True)
    leds.show(Reading(at=0, reason="blank"))
    leds.look()
    assert leds._status._blink_thread.is_alive()
    leds.close()
    assert mock_pins.pin("GPIO17").state == 0


def test_without_a_status_led_a_training_is_not_asked_for(mock_pins: MockFactory) -> None:
    leds = Leds(LedSettings(layout="ten", status=-1), lambda: pytest.fail("asked"))
    leds.show(Reading(at=0, reason="blank"))
    leds.look()
    leds.close()


def test_a_pin_in_use_is_a_sentence_and_frees_the_others(mock_pins: MockFactory) -> None:
    first = Leds(LedSettings(layout="four", pins=(2, 3, 4, 14), status=-1))
    with pytest.raises(PinError, match=r"BCM pins 20, 21, 22, 23, 2 cannot be driven"):
        Leds(LedSettings(layout="four", pins=(20, 21, 22, 23), status=2, button=-1))
    first.close()
    Leds(LedSettings(layout="four", pins=(20, 21, 22, 23), status=2, button=-1)).close()


def test_a_machine_without_gpio_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpiozero import Device

    monkeypatch.setattr(Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "")
    with pytest.raises(PinError, match="this machine has no GPIO pins for the LEDs"):
        Leds(LedSettings(layout="ten"))
