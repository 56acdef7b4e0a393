"""Dropout that costs no more than reading its input."""

import torch
from torch import Tensor, nn

LEVELS = 2**16
"""Shares dropped are told apart to one part in so many."""


class Dropout(nn.Dropout):
    """Srivastava et al. 2014, with 16 random bits for an element on a CPU.

    torch draws a float for each there, one thread after another: as long as a layer's products of
    two hundred frames.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p in (0, 1) or x.is_cuda:
            return super().forward(x)
        return x * _kept(x, self.p)


def _kept(x: Tensor, share: float) -> Tensor:
    """A tensor like x of zeros, `share` of them, and of what keeps the mean elsewhere."""
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
    # Without a lower bound the sign is never drawn.
    bits = words.random_(-(2**63), None).view(torch.int16)[: x.numel()]
    dropped = round(share * LEVELS)
    kept = bits >= dropped - LEVELS // 2
    return kept.view(x.shape).to(x.dtype).mul_(LEVELS / (LEVELS - dropped))
