"""Where tensors live and what precision the forward pass runs in."""

from contextlib import AbstractContextManager

import torch

from asrbench.errors import UserError


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises `UserError` for CUDA where there is none."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: found 'cuda', but this machine has no CUDA device; use 'cpu'")
    return torch.device(name)


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
