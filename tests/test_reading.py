import numpy as np

from appliance.reading import Reading

INK = np.ones((3, 3), np.float32)


def test_the_state_is_what_the_status_led_shows() -> None:
    assert Reading(at=0, reason="blank").state == "ready"
    assert Reading(at=0, digit=3, settled=3, mark=INK).state == "ready"
    assert Reading(at=0, digit=3, settled=None, mark=INK).state == "looking"
    assert Reading(at=0, digit=3, settled=8, mark=INK).state == "looking"
    assert Reading(at=0, digit=None, reason="unsure", mark=INK).state == "looking"
    assert Reading(at=0, fault="no camera").state == "error"


def test_json_has_ten_probabilities_even_for_a_blank_sheet() -> None:
    answer = Reading(at=0, reason="blank").as_json()
    assert answer == {
        "digit": None,
        "reason": "blank",
        "confidence": 0.0,
        "probabilities": [0.0] * 10,
        "box": None,
        "milliseconds": 0.0,
    }
