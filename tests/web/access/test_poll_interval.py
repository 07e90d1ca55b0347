"""Open pages share what a machine has time for."""

import pytest
from flask.testing import FlaskClient

from appliance.outputs.latest import Latest
from appliance.reading import Reading
from appliance.web.access.poll_interval import LONGEST, SHORTEST, PollInterval
from tests.web.clock import Clock

PI, LAPTOP = 0.4, 0.012


@pytest.mark.parametrize(
    ("pages", "reading_seconds", "expected"),
    [(1, LAPTOP, SHORTEST), (50, LAPTOP, SHORTEST), (1, PI, SHORTEST), (10, PI, 1.6), (50, PI, 8.0),
     (200, PI, LONGEST), (50, 0.0, SHORTEST)],
)  # fmt: skip
def test_the_more_pages_and_the_slower_the_machine_the_longer_is_the_interval(
    pages: int, reading_seconds: float, expected: float
) -> None:
    interval = PollInterval(Clock())
    for page in range(pages):
        seconds = interval.next_poll(str(page), reading_seconds)
    assert seconds == pytest.approx(expected)


def test_pages_that_ask_in_time_count_and_closed_ones_do_not() -> None:
    clock = Clock()
    interval = PollInterval(clock)
    waits = []
    for at in range(0, 60, 4):
        clock.now = at
        # Half of them are closed after half a minute.
        for page in range(40 if at < 30 else 20):
            seconds = interval.next_poll(str(page), PI)
        waits.append(seconds)
    assert waits[:8] == pytest.approx([6.4] * 8)
    assert waits[-1] == pytest.approx(3.2)


def test_of_countless_names_only_so_many_count() -> None:
    interval = PollInterval(Clock())
    for page in range(5000):
        seconds = interval.next_poll(str(page), PI / 100)
    # As many as 512 pages.
    assert seconds == pytest.approx(512 * PI / 100 / 25 / 0.1)


def test_a_page_is_sent_its_interval(client: FlaskClient, latest: Latest, a_seven: Reading) -> None:
    latest.show(a_seven)
    path = "/api/v1/reading?pictures=1"
    first = client.get(f"{path}&page=a")
    assert float(first.headers["Poll-After"]) == SHORTEST
    again = client.get(f"{path}&page=a", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.headers["Poll-After"]) == (304, "0.5")
    assert "Poll-After" not in client.get(path).headers
