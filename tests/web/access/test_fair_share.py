"""Who asks without pause is answered less often, and takes nothing from the others."""

import pytest

from appliance.web.access.fair_share import AHEAD, LONGEST, MOST, SHARE, Shares


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def spent(shares: Shares, clock: Clock, addresses: list[str], seconds: float) -> float:
    """Have addresses ask without pause for a time; return what their answers took in all."""
    end, took = clock.now + seconds, 0.0
    while clock.now < end:
        over = shares.over()
        ready = [each for each in addresses if each not in over]
        for each in ready:
            shares.spend(each, 0.01)
            clock.now += 0.01
            took += 0.01
        if not ready:
            clock.now += 0.05
    return took


@pytest.mark.parametrize("machines", [1, 3, 30])
def test_those_who_ask_without_pause_get_their_share_in_the_long_run(machines: int) -> None:
    clock = Clock()
    shares = Shares(clock)
    addresses = [str(each) for each in range(machines)]
    first = spent(shares, clock, addresses, 60)
    assert AHEAD <= first <= AHEAD + 60 * SHARE + 1
    # From then on the loop has the rest.
    assert spent(shares, clock, addresses, 300) == pytest.approx(300 * SHARE, rel=0.1)


def test_thirty_who_open_the_page_at_once_wait_for_nothing() -> None:
    clock = Clock()
    shares = Shares(clock)
    # What a page with all that belongs to it may take on a slow machine.
    for _ in range(10):
        for machine in range(30):
            assert not shares.over()
            shares.spend(str(machine), 0.03)
            clock.now += 0.03


def test_one_that_asks_without_pause_takes_nothing_from_the_others() -> None:
    clock = Clock()
    shares = Shares(clock)
    for second in range(120):
        clock.now = max(clock.now, second)
        spent(shares, clock, ["script"], 0.8)
        for child in ("a", "b", "c"):
            assert child not in shares.over()
            shares.spend(child, 0.005)
    assert shares.over() == {"script"}


@pytest.mark.parametrize("others", [0, 29])
def test_nobody_waits_for_long_however_many_come_after_it(others: int) -> None:
    clock = Clock()
    shares = Shares(clock)
    for _ in range(1000):
        shares.spend("a", MOST)
    assert shares.over() == {"a"}
    end = clock.now + LONGEST + 1
    while clock.now < end:
        clock.now += 0.25
        over = shares.over()
        for each in range(others):
            assert str(each) not in over
            shares.spend(str(each), 0.001)
    assert "a" not in shares.over()


def test_a_long_answer_counts_for_what_it_takes() -> None:
    clock = Clock()
    shares = Shares(clock)
    shares.spend("a", AHEAD - 0.1)
    assert not shares.over()
    shares.spend("a", 1000)
    assert shares.over() == {"a"}
    clock.now += LONGEST + 0.1
    assert not shares.over()


def test_addresses_without_end_do_not_fill_the_memory() -> None:
    shares = Shares(Clock())
    for address in range(5000):
        shares.spend(str(address), 0.01)
    assert len(shares._spent) <= 256
