"""Whoever sends many requests waits for their answers; nobody else waits for those."""

from typing import NamedTuple

from appliance.web.access.fair_queue import FairQueue


class Task(NamedTuple):
    addr: tuple[str, int]
    number: int = 0


def test_addresses_take_turns_however_many_requests_one_has_sent() -> None:
    queue = FairQueue()
    for number in range(60):
        queue.append(Task(("script", 1), number))
    queue.append(Task(("child", 1)))
    queue.append(Task(("teacher", 1)))
    assert len(queue) == 62
    first = [queue.popleft() for _ in range(6)]
    assert [task.addr[0] for task in first[:3]] == ["script", "child", "teacher"]
    # One address's requests are answered in their order.
    rest = [queue.popleft() for _ in range(len(queue))]
    from_script = [task.number for task in [*first, *rest] if task.addr[0] == "script"]
    assert from_script == list(range(60))
    assert not queue
