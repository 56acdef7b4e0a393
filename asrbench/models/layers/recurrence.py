"""One bidirectional recurrent layer.

On a CPU a GRU runs over packed rows (`gru.py`). In all other cases torch's cells run over padded
tensors, and the backward direction reverses each utterance within its own length, which gives the
same values as packed rows. Legend: B batch, T frames, N valid frames of all utterances,
D features, H units per direction, E = 2H.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, DropoutRate, Impossible, Spec
from asrbench.models.layers.dropout import Dropout
from asrbench.models.layers.front_end import CLIP
from asrbench.models.layers.gru import bidirectional_gru
from asrbench.models.layers.masking import MaskedBatchNorm, valid_frames
from asrbench.models.layers.packing import Packing, pack, skips_padding, unpack


class RecurrenceSpec(Spec):
    cell: Literal["rnn", "gru", "lstm"] = "gru"
    """Kind of recurrent cell."""
    layers: Annotated[int, Field(ge=1, le=9)] = 3
    """Number of bidirectional layers."""
    width: Count = 1024
    """Units in one direction; a layer's output is twice as wide."""
    dropout: DropoutRate = 0.1
    """Share of each layer's outputs dropped in training."""
    batch_norm: bool = True
    """Normalise the inputs of each layer by the mean and variance of the batch."""
    activation: Literal["none", "clipped_relu"] = "none"
    """Function of the inputs of each layer, after batch norm; `clipped_relu` clips to 0 ... 20."""
    initial: Literal["uniform", "orthogonal"] = "uniform"
    """Initial recurrent matrices; `orthogonal` makes that of each gate so (Saxe et al. 2013)."""
    forget_bias: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Initial bias of an LSTM's forget gates; Jozefowicz et al. 2015 recommend 1."""

    @model_validator(mode="after")
    def _forgets(self) -> "RecurrenceSpec":
        if self.forget_bias and self.cell != "lstm":
            raise Impossible(
                "forget_bias",
                f"found {self.forget_bias:g}, but cell is '{self.cell}'; allowed: 0, because only "
                f"'lstm' has forget gates",
            )
        return self


CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class _ReverseWithinLength(torch.autograd.Function):
    """Reverses the valid frames of each utterance; it is its own inverse and its own gradient."""

    @staticmethod
    def forward(ctx: Any, x_BTD: Tensor, order_BT: Tensor) -> Tensor:
        ctx.save_for_backward(order_BT)
        return _reordered(x_BTD, order_BT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _reordered(gradients[0], *ctx.saved_tensors), None


def reverse(x_BTD: Tensor, order_BT: Tensor) -> Tensor:
    """Returns x_BTD with the valid frames of each utterance reversed; `reversal` makes order_BT."""
    if not torch.is_grad_enabled():
        return _reordered(x_BTD, order_BT)
    return _ReverseWithinLength.apply(x_BTD, order_BT)  # type: ignore[no-any-return, no-untyped-call]


def _reordered(x_BTD: Tensor, order_BT: Tensor) -> Tensor:
    return x_BTD.flatten(0, 1).index_select(0, order_BT.flatten()).view(x_BTD.shape)


def reversal(lengths_B: Tensor, frames: int) -> Tensor:
    """Returns order_BT: for each frame the index, among B * T frames, of the one that replaces it.

    Padding frames stay where they are.
    """
    t = torch.arange(frames, device=lengths_B.device)
    last_B1 = lengths_B[:, None] - 1
    order_BT = torch.where(t <= last_B1, last_B1 - t, t)
    return order_BT + frames * torch.arange(lengths_B.shape[0], device=lengths_B.device)[:, None]


def run_cell(cell: nn.RNNBase, x_BTD: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    """Returns the outputs of `cell` and its last state.

    They are in the precision of autocast on a CPU and in fp32 on CUDA. `state` is that of the frame
    before; without it the cell starts from zeros.

    On CUDA autocast would run cuDNN's recurrence in fp16, whatever type it was asked for, and fp16
    without loss scaling loses small gradients. In fp32 cuDNN may use TF32.
    """
    if not x_BTD.is_cuda:
        return cell(x_BTD, state)  # type: ignore[no-any-return]
    with torch.autocast("cuda", enabled=False):
        return cell(x_BTD.float(), state)  # type: ignore[no-any-return]


class RecurrentLayer(nn.Module):
    """Batch norm over valid frames, a cell in each direction, and dropout of their outputs.

    Maps x_BTD to x_BTE, E = 2H, with zeros on padding frames. It applies dropout itself, because
    `torch.nn.GRU(num_layers=1, dropout=p)` would not apply any.
    """

    def __init__(self, spec: RecurrenceSpec, width_in: int) -> None:
        super().__init__()
        self.spec = spec
        cell = CELLS[spec.cell]
        self.norm = MaskedBatchNorm(width_in) if spec.batch_norm else None
        self.forwards = cell(width_in, spec.width, batch_first=True)
        self.backwards = cell(width_in, spec.width, batch_first=True)
        self.dropout = Dropout(spec.dropout)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        batch, frames, _ = x_BTD.shape
        if isinstance(self.forwards, nn.GRU) and skips_padding(x_BTD):
            packing = Packing.of(lengths_B, frames)
            x_ND = pack(x_BTD, packing)
            x_ND = self._activated(x_ND if self.norm is None else self.norm.rows(x_ND))
            x_NE = bidirectional_gru(x_ND, packing, (self.forwards, self.backwards))
            return unpack(self.dropout(x_NE), packing, batch, frames)
        mask_BT = valid_frames(lengths_B, frames)
        order_BT = reversal(lengths_B, frames)
        if self.norm is not None:
            x_BTD = self.norm(x_BTD.transpose(1, 2), mask_BT).transpose(1, 2)
        x_BTD = self._activated(x_BTD)
        ahead_BTH = run_cell(self.forwards, x_BTD)[0]
        back_BTH = run_cell(self.backwards, reverse(x_BTD, order_BT))[0]
        x_BTE = torch.cat([ahead_BTH, reverse(back_BTH, order_BT)], dim=-1) * mask_BT[..., None]
        return self.dropout(x_BTE)  # type: ignore[no-any-return]

    def set_initial(self, generator: Callable[[str], torch.Generator]) -> None:
        """Sets what `initial` and `forget_bias` want otherwise than `models.model.initialise`.

        `generator` returns that of a parameter, by the parameter's name within the layer.
        """
        for name, cell in (("forwards", self.forwards), ("backwards", self.backwards)):
            if self.spec.initial == "orthogonal":
                draws = generator(f"{name}.weight_hh_l0")
                for gate_HH in cell.weight_hh_l0.split(self.spec.width):
                    nn.init.orthogonal_(gate_HH, generator=draws)
            if self.spec.cell == "lstm":
                # The gates of torch are input, forget, cell and output; its two biases are added.
                _, forget_H, _, _ = cell.bias_ih_l0.chunk(4)
                forget_H.fill_(self.spec.forget_bias)

    def _activated(self, x: Tensor) -> Tensor:
        return x if self.spec.activation == "none" else F.hardtanh(x, 0.0, CLIP)
