"""Where tensors live and what precision the forward pass runs in."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from asrbench.base.distributed import ALONE, Ranks
from asrbench.base.errors import UserError

CUBLAS_WORKSPACE = ":16:8"
"""The one value that torch takes for deterministic both in matrix products and in cuDNN's RNNs."""


def resolve_device(name: str, ranks: Ranks = ALONE) -> torch.device:
    """`auto` is CUDA where there is one, and each rank has one of its own.

    Raises `UserError` for CUDA where there is none, or where there are too few.
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
    """Within, CUDA takes algorithms that give the same bits each time, if that is `wanted`.

    What has none raises a `RuntimeError` of torch's; CTC is computed on the CPU instead, see
    `objective.losses`. cuBLAS reads its setting when it is first used: within, at the earliest.
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
    """Whether bf16 matrix products run in hardware there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def runs_in_bf16(device: torch.device, precision: str) -> bool:
    """Whether `precision` (`TrainSpec`) means bf16 there."""
    return precision == "bf16" or (precision == "auto" and has_fast_bf16(device))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """bf16 autocast for the forward pass, or fp32, as `precision` (`TrainSpec`) says."""
    lower = runs_in_bf16(device, precision)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=lower)
