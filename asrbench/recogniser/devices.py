"""The device of a run, its determinism, and the precision of its forward pass."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from asrbench.base.distributed import ALONE, Ranks
from asrbench.base.errors import UserError

CUBLAS_WORKSPACE = ":16:8"
"""The only setting with which both matrix products and cuDNN's RNNs are deterministic."""


def resolve_device(name: str, ranks: Ranks = ALONE) -> torch.device:
    """Returns the device called `name`: "cpu", "cuda", or "auto", which is CUDA where available.

    With several ranks each gets a CUDA device of its own. Raises `UserError` where CUDA is not
    available, or where a machine has fewer CUDA devices than ranks.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: found 'cuda', but this machine has no CUDA device; use 'cpu'")
    if name == "cpu" or ranks.world_size == 1:
        return torch.device(name)
    found = torch.cuda.device_count()
    if ranks.local_world_size > found:
        raise UserError(
            f"device: found {ranks.local_world_size} processes and {found} CUDA devices on this "
            f"machine; use torchrun --nproc-per-node {found}, or --device cpu"
        )
    device = torch.device("cuda", ranks.local_rank)
    torch.cuda.set_device(device)
    return device


@contextmanager
def deterministic(wanted: bool, device: torch.device) -> Iterator[None]:
    """Makes CUDA use deterministic algorithms within the context, if `wanted`.

    torch raises `RuntimeError` for an operation without one, so CTC is computed on the CPU (see
    `models/heads/ctc.py`). cuBLAS reads its setting when it is first used, so nothing may use it
    before this context.
    """
    if not wanted or device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    before = torch.backends.cudnn.deterministic
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before
        torch.use_deterministic_algorithms(False)


def has_fast_bf16(device: torch.device) -> bool:
    """Returns whether `device` multiplies bf16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def runs_in_bf16(device: torch.device, precision: str) -> bool:
    """Returns whether `precision`, as in `TrainSpec`, means bf16 on `device`."""
    return precision == "bf16" or (precision == "auto" and has_fast_bf16(device))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Returns the autocast context of the forward pass: bf16 or fp32, as `precision` says."""
    lower = runs_in_bf16(device, precision)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=lower)
