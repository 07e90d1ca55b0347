from appliance.reading import Reading
from appliance.steady import Steady


def shown(steady: Steady, digits: list[int | None]) -> list[int | None]:
    return [steady.update(Reading(at=0, digit=digit)).settled for digit in digits]


def test_three_agreeing_readings_show_a_digit() -> None:
    assert shown(Steady(3), [7, 7, 7]) == [None, None, 7]


def test_a_digit_that_comes_and_goes_is_never_shown() -> None:
    assert shown(Steady(3), [7, 7, 1, 7, 7, None, 7]) == [None] * 7


def test_one_odd_reading_does_not_make_it_flicker() -> None:
    assert shown(Steady(3), [7, 7, 7, 1, 7, None, 7]) == [None, None, 7, 7, 7, 7, 7]


def test_another_digit_replaces_it_after_three() -> None:
    assert shown(Steady(3), [7, 7, 7, 1, 1, 1]) == [None, None, 7, 7, 7, 1]


def test_it_goes_dark_after_three_without_a_digit() -> None:
    assert shown(Steady(3), [7, 7, 7, None, None, None]) == [None, None, 7, 7, 7, None]


def test_the_button_shows_an_answer_at_once() -> None:
    steady = Steady(3)
    assert steady.update(Reading(at=0, digit=4), at_once=True).settled == 4
    assert shown(steady, [None, 4]) == [4, 4]


def test_after_a_fault_it_starts_anew() -> None:
    steady = Steady(2)
    assert shown(steady, [3, 3]) == [None, 3]
    steady.forget()
    assert shown(steady, [3, 3]) == [None, 3]
