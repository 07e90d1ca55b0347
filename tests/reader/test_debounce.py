import pytest

from appliance.reader.debounce import GONE_AFTER, Debouncer
from appliance.reading import Reading


def shown(
    debouncer: Debouncer, digits: list[int | None], *, rate: float = 8.0, start: float = 0.0
) -> list[int | None]:
    """Return what is shown while readings of these digits come, `rate` of them a second."""
    return [
        debouncer.update(Reading(at=start + i / rate, digit=digit)).settled
        for i, digit in enumerate(digits)
    ]


def test_three_agreeing_readings_show_a_digit() -> None:
    assert shown(Debouncer(3), [7, 7, 7]) == [None, None, 7]


@pytest.mark.parametrize("agree", [1, 2, 5])
def test_as_many_readings_must_agree_as_the_setting_says(agree: int) -> None:
    assert shown(Debouncer(agree), [4] * 6) == [None] * (agree - 1) + [4] * (7 - agree)


def test_a_digit_that_comes_and_goes_is_never_shown() -> None:
    assert shown(Debouncer(3), [7, 7, 1, 7, 7, None, 7]) == [None] * 7


def test_one_odd_reading_does_not_make_it_flicker() -> None:
    assert shown(Debouncer(3), [7, 7, 7, 1, 7, None, 7]) == [None, None, 7, 7, 7, 7, 7]


def test_another_digit_replaces_the_settled_one_after_three() -> None:
    assert shown(Debouncer(3), [7, 7, 7, 1, 1, 1]) == [None, None, 7, 7, 7, 1]


def test_three_readings_without_a_digit_settle_on_none() -> None:
    assert shown(Debouncer(3), [7, 7, 7, None, None, None]) == [None, None, 7, 7, 7, None]


@pytest.mark.parametrize("jump", [-30 * 86400.0, 30 * 86400.0])
def test_a_clock_that_is_set_keeps_no_digit(jump: float) -> None:
    debouncer = Debouncer(3)
    assert shown(debouncer, [7, 7, 7], start=1e6)[-1] == 7
    assert shown(debouncer, [1, 4, 1, 4, 1], start=1e6 + jump)[-1] is None


def test_readings_that_waver_between_two_digits_keep_the_one_shown() -> None:
    wavering = [1, 7, 1, 7, 7, 1, 1, 7] * 5
    assert set(shown(Debouncer(3), [7, 7, 7, *wavering])[2:]) == {7}


def test_readings_that_waver_without_the_settled_digit_drop_it() -> None:
    seen = shown(Debouncer(3), [7, 7, 7, *[1, 4] * 8])
    assert seen[2] == 7
    assert seen[-1] is None
    # Nothing is shown that fewer than three in a row said.
    assert set(seen) == {None, 7}


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0, 4.0, 8.0, 30.0])
def test_a_digit_is_gone_within_a_second_of_the_sheet(rate: float) -> None:
    debouncer = Debouncer(3)
    assert shown(debouncer, [6] * 5, rate=rate)[-1] == 6
    last_seen = 4 / rate
    blanks = [last_seen + (i + 1) / rate for i in range(40)]
    lit = [at for at in blanks if debouncer.update(Reading(at=at)).settled == 6]
    assert all(at - last_seen < 1.0 for at in lit)
    # At slow rates even the first reading after the sheet went comes later than that.
    assert len(lit) == min(2, sum(at - last_seen <= GONE_AFTER for at in blanks))


@pytest.mark.parametrize("rate", [1.0, 4.0])
def test_at_slow_rates_a_digit_that_stays_is_not_dropped_for_one_odd_reading(rate: float) -> None:
    digits: list[int | None] = [6, 6, 6, 6, None, 6, 6, 6]
    seen = shown(Debouncer(3), digits, rate=rate)
    assert seen[5:] == [6, 6, 6] if rate * GONE_AFTER > 1 else seen[3] == seen[7] == 6


def test_a_dropped_digit_must_be_agreed_on_again() -> None:
    debouncer = Debouncer(3)
    shown(debouncer, [2, 2, 2])
    assert shown(debouncer, [None, 2, 2, 2], start=60) == [None, None, None, 2]


def test_the_button_shows_an_answer_at_once() -> None:
    debouncer = Debouncer(3)
    assert debouncer.update(Reading(at=0, digit=4), at_once=True).settled == 4
    assert shown(debouncer, [None, 4], start=0.1) == [4, 4]


def test_the_button_shows_no_digit_at_once() -> None:
    debouncer = Debouncer(3)
    shown(debouncer, [4, 4, 4])
    assert debouncer.update(Reading(at=0.5), at_once=True).settled is None


def test_a_reset_forgets_all_readings() -> None:
    debouncer = Debouncer(2)
    assert shown(debouncer, [3, 3]) == [None, 3]
    debouncer.reset()
    assert shown(debouncer, [3, 3]) == [None, 3]


def test_the_rest_of_a_reading_is_left_as_it_is() -> None:
    reading = Reading(at=5.0, digit=3, confidence=0.8, box=(1, 2, 3, 4))
    settled = Debouncer(1).update(reading)
    assert (settled.at, settled.confidence, settled.box) == (5.0, 0.8, (1, 2, 3, 4))
    assert reading.settled is None
