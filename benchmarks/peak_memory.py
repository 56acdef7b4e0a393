"""The most memory that training steps hold, measured in a fresh process.

A process that has run other steps keeps what they left, so each figure wants one of its own.
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
    """Bytes of model, optimizer and two steps on `utterances` of `seconds` each.

    On a CPU what Python and torch hold before the model is made is left out.
    """
    # Spawned, not forked: a fork would begin with the memory of this process.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak, size, variant, utterances, seconds, device.type).result()


def _peak(size: str, variant: str, utterances: int, seconds: float, device_name: str) -> int:
    device, tokenizer = torch.device(device_name), tokenizer_of(size)
    batch = drawn_batch(np.full(utterances, seconds), tokenizer, 0, device)
    before = _high_water(device)
    step = step_of(cells_of(size)[variant], tokenizer, batch, device)
    # The first makes the optimizer's state, so that the second is the peak.
    for _ in range(2):
        step()
    return _high_water(device) - before


def _high_water(device: torch.device) -> int:
    """The most bytes held so far: by tensors on CUDA, by the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        status = STATUS.read_text()
    except OSError:
        raise UserError(f"{STATUS}: cannot be read; on a CPU memory is measured on Linux") from None
    return 1024 * int(status.partition("VmHWM:")[2].split(maxsplit=1)[0])
