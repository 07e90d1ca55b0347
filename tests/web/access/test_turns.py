"""Whoever has sent many requests waits for their answers; nobody else waits for those."""

from typing import NamedTuple

from appliance.web.access.turns import Turns


class Task(NamedTuple):
    addr: tuple[str, int]
    number: int = 0


def test_each_address_has_its_turn_however_many_another_has_sent() -> None:
    turns = Turns()
    for number in range(60):
        turns.append(Task(("script", 1), number))
    turns.append(Task(("child", 1)))
    turns.append(Task(("teacher", 1)))
    assert len(turns) == 62
    first = [turns.popleft() for _ in range(6)]
    assert [task.addr[0] for task in first[:3]] == ["script", "child", "teacher"]
    # What one address has sent is answered in its order.
    rest = [turns.popleft() for _ in range(len(turns))]
    of_the_script = [task.number for task in [*first, *rest] if task.addr[0] == "script"]
    assert of_the_script == list(range(60))
    assert not turns
