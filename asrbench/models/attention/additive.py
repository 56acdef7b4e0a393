"""Additive self-attention: a small network scores each pair of frames, instead of a product.

Legend: B batch, T frames (queries), S frames (keys), H heads, K width of a head.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from asrbench.models.attention.self_attention import OverTimeSpec, SelfAttentionBlock
from asrbench.models.layers.exporting import exporting

PAIR_VALUES = 2**22
"""Values of B x H x queries x S x K that are computed at once; 16 MiB in fp32."""


class AdditiveAttention(OverTimeSpec):
    kind: Literal["additive"] = "additive"
    """Self-attention whose scores are those of a small network (arXiv:1409.0473)."""


class AdditiveAttentionBlock(SelfAttentionBlock):
    """Self-attention with the scores v tanh(q_i + k_j) / sqrt(K), with a vector v for each head.

    Bahdanau et al. 2014, arXiv:1409.0473, section A.1.2, where q_i comes from the state of a
    decoder; here it comes from a frame. The paper does not divide by sqrt(K), which is the same
    up to the size of v. Here a learning rate that suits products then suits these scores too.

    A score needs K values for each pair of frames. So scores are computed for some of the queries
    at a time, and again in the backward pass: `PAIR_VALUES` bounds what is in memory for them.
    """

    def __init__(self, spec: OverTimeSpec, width: int) -> None:
        super().__init__(spec, width)
        self.score = nn.Parameter(torch.empty(spec.heads, spec.head_dim))

    def shares(self, q_BHTK: Tensor, k_BHSK: Tensor, mask_BT: Tensor) -> Tensor:
        return masked_softmax(in_blocks(additive_scores, [q_BHTK], [k_BHSK, self.score]), mask_BT)

    def attend(self, q_BHTK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, mask_BT: Tensor) -> Tensor:
        weights_BHTS = self.shares(q_BHTK, k_BHSK, mask_BT)
        return self.weights_dropout(weights_BHTS).to(v_BHSK.dtype) @ v_BHSK  # type: ignore[no-any-return]


def additive_scores(q_BHTK: Tensor, k_BHSK: Tensor, v_HK: Tensor) -> Tensor:
    """Returns the scores_BHTS of all pairs of the queries and keys given."""
    return scored(q_BHTK[:, :, :, None] + k_BHSK[:, :, None], v_HK)


def scored(hidden_BHTSK: Tensor, v_HK: Tensor) -> Tensor:
    """Returns scores_BHTS: v tanh(hidden) / sqrt(K)."""
    v_H1K1 = v_HK[:, None, :, None].to(hidden_BHTSK.dtype) / math.sqrt(v_HK.shape[1])
    return (hidden_BHTSK.tanh() @ v_H1K1)[..., 0]


def masked_softmax(scores_BHTS: Tensor, mask_BT: Tensor) -> Tensor:
    """Returns the weights of keys, zero on padding keys."""
    return scores_BHTS.masked_fill(~mask_BT[:, None, None, :], -math.inf).softmax(-1)


def in_blocks(
    scores: Callable[..., Tensor], of_queries: list[Tensor], of_all: list[Tensor]
) -> Tensor:
    """Returns scores(*of_queries, *of_all)_BHTS, computed for some of the queries at a time.

    `of_queries` have queries as their third dimension, q_BHTK first; `of_all` begin with k_BHSK.
    A graph that is exported computes all at once.
    """
    if exporting():
        return scores(*of_queries, *of_all)
    return _InBlocks.apply(scores, len(of_queries), *of_queries, *of_all)  # type: ignore[no-any-return, no-untyped-call]


class _InBlocks(torch.autograd.Function):
    """What is kept is allocated before the first block.

    Small tensors that outlive a block, between large ones that do not, would fragment the heap of
    a CPU: a checkpoint for each block (torch.utils.checkpoint) takes several times the memory.
    """

    @staticmethod
    def forward(ctx: Any, scores: Callable[..., Tensor], number: int, *tensors: Tensor) -> Tensor:
        of_queries, of_all = tensors[:number], tensors[number:]
        ctx.scores, ctx.number = scores, number
        ctx.save_for_backward(*tensors)
        device = tensors[0].device.type
        ctx.autocast = {"device_type": device, "enabled": torch.is_autocast_enabled(device)}
        ctx.autocast["dtype"] = torch.get_autocast_dtype(device)
        q_BHTK, k_BHSK = of_queries[0], of_all[0]
        scores_BHTS = q_BHTK.new_empty(*q_BHTK.shape[:3], k_BHSK.shape[2])
        for queries in _blocks(q_BHTK, k_BHSK):
            scores_BHTS[:, :, queries] = scores(*(x[:, :, queries] for x in of_queries), *of_all)
        return scores_BHTS

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        of_queries, of_all = tensors[: ctx.number], tensors[ctx.number :]
        # Many blocks add up, too many for bf16.
        found = [torch.zeros_like(each, dtype=torch.float32) for each in tensors]
        for queries in _blocks(of_queries[0], of_all[0]):
            inputs = [x[:, :, queries].detach().requires_grad_() for x in of_queries]
            inputs += [x.detach().requires_grad_() for x in of_all]
            with torch.enable_grad(), torch.autocast(**ctx.autocast):
                block = ctx.scores(*inputs)
            parts = torch.autograd.grad(block, inputs, gradients[0][:, :, queries].to(block.dtype))
            for i, part in enumerate(parts):
                (found[i][:, :, queries] if i < ctx.number else found[i]).add_(part)
        return None, None, *(f.to(x.dtype) for f, x in zip(found, tensors, strict=True))


def _blocks(q_BHTK: Tensor, k_BHSK: Tensor) -> Iterator[slice]:
    """Yields the queries that are computed at once, as many as `PAIR_VALUES` allows."""
    at_once = max(1, PAIR_VALUES // k_BHSK.numel())
    for first in range(0, q_BHTK.shape[2], at_once):
        yield slice(first, first + at_once)
