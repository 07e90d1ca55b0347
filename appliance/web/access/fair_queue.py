"""Whose request is answered next: addresses take turns, however many requests one has sent."""

from collections import deque
from typing import Any


class FairQueue:
    """Tasks that wait for a thread, round robin by `addr`, in the place of waitress's deque.

    Waitress calls it under its own lock.
    """

    def __init__(self) -> None:
        # The address that waits longest for its turn comes first.
        self._tasks: dict[str, deque[Any]] = {}

    def append(self, task: Any) -> None:
        self._tasks.setdefault(task.addr[0], deque()).append(task)

    def popleft(self) -> Any:
        address = next(iter(self._tasks))
        tasks = self._tasks.pop(address)
        task = tasks.popleft()
        if tasks:
            self._tasks[address] = tasks
        return task

    def __len__(self) -> int:
        return sum(map(len, self._tasks.values()))
