"""The transducer's loss: minus the log probability of all alignments of a text with the frames.

Graves 2012, arXiv:1211.3711. A node (t, u) of the lattice says that u symbols are written when
frame t is read. A blank leads to (t + 1, u), a symbol to (t, u + 1), and the blank at (T - 1, U)
ends the path. Nodes of one anti-diagonal d = t + u do not depend on each other, so the forward and
backward variables are computed for a whole anti-diagonal at once.

Legend: B batch, T frames, U symbols, W = U + 1 numbers of symbols written, V vocabulary with the
blank, D = T + U anti-diagonals. Scores are in nats.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrbench.models.layers.masking import valid_frames
from asrbench.text.tokenizer import BLANK

_IMPOSSIBLE = -1e30
"""Replaces log 0: sums and differences of it stay numbers."""


def lattice_scores(logits_BTWV: Tensor, symbols_BU: Tensor) -> tuple[Tensor, Tensor]:
    """Returns, for each node, the log probabilities of the blank and of the next symbol, each BTW.

    The last column of the second is that of a symbol that is not there; the lattice ignores it.
    """
    return _Picked.apply(logits_BTWV, F.pad(symbols_BU, (0, 1)))  # type: ignore[no-any-return, no-untyped-call]


def transducer_loss(
    blank_BTW: Tensor, symbol_BTW: Tensor, frames_B: Tensor, symbols_B: Tensor
) -> Tensor:
    """Returns the loss of each utterance, from the scores of the nodes of its lattice.

    `frames_B` and `symbols_B` are the lengths, on the device of the scores. Nodes beyond them may
    have any finite score.
    """
    return _Lattice.apply(blank_BTW, symbol_BTW, frames_B, symbols_B)  # type: ignore[no-any-return, no-untyped-call]


class _Picked(torch.autograd.Function):
    """log_softmax of which only two of V entries are read: the gradient needs one tensor of V."""

    @staticmethod
    def forward(ctx: Any, logits_BTWV: Tensor, symbols_BW: Tensor) -> tuple[Tensor, Tensor]:
        total_BTW = logits_BTWV.logsumexp(-1)
        index = symbols_BW[:, None, :, None].expand(*total_BTW.shape, 1)
        ctx.save_for_backward(logits_BTWV, total_BTW, index)
        symbol_BTW = logits_BTWV.gather(-1, index).squeeze(-1)
        return logits_BTWV[..., BLANK] - total_BTW, symbol_BTW - total_BTW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits_BTWV, total_BTW, index = ctx.saved_tensors
        blank_BTW, symbol_BTW = gradients
        d_BTWV = (logits_BTWV - total_BTW[..., None]).exp_()
        d_BTWV.mul_(-(blank_BTW + symbol_BTW)[..., None])
        d_BTWV[..., BLANK] += blank_BTW
        d_BTWV.scatter_add_(-1, index, symbol_BTW[..., None])
        return d_BTWV, None


class _Lattice(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, blank_BTW: Tensor, symbol_BTW: Tensor, frames_B: Tensor, symbols_B: Tensor
    ) -> Tensor:
        blank_BDW, symbol_BDW = _by_diagonal(blank_BTW, symbol_BTW, frames_B, symbols_B)
        forwards_BDW = _forwards(blank_BDW, symbol_BDW)
        backwards_BDW = _backwards(blank_BDW, symbol_BDW, frames_B, symbols_B)
        log_likelihood_B = backwards_BDW[:, 0, 0]
        before_BDW = forwards_BDW - log_likelihood_B[:, None, None]
        after_BDW = backwards_BDW[:, 1:]
        # The probabilities that a path takes the blank, or the symbol, of a node.
        used = (
            (before_BDW + blank_BDW + after_BDW).exp(),
            (before_BDW + symbol_BDW + _next_symbol(after_BDW)).exp(),
        )
        index_BTW = _diagonal_of(blank_BTW.shape, blank_BTW.device)
        ctx.save_for_backward(*(each.gather(1, index_BTW) for each in used))
        return -log_likelihood_B

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        blank_BTW, symbol_BTW = ctx.saved_tensors
        d_B11 = -gradients[0][:, None, None]
        return blank_BTW * d_B11, symbol_BTW * d_B11, None, None


def _by_diagonal(
    blank_BTW: Tensor, symbol_BTW: Tensor, frames_B: Tensor, symbols_B: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns both scores as BDW, impossible where the lattice has no such step."""
    _, frames, width = blank_BTW.shape
    beyond_BT1 = ~valid_frames(frames_B, frames)[..., None]
    no_symbol_B1W = ~valid_frames(symbols_B, width)[:, None]
    blank_BTW = blank_BTW.masked_fill(beyond_BT1, _IMPOSSIBLE)
    symbol_BTW = symbol_BTW.masked_fill(beyond_BT1 | no_symbol_B1W, _IMPOSSIBLE)
    d_D1 = torch.arange(frames + width - 1, device=blank_BTW.device)[:, None]
    t_DW = d_D1 - torch.arange(width, device=blank_BTW.device)
    outside_DW = (t_DW < 0) | (t_DW >= frames)
    index_BDW = t_DW.clamp(0, frames - 1).expand(len(blank_BTW), -1, -1)
    blank_BDW, symbol_BDW = (
        each.gather(1, index_BDW).masked_fill(outside_DW, _IMPOSSIBLE)
        for each in (blank_BTW, symbol_BTW)
    )
    return blank_BDW, symbol_BDW


def _diagonal_of(shape: torch.Size, device: torch.device) -> Tensor:
    """Returns t + u for every node, as an index BTW into the anti-diagonals."""
    batch, frames, width = shape
    d_TW = torch.arange(frames, device=device)[:, None] + torch.arange(width, device=device)
    return d_TW.expand(batch, -1, -1)


def _forwards(blank_BDW: Tensor, symbol_BDW: Tensor) -> Tensor:
    """Returns the log probability of reaching each node from the start, BDW."""
    now_BW = torch.full_like(blank_BDW[:, 0], _IMPOSSIBLE)
    now_BW[:, 0] = 0.0
    found = [now_BW]
    for blank_BW, symbol_BW in zip(
        blank_BDW.unbind(1)[:-1], symbol_BDW.unbind(1)[:-1], strict=True
    ):
        written_BW = F.pad((now_BW + symbol_BW)[:, :-1], (1, 0), value=_IMPOSSIBLE)
        now_BW = torch.logaddexp(now_BW + blank_BW, written_BW)
        found.append(now_BW)
    return torch.stack(found, 1)


def _backwards(
    blank_BDW: Tensor, symbol_BDW: Tensor, frames_B: Tensor, symbols_B: Tensor
) -> Tensor:
    """Returns the log probability of reaching the end from each node, with one diagonal more."""
    diagonals, width = blank_BDW.shape[1:]
    end_B = frames_B + symbols_B
    last_BW = torch.arange(width, device=symbols_B.device) == symbols_B[:, None]
    now_BW = torch.full_like(blank_BDW[:, 0], _IMPOSSIBLE)
    found = []
    for d in range(diagonals, -1, -1):
        if d < diagonals:
            now_BW = torch.logaddexp(
                now_BW + blank_BDW[:, d], _next_symbol(now_BW) + symbol_BDW[:, d]
            )
        now_BW = now_BW.masked_fill(last_BW & (end_B == d)[:, None], 0.0)
        found.append(now_BW)
    return torch.stack(found[::-1], 1)


def _next_symbol(x: Tensor) -> Tensor:
    """Returns the values of one symbol more, along the last dimension."""
    return F.pad(x[..., 1:], (0, 1), value=_IMPOSSIBLE)


def best_path(blank_TW: Tensor, symbol_TW: Tensor) -> list[int]:
    """Returns the frame in which the most probable path of one utterance writes each symbol.

    The scores are those of `lattice_scores`, on the CPU. Of equal paths it is the one that writes
    later.
    """
    frames, width = blank_TW.shape
    blank, symbol = blank_TW.tolist(), symbol_TW.tolist()
    best = [[_IMPOSSIBLE] * width for _ in range(frames)]
    best[0][0] = 0.0
    for t in range(frames):
        for u in range(width):
            waited = best[t - 1][u] + blank[t - 1][u] if t else _IMPOSSIBLE
            wrote = best[t][u - 1] + symbol[t][u - 1] if u else _IMPOSSIBLE
            best[t][u] = max(best[t][u], waited, wrote)
    path = []
    t, u = frames - 1, width - 1
    while u:
        if best[t][u] == best[t][u - 1] + symbol[t][u - 1]:
            u -= 1
            path.append(t)
        else:
            t -= 1
    return path[::-1]
