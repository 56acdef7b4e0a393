"""Multi-head self-attention over time, the base of the kinds that add position or distance.

Legend: B batch, T frames (queries), S frames (keys), D width, H heads, K width of a head.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, DropoutRate
from asrbench.experiment.spec_model import AttentionSpec
from asrbench.models.attention.block import AttentionBlock
from asrbench.models.layers.dropout import Dropout
from asrbench.models.layers.packing import of_valid

Heads = tuple[Tensor, Tensor, Tensor]


class HeadsSpec(AttentionSpec):
    """The base of the spec classes of multi-head attention."""

    heads: Count = 8
    """Number of attention heads."""
    dropout: DropoutRate = 0.1
    """Share of attention weights, and of the block's outputs, dropped in training."""


class OverTimeSpec(HeadsSpec):
    """The base of the spec classes of attention over time."""

    head_dim: Count = 64
    """Width of one head's queries, keys and values, whatever the width of the recurrence."""


class SelfAttention(OverTimeSpec):
    kind: Literal["self"] = "self"
    """Multi-head self-attention over time (arXiv:1706.03762), which knows no positions."""


class SelfAttentionBlock(AttentionBlock):
    """x + dropout(W_o attend(LayerNorm(x))): multi-head self-attention over time.

    softmax(Q K^T / sqrt(K) + bias) V, Vaswani et al. 2017, equation 1; pre-norm as Xiong et al.
    2020, arXiv:2002.04745. Other kinds override `inputs`, `project`, `query` or `bias`; those whose
    scores are no products override `shares` and `attend`.
    """

    def __init__(self, spec: OverTimeSpec, width: int) -> None:
        super().__init__()
        self.heads, inner = spec.heads, spec.heads * spec.head_dim
        self.norm = nn.LayerNorm(width)
        self.qkv: nn.Module = nn.Linear(width, 3 * inner)
        self.weights_dropout = Dropout(spec.dropout)
        self.out = nn.Linear(inner, width)
        self.dropout = Dropout(spec.dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        q_BHTK, k_BHSK, v_BHSK = self.project(self.inputs(self.norm(x_BTD)), mask_BT)
        y_BHTK = self.attend(q_BHTK, k_BHSK, v_BHSK, mask_BT)
        y_BTD = of_valid(self.out, y_BHTK.transpose(1, 2).flatten(2), mask_BT)
        return x_BTD + self.dropout(y_BTD)  # type: ignore[no-any-return]

    def weights(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Returns the weights_BHTS that `forward` uses in eval mode; each row sums to 1."""
        q_BHTK, k_BHSK, _ = self.project(self.inputs(self.norm(x_BTD)), mask_BT)
        return self.shares(q_BHTK, k_BHSK, mask_BT)

    # What a kind may override

    def inputs(self, x_BTD: Tensor) -> Tensor:
        """Returns what queries, keys and values are projected from."""
        return x_BTD

    def project(self, x_BTD: Tensor, mask_BT: Tensor) -> Heads:
        """Returns the queries, keys and values of each head, each (B, H, T, K)."""
        parts = of_valid(self.qkv, x_BTD, mask_BT).chunk(3, dim=-1)
        batch, frames, _ = x_BTD.shape
        q, k, v = (part.view(batch, frames, self.heads, -1).transpose(1, 2) for part in parts)
        return q, k, v

    def query(self, q_BHTK: Tensor) -> Tensor:
        """Returns the query that is multiplied by the keys."""
        return q_BHTK

    def bias(self, q_BHTK: Tensor) -> Tensor | None:
        """Returns what is added to the scaled scores, broadcastable to (B, H, T, S), or None."""
        return None

    def shares(self, q_BHTK: Tensor, k_BHSK: Tensor, mask_BT: Tensor) -> Tensor:
        """Returns the weights_BHTS that queries give to keys, zero on padding keys."""
        return _weights(self.query(q_BHTK), k_BHSK, self._masked_bias(q_BHTK, mask_BT))

    def attend(self, q_BHTK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, mask_BT: Tensor) -> Tensor:
        """Returns the sum of the values, weighted by `shares` of which training drops some."""
        dropped = self.weights_dropout.p if self.training else 0.0
        if dropped and not q_BHTK.is_cuda:
            # torch has no fused kernel with dropout on a CPU, and its own dropout draws slowly.
            return self.weights_dropout(self.shares(q_BHTK, k_BHSK, mask_BT)) @ v_BHSK  # type: ignore[no-any-return]
        bias = self._masked_bias(q_BHTK, mask_BT)
        return F.scaled_dot_product_attention(
            self.query(q_BHTK), k_BHSK, v_BHSK, attn_mask=bias, dropout_p=dropped
        )

    def _masked_bias(self, q_BHTK: Tensor, mask_BT: Tensor) -> Tensor:
        """Returns the bias, with minus infinity on padding keys."""
        padding_B11S = torch.zeros_like(mask_BT, dtype=q_BHTK.dtype)
        padding_B11S = padding_B11S.masked_fill(~mask_BT, -math.inf)[:, None, None, :]
        bias = self.bias(q_BHTK)
        return padding_B11S if bias is None else bias.to(q_BHTK.dtype) + padding_B11S


def _weights(q_BHTK: Tensor, k_BHSK: Tensor, bias: Tensor) -> Tensor:
    scale = 1 / math.sqrt(q_BHTK.shape[-1])
    return (q_BHTK * scale @ k_BHSK.transpose(-2, -1) + bias).softmax(-1)
