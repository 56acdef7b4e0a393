"""Padding, kept out of everything: masks, and batch norm that never counts a padding frame.

Legend: B batch, T frames, C channels or features, F frequency bins.
"""

import torch
from torch import Tensor, nn


def valid_frames(lengths_B: Tensor, frames: int) -> Tensor:
    """mask_BT, true where a frame belongs to the utterance."""
    return torch.arange(frames, device=lengths_B.device) < lengths_B[:, None]


class MaskedBatchNorm(nn.Module):
    """Batch normalisation whose statistics come from valid frames only.

    Takes x_BCT or x_BCFT with mask_BT; statistics are per channel, over utterances, valid frames
    and, where there are any, frequency bins. In training the biased variance normalises and the
    unbiased one enters the running figure, as in `torch.nn.BatchNorm1d`. Ioffe & Szegedy 2015,
    arXiv:1502.03167; over sequences as in Amodei et al. 2015, section 3.2.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, mask_BT: Tensor) -> Tensor:
        if self.training:
            mean_C, var_C = self._batch_statistics(x, mask_BT)
        else:
            mean_C, var_C = self.running_mean, self.running_var
        scale_C = self.weight * torch.rsqrt(var_C + self.eps)
        shift_C = self.bias - mean_C * scale_C
        shape = (1, -1, *(1,) * (x.dim() - 2))
        return torch.addcmul(shift_C.to(x.dtype).view(shape), x, scale_C.to(x.dtype).view(shape))

    def _batch_statistics(self, x: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        bins = x.shape[2] if x.dim() == 4 else 1
        count = mask_BT.sum() * bins
        mask = mask_BT.view(len(x), *(1,) * (x.dim() - 2), -1).to(x.dtype)
        over = (0, *range(2, x.dim()))
        masked = x * mask
        mean_C = masked.sum(over, dtype=torch.float32) / count
        square_C = (masked * masked).sum(over, dtype=torch.float32) / count
        var_C = (square_C - mean_C * mean_C).clamp_min(0)
        with torch.no_grad():
            unbiased_C = var_C * (count / (count - 1).clamp_min(1))
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(unbiased_C, self.momentum)
        return mean_C, var_C
