"""Blocks of work shared by processes: the results come in the blocks' order, whoever made them."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import Any, TypeVar

Result = TypeVar("Result")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def shared(
    work: Callable[..., Result], blocks: Iterable[tuple[Any, ...]], processes: int
) -> Iterator[Result]:
    """Yield `work` of each block's arguments in turn, made by so many processes.

    One process, or one block, is this process. Few blocks are ahead of what is yielded: memory does
    not grow with their number.
    """
    waiting_blocks = iter(blocks)
    first = list(islice(waiting_blocks, 2))
    if processes == 1 or len(first) < 2:
        for block in (*first, *waiting_blocks):
            yield work(*block)
        return
    # A fork of a process that has threads may never end; "spawn" begins afresh.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _end_with_the_parent) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for block in (*first, *waiting_blocks):
                waiting.append(pool.submit(work, *block))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_the_parent() -> None:
    """Leave Ctrl-C to the parent process, and end when it does, however it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
