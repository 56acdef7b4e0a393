"""Parallel map over processes, one per core."""

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def process_map(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Returns `work(item)` for each of `items`, in their order, computed in one process per core.

    `work`, `items` and results are pickled. Starting the processes takes about a second, so that
    shorter work is faster without.
    """
    cores = min(available(), len(items))
    if cores < 2:
        return [*map(work, items)]
    # Ctrl-C reaches every process of the terminal. Only this one reacts to it.
    ignore_interrupts = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(cores, initializer=ignore_interrupts) as pool:
        return [*pool.map(work, items, chunksize=-(-len(items) // (2 * cores)))]


def available() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
