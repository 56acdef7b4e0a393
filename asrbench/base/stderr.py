"""Keeping lines of C libraries off the terminal."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_inside = 0
"""Number of threads that are within `silenced_stderr`."""
_kept = -1
"""A copy of the file descriptor 2 while it leads nowhere."""


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Discards what is written to file descriptor 2, by any thread, within the context.

    For C libraries that print warnings and have no setting against it. `sys.stderr` uses the same
    descriptor, so the context should be as short as the call of the library.
    """
    global _inside, _kept
    with _LOCK:
        if not _inside:
            _kept = _leads_nowhere()
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if not _inside and _kept >= 0:
                os.dup2(_kept, 2)
                os.close(_kept)


def _leads_nowhere() -> int:
    """Lets the descriptor 2 lead nowhere and returns a copy of it; -1 if it is closed."""
    try:
        kept = os.dup(2)
    except OSError:
        return -1
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return kept
