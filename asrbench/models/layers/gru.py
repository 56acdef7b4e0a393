"""A bidirectional GRU layer for the CPU, which runs both directions at once over packed rows.

torch's own GRU runs one direction after the other, frame by frame, and its backward pass takes
about twenty small operations per frame. Here a frame takes one batched matrix product for both
directions and five element-wise operations. Products that do not depend on the previous frame (the
input's contribution to the gates, and all gradients of weights) are computed once over all rows.
The state between frames is fp32, whatever the precision of the products.

The gates are those of `torch.nn.GRU` (Cho et al. 2014, arXiv:1406.1078, with the reset gate after
the product, as in cuDNN). Legend: N rows (`Packing`), B utterances of one frame, D features,
H units per direction; a leading 2 are the directions; 3H are the gates r, z, n.
"""

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from asrbench.models.layers.packing import Packing

aten, mkldnn = torch.ops.aten, torch.ops.mkldnn


def bidirectional_gru(x_ND: Tensor, packing: Packing, cells: tuple[nn.GRU, nn.GRU]) -> Tensor:
    """Returns y_NE, E = 2H: the outputs of both cells side by side; the second runs backwards.

    Matrix products run in the precision of autocast.
    """
    if torch.is_autocast_enabled("cpu"):
        x_ND = x_ND.to(torch.get_autocast_dtype("cpu"))
    weights = [
        parameter
        for cell in cells
        for parameter in (
            cell.weight_ih_l0,
            cell.weight_hh_l0,
            cell.bias_ih_l0,
            cell.bias_hh_l0,
        )
    ]
    return _Gru.apply(x_ND, packing, *weights)  # type: ignore[no-any-return, no-untyped-call]


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, packing: Packing, *weights: Tensor) -> Tensor:
        w_ih, w_hh, b_ih, b_hh = _by_kind(weights, x_ND.dtype)
        n, h = len(x_ND), w_hh[0].shape[1]
        x = (x_ND, x_ND.index_select(0, packing.mirror_N))
        gates_2N3H = x_ND.new_empty(2, n, 3 * h)
        for direction in (0, 1):
            torch.addmm(
                b_ih[direction], x[direction], w_ih[direction].t(), out=gates_2N3H[direction]
            )
        recur = _products(w_hh, b_hh)
        y_2NH = x_ND.new_empty(2, n, h)
        state_2BH = x_ND.new_zeros(2, packing.batch_sizes[0], h)
        exact_2BH = state_2BH.float()
        kept = []
        for begin, end in _frames(packing):
            running = end - begin
            rzn_2B3H = recur(state_2BH[:, :running])
            rzn_2B3H[..., : 2 * h].add_(gates_2N3H[:, begin:end, : 2 * h]).sigmoid_()
            r, z, recurrent_n = rzn_2B3H.chunk(3, -1)
            new_2BH = torch.addcmul(gates_2N3H[:, begin:end, 2 * h :], r, recurrent_n).tanh_()
            exact_2BH = torch.lerp(new_2BH.float(), exact_2BH[:, :running], z.float())
            state_2BH = y_2NH[:, begin:end]
            state_2BH.copy_(exact_2BH)
            kept.append((rzn_2B3H, new_2BH))
        ctx.save_for_backward(x_ND, y_2NH, *weights)
        ctx.packing, ctx.kept = packing, kept
        return torch.cat([y_2NH[0], y_2NH[1].index_select(0, packing.mirror_N)], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_NE: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, y_2NH, *weights = ctx.saved_tensors
        packing, kept = ctx.packing, ctx.kept
        w_ih, w_hh, _, _ = _by_kind(weights, x_ND.dtype)
        n, h = y_2NH.shape[1:]
        dy_2NH = torch.stack([dy_NE[:, :h], dy_NE[:, h:].index_select(0, packing.mirror_N)])
        recur_back = _products([w.t().contiguous() for w in w_hh])
        # d_2N3H holds the gradients of the recurrent products for r, z and n. Those of the input's
        # products differ from them in n only (dn_2NH).
        d_2N3H = x_ND.new_empty(2, n, 3 * h)
        dn_2NH = x_ND.new_empty(2, n, h)
        dstate_2BH = torch.zeros(2, packing.batch_sizes[0], h)
        nothing_2BH = x_ND.new_zeros(2, packing.batch_sizes[0], h)
        frames = _frames(packing)
        before = [None, *frames[:-1]]
        for (begin, end), earlier in zip(reversed(frames), reversed(before), strict=True):
            running = end - begin
            r_z_n, new = kept.pop()
            r, z, recurrent_n = r_z_n.chunk(3, -1)
            previous = y_2NH[:, earlier[0] :] if earlier else nothing_2BH
            dstate = dstate_2BH[:, :running].add_(dy_2NH[:, begin:end])
            d = dstate.to(x_ND.dtype)
            dr, dz, drecurrent_n = d_2N3H[:, begin:end].chunk(3, -1)
            dn = aten.tanh_backward.grad_input(d - d * z, new, grad_input=dn_2NH[:, begin:end])
            torch.mul(dn, r, out=drecurrent_n)
            aten.sigmoid_backward.grad_input(dn * recurrent_n, r, grad_input=dr)
            aten.sigmoid_backward.grad_input(d * (previous[:, :running] - new), z, grad_input=dz)
            dstate.mul_(z).add_(recur_back(d_2N3H[:, begin:end]))
        return _gradients(packing, x_ND, y_2NH, d_2N3H, dn_2NH, w_ih)


def _gradients(
    packing: Packing,
    x_ND: Tensor,
    y_2NH: Tensor,
    d_2N3H: Tensor,
    dn_2NH: Tensor,
    w_ih: list[Tensor],
) -> tuple[Tensor | None, ...]:
    """Returns the gradients of x and of each weight from those of the gates; overwrites d_2N3H."""
    h = y_2NH.shape[2]
    first = packing.batch_sizes[0]
    # The first frame has no previous row.
    earlier = _earlier_rows(packing)
    ones_1N = x_ND.new_ones(1, len(x_ND))
    weights: list[Tensor | None] = []
    inputs = []
    for direction, x in enumerate((x_ND, x_ND.index_select(0, packing.mirror_N))):
        d_N3H = d_2N3H[direction]
        dw_hh = d_N3H[first:].t() @ y_2NH[direction].index_select(0, earlier)
        db_hh = (ones_1N @ d_N3H)[0]
        d_N3H[:, 2 * h :] = dn_2NH[direction]
        weights += [d_N3H.t() @ x, dw_hh, (ones_1N @ d_N3H)[0], db_hh]
        inputs.append(d_N3H @ w_ih[direction])
    dx_ND = inputs[0].add_(inputs[1].index_select(0, packing.mirror_N))
    return dx_ND, None, *weights


def _products(w: list[Tensor], b: list[Tensor] | None = None) -> Callable[[Tensor], Tensor]:
    """Returns a function that computes x @ w.T + b for each direction of an x_2BK.

    A plain product reorders bf16 weights in memory for every frame, which takes as long as the
    multiplication. Here they are reordered once.
    """
    if w[0].dtype == torch.bfloat16 and packs_bf16():
        packed = [mkldnn._reorder_linear_weight(weight, None) for weight in w]
        linear, biases = mkldnn._linear_pointwise, b or (None, None)
        return lambda x_2BK: torch.stack(
            [linear(x_2BK[i], packed[i], biases[i], "none", [], "") for i in (0, 1)]
        )
    w_2MK = torch.stack(w)
    if b is None:
        return lambda x_2BK: torch.bmm(x_2BK, w_2MK.transpose(1, 2))
    b_21M = torch.stack(b)[:, None]
    return lambda x_2BK: torch.baddbmm(b_21M, x_2BK, w_2MK.transpose(1, 2))


def packs_bf16() -> bool:
    """Returns whether torch has oneDNN and the CPU multiplies bf16."""
    return torch._C._has_mkldnn and bool(mkldnn._is_mkldnn_bf16_supported())


def _by_kind(weights: Any, dtype: torch.dtype) -> tuple[list[Tensor], ...]:
    """Returns w_ih, w_hh, b_ih and b_hh, each for both directions, in `dtype`."""
    ahead, back = weights[:4], weights[4:]
    return tuple([a.to(dtype), b.to(dtype)] for a, b in zip(ahead, back, strict=True))


def _frames(packing: Packing) -> list[tuple[int, int]]:
    """Returns for each frame its first row and the row after its last."""
    return list(pairwise(accumulate(packing.batch_sizes, initial=0)))


def _earlier_rows(packing: Packing) -> Tensor:
    """Returns, for each row after the first frame, the same utterance's row one frame earlier."""
    rows = torch.arange(packing.batch_sizes[0], sum(packing.batch_sizes))
    steps = torch.tensor(packing.batch_sizes)
    return rows - steps[:-1].repeat_interleave(steps[1:])
