from gpiozero.pins.mock import MockFactory

from appliance.device.button import ReadButton


def test_a_push_takes_a_reading(mock_pins: MockFactory) -> None:
    pushes: list[int] = []
    button = ReadButton(27, lambda: pushes.append(1))
    pin = mock_pins.pin("GPIO27")
    pin.drive_low()
    pin.drive_high()
    assert pushes == [1]
    button.close()
    ReadButton(27, lambda: None).close()
