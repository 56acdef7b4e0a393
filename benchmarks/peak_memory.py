"""Peak memory of training steps, measured in a new process.

A process that has run other steps keeps their memory, so each measurement needs a new one.
"""

import as_trained  # noqa: F401  # before torch is imported

# isort: split
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from study import cells_of, drawn_batch, step_of, tokenizer_of

from asrbench.base.errors import UserError

STATUS = Path("/proc/self/status")


def peak_memory(
    size: str, variant: str, utterances: int, seconds: float, device: torch.device
) -> int:
    """Returns the bytes of model, optimizer and two steps on `utterances` of `seconds` each.

    On a CPU, the memory of Python and torch before the model is made does not count.
    """
    # Spawns, because a fork would begin with the memory of this process.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak, size, variant, utterances, seconds, device.type).result()


def _peak(size: str, variant: str, utterances: int, seconds: float, device_name: str) -> int:
    device, tokenizer = torch.device(device_name), tokenizer_of(size)
    batch = drawn_batch(np.full(utterances, seconds), tokenizer, 0, device)
    before = _high_water(device)
    step = step_of(cells_of(size)[variant], tokenizer, batch, device)
    # The first step makes the optimizer's state, so the second reaches the peak.
    for _ in range(2):
        step()
    return _high_water(device) - before


def _high_water(device: torch.device) -> int:
    """Returns the peak so far in bytes: of tensors on CUDA, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        status = STATUS.read_text()
    except OSError:
        raise UserError(f"{STATUS}: cannot be read; on a CPU memory is measured on Linux") from None
    return 1024 * int(status.partition("VmHWM:")[2].split(maxsplit=1)[0])
