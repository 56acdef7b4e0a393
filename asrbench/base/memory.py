"""Memory: settings that make long work faster, and how its lack is noticed."""

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asrbench.base.errors import UserError

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of mallopt(3), from glibc's malloc.h."""

_SHORT_OF = (
    "can't allocate memory",
    "cannot allocate memory",
    "can't start new thread",
    "cannot map zero-fill pages",
    "failed to map segment",
    "could not create a primitive",
    "ft_open_face",
    "error return without exception set",
)
"""What torch, oneDNN, FreeType, Python and the loader of libraries say in errors of other classes.

The last is Python's own where an import finds no memory even for its `MemoryError`.
"""

LEAST_BYTES = 256 << 20
"""Memory without which no command begins, 256 MiB; each of them takes more than that."""


def reuse_memory() -> None:
    """Has the process keep freed memory for later tensors, in huge pages if the kernel has them.

    By default glibc returns every large block to the kernel, so that each training step on a CPU
    faults its tensors in again, page by page, which takes a quarter of the step or more. This
    function must be called before torch is imported. With another C library it does nothing.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def available_bytes() -> int | None:
    """Returns the memory that programs can still take, in bytes; None but on Linux."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(kilobytes[0]) if kilobytes else None


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that memory ran out: of Python, NumPy, Arrow, torch or CUDA.

    The stack of a thread is memory too, and so is a library that is loaded.
    """
    # torch has a class of its own only for the memory of devices, and this module needs no torch.
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ImportError | SystemError)
        and (
            type(error).__name__ == "OutOfMemoryError"
            or any(s in str(error).lower() for s in _SHORT_OF)
        )
    )


def check_least_memory() -> None:
    """Raises `UserError` if this process cannot have `LEAST_BYTES` of further memory.

    With less, libraries crash before any code of Python can say why. The memory is only promised
    and never touched, so this takes no time.
    """
    try:
        bytes(LEAST_BYTES)
    except MemoryError:
        raise UserError(
            f"out of memory: this process may not take {LEAST_BYTES >> 20} MiB more; raise its "
            f"limit (ulimit -d, ulimit -v), or free memory"
        ) from None


@contextmanager
def uncollected() -> Iterator[None]:
    """Suspends garbage collection within the block.

    Millions of strings hold no reference cycles, and searching them takes a fifth of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
