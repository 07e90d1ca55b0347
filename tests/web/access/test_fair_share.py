"""Who asks without pause is answered less often, and takes nothing from the others."""

import pytest

from appliance.web.access.fair_share import (
    BURST_SECONDS,
    LONGEST_WAIT,
    READ_LIMIT,
    SUSTAINED_SHARE,
    FairShare,
)
from tests.web.clock import Clock


def ask_without_pause(
    share: FairShare, clock: Clock, addresses: list[str], seconds: float
) -> float:
    """Return the seconds of the processor that the addresses' answers took in a time."""
    end, taken = clock.now + seconds, 0.0
    while clock.now < end:
        throttled = share.throttled_addresses()
        ready = [each for each in addresses if each not in throttled]
        for each in ready:
            share.charge(each, 0.01)
            clock.now += 0.01
            taken += 0.01
        if not ready:
            clock.now += 0.05
    return taken


@pytest.mark.parametrize("machines", [1, 3, 30])
def test_those_who_ask_without_pause_get_their_share_in_the_long_run(machines: int) -> None:
    clock = Clock()
    share = FairShare(clock)
    addresses = [str(each) for each in range(machines)]
    first = ask_without_pause(share, clock, addresses, 60)
    assert BURST_SECONDS <= first <= BURST_SECONDS + 60 * SUSTAINED_SHARE + 1
    # From then on the loop has the rest.
    taken = ask_without_pause(share, clock, addresses, 300)
    assert taken == pytest.approx(300 * SUSTAINED_SHARE, rel=0.1)


def test_thirty_who_open_the_page_at_once_do_not_wait() -> None:
    clock = Clock()
    share = FairShare(clock)
    # Ten requests a page, each as slow as on a slow machine.
    for _ in range(10):
        for machine in range(30):
            assert not share.throttled_addresses()
            share.charge(str(machine), 0.03)
            clock.now += 0.03


def test_one_that_asks_without_pause_takes_nothing_from_the_others() -> None:
    clock = Clock()
    share = FairShare(clock)
    for second in range(120):
        clock.now = max(clock.now, second)
        ask_without_pause(share, clock, ["script"], 0.8)
        for child in ("a", "b", "c"):
            assert child not in share.throttled_addresses()
            share.charge(child, 0.005)
    assert share.throttled_addresses() == {"script"}


@pytest.mark.parametrize("others", [0, 29])
def test_nobody_waits_longer_than_the_longest_wait(others: int) -> None:
    clock = Clock()
    share = FairShare(clock)
    for _ in range(1000):
        share.charge("a", READ_LIMIT)
    assert share.throttled_addresses() == {"a"}
    end = clock.now + LONGEST_WAIT + 1
    while clock.now < end:
        clock.now += 0.25
        throttled = share.throttled_addresses()
        for each in range(others):
            assert str(each) not in throttled
            share.charge(str(each), 0.001)
    assert "a" not in share.throttled_addresses()


def test_one_answer_that_takes_very_long_throttles_no_longer_than_many() -> None:
    clock = Clock()
    share = FairShare(clock)
    share.charge("a", BURST_SECONDS - 0.1)
    assert not share.throttled_addresses()
    share.charge("a", 1000)
    assert share.throttled_addresses() == {"a"}
    clock.now += LONGEST_WAIT + 0.1
    assert not share.throttled_addresses()


def test_of_countless_addresses_the_oldest_are_forgotten() -> None:
    share = FairShare(Clock())
    share.charge("first", 1000)
    assert share.throttled_addresses() == {"first"}
    for address in range(1000):
        share.charge(str(address), 0.0001)
    assert "first" not in share.throttled_addresses()
