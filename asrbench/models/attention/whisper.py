"""Whisper's self-attention: keys have no bias, queries and values have one.

Radford et al. 2022, arXiv:2212.04356, and `MultiHeadAttention` of openai/whisper. A bias of the
keys adds the same to all scores of a query, which the softmax takes out. Legend: D width, E = 3HK
of H heads of width K.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, DropoutRate
from asrbench.models.attention.self_attention import OverTimeSpec, SelfAttentionBlock


class WhisperAttention(OverTimeSpec):
    kind: Literal["whisper"] = "whisper"
    """Whisper's self-attention (arXiv:2212.04356), whose keys have no bias."""
    heads: Count = 6
    """Number of attention heads."""
    dropout: DropoutRate = 0.0
    """Share of attention weights, and of the block's outputs, dropped in training."""


class _QueryKeyValue(nn.Module):
    """A linear map to queries, keys and values, in this order."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3 * inner, width))
        self.query_bias = nn.Parameter(torch.zeros(inner))
        self.value_bias = nn.Parameter(torch.zeros(inner))

    @property
    def bias(self) -> Tensor:
        """The bias_E, zeros for keys."""
        return torch.cat([self.query_bias, torch.zeros_like(self.query_bias), self.value_bias])

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class WhisperAttentionBlock(SelfAttentionBlock):
    """Self-attention whose keys have no bias."""

    def __init__(self, spec: WhisperAttention, width: int) -> None:
        super().__init__(spec, width)
        self.qkv = _QueryKeyValue(width, spec.heads * spec.head_dim)
