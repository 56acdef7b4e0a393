"""Errors of the machine, not of the program: of its disk, memory, files and processes."""

import errno
import os
import re

from asrbench.base.errors import UserError
from asrbench.base.files import disk_error
from asrbench.base.memory import is_out_of_memory

_LOOP = "Symlink loop from "

_TORCH = re.compile(r"unable to open file <(.*)> in .* mode: .* \((\d+)\)")
"""What torch says of a file that it cannot open, with the number of the system's error."""


def resource_error(error: BaseException) -> UserError | None:
    """Returns the one line for an error of the machine; None for any other error."""
    if isinstance(error, OSError):
        return disk_error(error)
    # What Path.resolve() raises before Python 3.13, where it is an OSError.
    if isinstance(error, RuntimeError) and str(error).startswith(_LOOP):
        path = str(error).removeprefix(_LOOP).strip("'")
        return disk_error(OSError(errno.ELOOP, os.strerror(errno.ELOOP), path))
    if isinstance(error, RuntimeError) and (found := _TORCH.match(str(error))):
        code = int(found[2])
        return disk_error(OSError(code, os.strerror(code), found[1]))
    if is_out_of_memory(error):
        detail = (str(error).splitlines() or ["no details"])[0][:200]
        return UserError(f"out of memory: {detail}; use less at a time")
    return None
