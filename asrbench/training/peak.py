"""Peak memory of a section of code, on a GPU or a CPU."""

import sys
from pathlib import Path

import torch

if sys.platform != "win32":
    import resource

RESET_PEAK = "5"
"""The value that resets a process' peak memory on Linux: proc(5), /proc/pid/clear_refs."""


def reset_peak(device: torch.device) -> None:
    """Starts a new measurement of the peak. Does nothing where the system cannot reset it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    except OSError:
        return


def peak_bytes(device: torch.device) -> int:
    """Returns the peak in bytes: of all tensors (CUDA), or the process' resident memory (CPU).

    Resident memory includes the program and its libraries, about 0.5 GB. Where the system cannot
    reset the peak, it is the peak since the process started; on Windows it is 0.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return _peak_of_process()
    return 1024 * int(status.partition("VmHWM:")[2].split(maxsplit=1)[0])


def _peak_of_process() -> int:
    if sys.platform == "win32":
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
