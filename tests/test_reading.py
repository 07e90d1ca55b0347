import numpy as np

from appliance.reading import Answer, Reading, make_frame

INK = np.ones((3, 3), np.float32)


def test_the_state_is_what_the_status_led_shows() -> None:
    assert Reading(at=0, reason="blank").state == "ready"
    assert Reading(at=0, digit=3, settled=3, mark=INK).state == "ready"
    assert Reading(at=0, digit=3, settled=None, mark=INK).state == "looking"
    assert Reading(at=0, digit=3, settled=8, mark=INK).state == "looking"
    assert Reading(at=0, digit=None, reason="unsure", mark=INK).state == "looking"
    assert Reading(at=0, fault="no camera").state == "error"


def test_json_has_ten_probabilities_even_for_a_blank_sheet() -> None:
    answer = Reading(at=0, reason="blank").to_json()
    assert answer == {
        "digit": None,
        "reason": "blank",
        "confidence": 0.0,
        "probabilities": [0.0] * 10,
        "box": None,
        "milliseconds": 0.0,
        "marks": [],
    }


def test_json_has_every_marks_own_answer() -> None:
    probabilities = (0.0,) * 4 + (0.123456,) + (0.0,) * 4 + (0.8,)
    marks = (
        Answer(9, None, 0.8, probabilities, (1, 2, 3, 4), INK, INK),
        Answer(None, "not a digit", 0.1, probabilities, (5, 6, 7, 8), INK, INK),
    )
    answers = Reading(at=0, digit=9, confidence=0.8, marks=marks).to_json()["marks"]
    assert answers == [
        {
            "digit": 9,
            "reason": None,
            "confidence": 0.8,
            "probabilities": [0.0, 0.0, 0.0, 0.0, 0.1235, 0.0, 0.0, 0.0, 0.0, 0.8],
            "box": [1, 2, 3, 4],
        },
        {
            **answers[0],
            "digit": None,
            "reason": "not a digit",
            "confidence": 0.1,
            "box": [5, 6, 7, 8],
        },
    ]


def test_the_size_of_a_frame_is_that_of_its_array() -> None:
    assert make_frame(np.zeros((48, 64), np.uint8), 3.0).size == (64, 48)
