"""One bidirectional recurrent layer.

On a CPU a GRU runs over packed rows (`gru.py`). Everything else runs padded in both directions
with torch's cells: reversing each utterance within its own length gives the same figures from
plain padded tensors. Legend: B batch, T frames, N valid frames of all utterances, D features,
H units a direction, E = 2H.
"""

from typing import Any

import torch
from torch import Tensor, nn

from asrbench.experiment.spec import RecurrenceSpec
from asrbench.models.layers.dropout import Dropout
from asrbench.models.layers.gru import bidirectional_gru
from asrbench.models.layers.masking import MaskedBatchNorm, valid_frames
from asrbench.models.layers.packing import Packing, pack, unpack

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class _ReverseWithinLength(torch.autograd.Function):
    """Reverses the valid frames of each utterance. Its own inverse, and its own gradient."""

    @staticmethod
    def forward(ctx: Any, x_BTD: Tensor, order_BT: Tensor) -> Tensor:
        ctx.save_for_backward(order_BT)
        return _reordered(x_BTD, order_BT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _reordered(gradients[0], *ctx.saved_tensors), None


def reverse(x_BTD: Tensor, order_BT: Tensor) -> Tensor:
    """x_BTD with the valid frames of each utterance in reverse order; see `reversal`."""
    return _ReverseWithinLength.apply(x_BTD, order_BT)  # type: ignore[no-any-return, no-untyped-call]


def _reordered(x_BTD: Tensor, order_BT: Tensor) -> Tensor:
    return x_BTD.flatten(0, 1).index_select(0, order_BT.flatten()).view(x_BTD.shape)


def reversal(lengths_B: Tensor, frames: int) -> Tensor:
    """order_BT: for each frame of a flattened (B * T) the one that takes its place."""
    t = torch.arange(frames, device=lengths_B.device)
    last_B1 = lengths_B[:, None] - 1
    order_BT = torch.where(t <= last_B1, last_B1 - t, t)
    return order_BT + frames * torch.arange(len(lengths_B), device=lengths_B.device)[:, None]


def _run(cell: nn.RNNBase, x_BTD: Tensor) -> Tensor:
    """Outputs of `cell` in the precision of autocast, but for CUDA.

    There autocast would run cuDNN in fp16, whatever type it was asked for, and fp16 without a
    scaled loss loses small gradients; so it runs in fp32 (TF32 where cuDNN may).
    """
    if not x_BTD.is_cuda:
        return cell(x_BTD)[0]  # type: ignore[no-any-return]
    with torch.autocast("cuda", enabled=False):
        return cell(x_BTD.float())[0]  # type: ignore[no-any-return]


class RecurrentLayer(nn.Module):
    """Batch norm over valid frames, a cell in each direction, their outputs side by side, dropout.

    x_BTD -> x_BTE with E = 2H; padding frames leave as zeros. Dropout stands between the layers,
    where `torch.nn.GRU(num_layers=1, dropout=p)` would do nothing.
    """

    def __init__(self, spec: RecurrenceSpec, width_in: int) -> None:
        super().__init__()
        cell = CELLS[spec.cell]
        self.norm = MaskedBatchNorm(width_in)
        self.forwards = cell(width_in, spec.width, batch_first=True)
        self.backwards = cell(width_in, spec.width, batch_first=True)
        self.dropout = Dropout(spec.dropout)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        batch, frames, _ = x_BTD.shape
        if isinstance(self.forwards, nn.GRU) and not x_BTD.is_cuda:
            packing = Packing.of(lengths_B, frames)
            x_ND = self.norm.rows(pack(x_BTD, packing))
            x_NE = bidirectional_gru(x_ND, packing, (self.forwards, self.backwards))
            return unpack(self.dropout(x_NE), packing, batch, frames)
        mask_BT = valid_frames(lengths_B, frames)
        order_BT = reversal(lengths_B, frames)
        x_BTD = self.norm(x_BTD.transpose(1, 2), mask_BT).transpose(1, 2)
        ahead_BTH = _run(self.forwards, x_BTD)
        back_BTH = _run(self.backwards, reverse(x_BTD, order_BT))
        x_BTE = torch.cat([ahead_BTH, reverse(back_BTH, order_BT)], dim=-1) * mask_BT[..., None]
        return self.dropout(x_BTE)  # type: ignore[no-any-return]
