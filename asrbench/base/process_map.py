"""The same work on many things, on all cores of the machine."""

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


def process_map(work: Callable[[Item], Found], items: Sequence[Item]) -> list[Found]:
    """What `work` makes of each of `items`, in their order, in a process a core.

    `work`, `items` and what is found are pickled. Worth it for seconds of work, not for less.
    """
    cores = min(available(), len(items))
    if cores < 2:
        return [*map(work, items)]
    # An interrupt goes to every process of the terminal; the first one is to speak of it.
    deaf = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(cores, initializer=deaf) as pool:
        return [*pool.map(work, items, chunksize=-(-len(items) // (2 * cores)))]


def available() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
