"""Masks for padding frames, and batch norm whose statistics leave them out.

Legend: B batch, T frames, C channels or features, F frequency bins.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def valid_frames(lengths_B: Tensor, frames: int) -> Tensor:
    """Returns mask_BT, true where a frame belongs to the utterance."""
    return torch.arange(frames, device=lengths_B.device) < lengths_B[:, None]


class MaskedBatchNorm(nn.Module):
    """Batch normalisation whose statistics come from valid frames only.

    Takes x_BCT or x_BCFT with mask_BT; statistics are per channel, over utterances, valid frames
    and, where there are any, frequency bins. Training normalises with the biased variance and
    adds the unbiased one to the running variance, as `torch.nn.BatchNorm1d` does. The source is
    Ioffe & Szegedy 2015, arXiv:1502.03167, and for sequences Amodei et al. 2015, section 3.2.
    """

    running_mean: Tensor
    running_var: Tensor
    everywhere: Callable[[Tensor], Tensor] | None = None
    """A differentiable sum over all ranks. The trainer sets it where there are several ranks."""

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

    def rows(self, x_NC: Tensor) -> Tensor:
        """Normalises packed frames, all of which are valid."""
        # torch's batch norm fails on a single frame and does not sum over ranks.
        if len(x_NC) == 1 or self.everywhere is not None:
            mask_N1 = x_NC.new_ones(len(x_NC), 1, dtype=torch.bool)
            return self(x_NC[..., None], mask_N1)[..., 0]  # type: ignore[no-any-return]
        return F.batch_norm(
            x_NC,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )

    def _batch_statistics(self, x: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        bins = x.shape[2] if x.dim() == 4 else 1
        count = (mask_BT.sum() * bins)[None]
        mask = mask_BT.view(len(x), *(1,) * (x.dim() - 2), -1).to(x.dtype)
        over = (0, *range(2, x.dim()))
        masked = x * mask
        sums_C = masked.sum(over, dtype=torch.float32)
        squares_C = (masked * masked).sum(over, dtype=torch.float32)
        if self.everywhere is not None:
            sums = self.everywhere(torch.cat([sums_C, squares_C, count]))
            sums_C, squares_C, count = sums[: len(sums_C)], sums[len(sums_C) : -1], sums[-1:]
        mean_C, square_C = sums_C / count, squares_C / count
        var_C = (square_C - mean_C * mean_C).clamp_min(0)
        with torch.no_grad():
            unbiased_C = var_C * (count / (count - 1).clamp_min(1))
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(unbiased_C, self.momentum)
        return mean_C, var_C
