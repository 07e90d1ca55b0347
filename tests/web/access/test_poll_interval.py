"""Pages that are open share what a machine has time for."""

import pytest
from flask.testing import FlaskClient

from appliance.outputs.latest import Latest
from appliance.reading import Reading
from appliance.web.access.poll_interval import LATEST, SOONEST, Lookers

PI, LAPTOP = 0.4, 0.012


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("pages", "seconds", "wait"),
    [(1, LAPTOP, SOONEST), (50, LAPTOP, SOONEST), (1, PI, SOONEST), (10, PI, 1.6), (50, PI, 8.0),
     (200, PI, LATEST), (50, 0.0, SOONEST)],
)  # fmt: skip
def test_the_more_pages_and_the_slower_the_machine_the_later(
    pages: int, seconds: float, wait: float
) -> None:
    lookers = Lookers(Clock())
    for page in range(pages):
        told = lookers.wait(str(page), seconds)
    assert told == pytest.approx(wait)


def test_pages_that_ask_as_told_stay_and_those_that_are_closed_go() -> None:
    clock = Clock()
    lookers = Lookers(clock)
    waits = []
    for at in range(0, 60, 4):
        clock.now = at
        # Half of them are closed after half a minute.
        for page in range(40 if at < 30 else 20):
            told = lookers.wait(str(page), PI)
        waits.append(told)
    assert waits[:8] == pytest.approx([6.4] * 8)
    assert waits[-1] == pytest.approx(3.2)


def test_names_without_end_do_not_fill_the_memory() -> None:
    lookers = Lookers(Clock())
    for page in range(5000):
        told = lookers.wait(str(page), PI)
    assert told == LATEST
    assert len(lookers._seen) <= 512


def test_a_page_is_told_when_to_ask_again(
    client: FlaskClient, latest: Latest, a_seven: Reading
) -> None:
    latest.show(a_seven)
    path = "/api/v1/reading?pictures=1"
    first = client.get(f"{path}&page=a")
    assert float(first.headers["Poll-After"]) == SOONEST
    again = client.get(f"{path}&page=a", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.headers["Poll-After"]) == (304, "0.5")
    assert "Poll-After" not in client.get(path).headers
