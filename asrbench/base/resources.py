"""Errors of the machine, not of the program: of its disk, memory, files and processes."""

from asrbench.base.errors import UserError
from asrbench.base.files import disk_error
from asrbench.base.memory import is_out_of_memory


def resource_error(error: BaseException) -> UserError | None:
    """Returns the one line for an error of the machine; None for any other error."""
    if isinstance(error, OSError):
        return disk_error(error)
    if is_out_of_memory(error):
        detail = (str(error).splitlines() or ["no details"])[0][:200]
        return UserError(f"out of memory: {detail}; use less at a time")
    return None
