"""Memory that stays with the process: for training on a CPU, and for many texts."""

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Of mallopt(3), glibc's malloc.h."""


def reuse_memory() -> None:
    """Keeps freed memory for the next tensor of its size, in huge pages where the kernel has them.

    Left alone, glibc gives every large block back to the kernel, and each step faults its tensors
    in anew, page by page: a quarter of a step's time or more. Has to be called before torch is
    imported; does nothing where the C library is another.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection within: among millions of words it would find no circle to break, and
    looking takes a fifth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
