"""Whose request is next: each address has its turn, however many another has sent."""

from collections import deque
from typing import Any


class Turns:
    """The tasks that wait for a thread, in place of waitress's queue and under its lock."""

    def __init__(self) -> None:
        # The address whose turn was longest ago comes first.
        self._waiting: dict[str, deque[Any]] = {}

    def append(self, task: Any) -> None:
        self._waiting.setdefault(task.addr[0], deque()).append(task)

    def popleft(self) -> Any:
        address = next(iter(self._waiting))
        tasks = self._waiting.pop(address)
        task = tasks.popleft()
        if tasks:
            self._waiting[address] = tasks
        return task

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))
