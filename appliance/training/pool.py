"""Work in blocks, shared by processes; the results come in the order of the blocks."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, islice, starmap
from typing import Any, TypeVar

Result = TypeVar("Result")

_BLOCKS_AHEAD = 16
"""Blocks a process that are handed out at once: `Executor.map` alone would take all of them."""


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def map_blocks(
    work: Callable[..., Result], blocks: Iterable[tuple[Any, ...]], processes: int
) -> Iterator[Result]:
    """Yield `work(*block)` for each block in turn, computed by so many processes.

    A single process, or a single block, is computed here. Memory does not grow with the number of
    blocks, which may be an endless iterator.
    """
    left = iter(blocks)
    batch = list(islice(left, _BLOCKS_AHEAD * processes))
    if processes == 1 or len(batch) == 1:
        yield from starmap(work, chain(batch, left))
        return
    # Not "fork": a copy of a process that has threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _end_with_the_parent) as pool:
        while batch:
            yield from pool.map(work, *zip(*batch, strict=True))
            batch = list(islice(left, _BLOCKS_AHEAD * processes))


def _end_with_the_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
