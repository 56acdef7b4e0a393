"""The most memory that a stretch of work takes, on the device it runs on."""

import sys
from pathlib import Path

import torch

if sys.platform != "win32":
    import resource

FROM_HERE = "5"
"""What has Linux count the peak of a process anew: proc(5), /proc/pid/clear_refs."""


def reset_peak(device: torch.device) -> None:
    """The peak is counted from here on; see `peak_bytes` for where it cannot be."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text(FROM_HERE)
    except OSError:
        return


def peak_bytes(device: torch.device) -> int:
    """Bytes that tensors took at most (CUDA), or that the process was resident with (CPU).

    The latter has the program and its libraries in it, some 0.5 GB. Where the system does not
    count anew it is the peak since the process began; where it does not count at all, 0.
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
