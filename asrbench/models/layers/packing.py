"""Packing of valid frames into rows, so that a CPU spends no time on padding.

Rows are ordered by frame, and within a frame by length, the longest utterance first, as in
`torch.nn.utils.rnn.PackedSequence`. Legend: B batch, T frames, N valid frames of all utterances,
D features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asrbench.models.layers.exporting import exporting


@dataclass(frozen=True)
class Packing:
    """The map between the rows and the frames of a padded batch."""

    places_N: Tensor
    """The index of each row among the B * T frames of the padded batch."""
    mirror_N: Tensor
    """The permutation of rows that reverses each utterance; it is its own inverse."""
    batch_sizes: list[int]
    """The number of utterances that have each frame, as in `PackedSequence`."""

    @classmethod
    def of(cls, lengths_B: Tensor, frames: int) -> "Packing":
        """Returns the packing of a batch on the CPU that is padded to `frames` frames."""
        lengths_B, order_B = lengths_B.sort(descending=True, stable=True)
        time_T1 = torch.arange(int(lengths_B[0]))[:, None]
        valid_TB = time_T1 < lengths_B
        row_TB = valid_TB.flatten().cumsum(0).view_as(valid_TB) - 1
        mirror_TB = row_TB.gather(0, (lengths_B - 1 - time_T1).clamp_min(0))
        return cls(
            (order_B * frames + time_T1)[valid_TB],
            mirror_TB[valid_TB],
            valid_TB.sum(1).tolist(),
        )


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BTD: Tensor, places_N: Tensor) -> Tensor:
        ctx.save_for_backward(places_N)
        ctx.shape = x_BTD.shape
        return x_BTD.flatten(0, 1).index_select(0, places_N)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places_N,) = ctx.saved_tensors
        return _scattered(gradients[0], places_N, ctx.shape), None


class _Unpack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, places_N: Tensor, batch: int, frames: int) -> Tensor:
        ctx.save_for_backward(places_N)
        return _scattered(x_ND, places_N, (batch, frames, x_ND.shape[1]))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return gradients[0].flatten(0, 1).index_select(0, *ctx.saved_tensors), None, None, None


def _scattered(x_ND: Tensor, places_N: Tensor, shape: tuple[int, ...]) -> Tensor:
    batch, frames, width = shape
    x_MD = x_ND.new_zeros(batch * frames, width).index_copy_(0, places_N, x_ND)
    return x_MD.view(shape)


def pack(x_BTD: Tensor, packing: Packing) -> Tensor:
    """Returns x_ND, the valid frames of x_BTD."""
    return _Pack.apply(x_BTD, packing.places_N)  # type: ignore[no-any-return, no-untyped-call]


def unpack(x_ND: Tensor, packing: Packing, batch: int, frames: int) -> Tensor:
    """Returns x_BTD, with the rows of x_ND at their frames and zeros on padding."""
    return _Unpack.apply(x_ND, packing.places_N, batch, frames)  # type: ignore[no-any-return, no-untyped-call]


def skips_padding(x: Tensor) -> bool:
    """Returns whether padding frames of x are left out: on a CPU, where that saves time.

    On a GPU finding the valid frames would make the CPU wait, and in a graph that is exported their
    number would be that of the example.
    """
    return not x.is_cuda and not exporting()


def of_valid(f: Callable[[Tensor], Tensor], x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Returns f of every valid frame; the values of padding frames are undefined.

    f must treat frames independently. Padding frames are skipped where `skips_padding`.
    """
    if not skips_padding(x_BTD):
        return f(x_BTD)
    places_N = mask_BT.flatten().nonzero().flatten()
    x_ND = _Pack.apply(x_BTD, places_N)  # type: ignore[no-untyped-call]
    return _Unpack.apply(f(x_ND), places_N, *mask_BT.shape)  # type: ignore[no-any-return, no-untyped-call]
