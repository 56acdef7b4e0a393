"""Positions in a sequence: sinusoids, rotations, and scores by distance.

Legend: B batch, T frames (queries), S frames (keys), D width, H heads, K width of a head,
N positions, R = 2T - 1 distances.
"""

import math

import torch
from torch import Tensor


def sinusoids(position_N: Tensor, width: int) -> Tensor:
    """Returns encoding_ND: sines in the first half, cosines in the second.

    Wavelengths run from 2 pi to 10000 * 2 pi frames. The source is Vaswani et al. 2017, section
    3.5, where sines and cosines alternate.
    """
    half = torch.arange((width + 1) // 2, device=position_N.device, dtype=torch.float32)
    angle = position_N.float()[:, None] * torch.exp(half * (-2 * math.log(10_000) / width))
    return torch.cat([angle.sin(), angle.cos()], dim=-1)[:, :width]


def rotated(x_BHTK: Tensor, t_T: Tensor) -> Tensor:
    """Returns x with each feature pair (k, k + K/2) rotated by t * 10000^(-2k/K) radians."""
    half = x_BHTK.shape[-1] // 2
    rate = torch.arange(half, device=x_BHTK.device, dtype=torch.float32) / half
    angle = t_T.float()[:, None] * torch.exp(-math.log(10_000) * rate)
    cos, sin = angle.cos().to(x_BHTK.dtype), angle.sin().to(x_BHTK.dtype)
    a, b = x_BHTK[..., :half], x_BHTK[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def distances(frames: int, device: torch.device) -> Tensor:
    """Returns every distance j - i between `frames` frames, ascending: 1 - T ... T - 1."""
    return torch.arange(1 - frames, frames, device=device)


def by_pair(scores_BHTR: Tensor) -> Tensor:
    """Returns scores_BHTS from scores by distance: (i, j) is column j - i + T - 1 of row i.

    This is the shift of Dai et al. 2019, appendix B; it computes no row twice.
    """
    batch, heads, frames, columns = scores_BHTR.shape
    if frames == 1:
        return scores_BHTR
    # Viewed with rows shorter by one, each row of the flat tensor starts one distance lower.
    first, rows = frames - 1, frames * (columns - 1)
    flat = scores_BHTR.flatten(2)[..., first : first + rows]
    return flat.reshape(batch, heads, frames, columns - 1)[..., :frames]
