"""Self-attention with a temporal weight: scores fall with the distance between two frames.

Legend: B batch, T frames (queries), S frames (keys), H heads, K width of a head.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from asrbench.models.attention.self_attention import OverTimeSpec, SelfAttentionBlock


class TemporalAttention(OverTimeSpec):
    kind: Literal["temporal"] = "temporal"
    """Self-attention whose scores fall with the distance in time."""
    weight: Literal["gaussian", "linear"] = "gaussian"
    """The penalty on distance: its square (Sperber et al. 2018) or itself (ALiBi)."""
    learnable: bool = True
    """Let each head learn how fast its penalty grows."""


class TemporalWeightBlock(SelfAttentionBlock):
    """Self-attention whose scores fall with the distance |i - j| in frames, head by head.

    gaussian: -(i - j)^2 / (2 s^2), Sperber et al. 2018, arXiv:1803.09519; s starts at 2^(8h/H)
    frames. linear: -m |i - j|, ALiBi, Press et al. 2021, arXiv:2108.12409; m starts at 2^(-8h/H).
    Both are held as logarithms, so that they stay positive while they are learned.
    """

    log_rate: Tensor

    def __init__(self, spec: TemporalAttention, width: int) -> None:
        super().__init__(spec, width)
        self.weight = spec.weight
        exponent_H = 8.0 * torch.arange(1, spec.heads + 1) / spec.heads * math.log(2)
        log_rate_H = -exponent_H  # log m, or -log s
        if spec.learnable:
            self.log_rate = nn.Parameter(log_rate_H)
        else:
            self.register_buffer("log_rate", log_rate_H)

    def bias(self, q_BHTK: Tensor) -> Tensor:
        t = torch.arange(q_BHTK.shape[2], device=q_BHTK.device, dtype=torch.float32)
        distance_TS = (t[:, None] - t).abs()
        rate_H11 = self.log_rate.float().exp()[:, None, None]
        if self.weight == "gaussian":
            return -0.5 * (distance_TS * rate_H11).square()
        return -distance_TS * rate_H11
