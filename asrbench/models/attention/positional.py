"""Self-attention with position: sinusoidal, learned, relative (two kinds), or rotary.

Legend: B batch, T frames (queries), S frames (keys), D width, H heads, K width of a head,
R = 2T - 1 distances.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, Impossible
from asrbench.models.attention.self_attention import Heads, OverTimeSpec, SelfAttentionBlock
from asrbench.models.layers.positions import by_pair, distances, rotated, sinusoids


class PositionalAttention(OverTimeSpec):
    kind: Literal["positional"] = "positional"
    """Self-attention that uses the positions of frames."""
    position: Literal["sinusoidal", "learned", "shaw", "transformer_xl", "rotary"] = "rotary"
    """How the block uses positions."""
    max_distance: Count = 1024
    """Frames with a vector of their own: positions (`learned`), distances either side (`shaw`)."""

    @model_validator(mode="after")
    def _rotated_in_pairs(self) -> "PositionalAttention":
        if self.position == "rotary" and self.head_dim % 2:
            raise Impossible(
                "head_dim",
                f"found {self.head_dim}, allowed: an even number for rotary positions",
            )
        return self


class SinusoidalAttentionBlock(SelfAttentionBlock):
    """Self-attention on x + PE, Vaswani et al. 2017, section 3.5."""

    def inputs(self, x_BTD: Tensor) -> Tensor:
        t = torch.arange(x_BTD.shape[1], device=x_BTD.device)
        return x_BTD + sinusoids(t, x_BTD.shape[2]).to(x_BTD.dtype)


class LearnedPositionBlock(SelfAttentionBlock):
    """Self-attention on x plus a learned vector for each frame.

    Frames from `max_distance` on share the last vector. Vectors start with the variance of the
    sinusoids, 1/2: within 1 / sqrt(fan-in) they would hardly act beside the output of a layer norm,
    whose variance is 1, so that the block would begin, and long remain, blind to order.
    """

    def __init__(self, spec: PositionalAttention, width: int) -> None:
        super().__init__(spec, width)
        self.position = nn.Parameter(torch.empty(spec.max_distance, width))

    def set_initial(self, generator: Callable[[str], torch.Generator]) -> None:
        """Draws the vectors; `generator` returns that of a parameter, by its name."""
        bound = math.sqrt(3 / 2)
        self.position.uniform_(-bound, bound, generator=generator("position"))

    def inputs(self, x_BTD: Tensor) -> Tensor:
        t = torch.arange(x_BTD.shape[1], device=x_BTD.device)
        return x_BTD + self.position[t.clamp_max(len(self.position) - 1)]


class RotaryAttentionBlock(SelfAttentionBlock):
    """Self-attention whose queries and keys are rotated by an angle in proportion to time.

    Scores then depend on the distance i - j: RoFormer, Su et al. 2021, arXiv:2104.09864.
    """

    def project(self, x_BTD: Tensor, mask_BT: Tensor) -> Heads:
        q_BHTK, k_BHSK, v_BHSK = super().project(x_BTD, mask_BT)
        t = torch.arange(q_BHTK.shape[2], device=x_BTD.device)
        return rotated(q_BHTK, t), rotated(k_BHSK, t), v_BHSK


class ShawAttentionBlock(SelfAttentionBlock):
    """Self-attention with a learned key for every clipped distance: Shaw et al. 2018, equation 4.

    Values get no such vectors: the paper's table 3 finds that they add nothing.
    """

    def __init__(self, spec: PositionalAttention, width: int) -> None:
        super().__init__(spec, width)
        self.max_distance = spec.max_distance
        self.distance_key = nn.Parameter(torch.empty(2 * spec.max_distance + 1, spec.head_dim))

    def bias(self, q_BHTK: Tensor) -> Tensor:
        limit = self.max_distance
        distance_R = distances(q_BHTK.shape[2], q_BHTK.device)
        key_RK = self.distance_key[distance_R.clamp(-limit, limit) + limit]
        scores_BHTR = q_BHTK @ key_RK.to(q_BHTK.dtype).transpose(-2, -1)
        return by_pair(scores_BHTR) / math.sqrt(q_BHTK.shape[-1])


class TransformerXlAttentionBlock(SelfAttentionBlock):
    """Self-attention with sinusoids of the distance as keys, for which there is a second query.

    (q_i + u) k_j + (q_i + v) W r_{i-j}, scaled by sqrt(K) of a head: Dai et al. 2019, section 3.3.
    """

    def __init__(self, spec: PositionalAttention, width: int) -> None:
        super().__init__(spec, width)
        self.distance = nn.Linear(width, spec.heads * spec.head_dim, bias=False)
        self.content_query = nn.Parameter(torch.empty(spec.heads, 1, spec.head_dim))
        self.distance_query = nn.Parameter(torch.empty(spec.heads, 1, spec.head_dim))

    def query(self, q_BHTK: Tensor) -> Tensor:
        return q_BHTK + self.content_query.to(q_BHTK.dtype)

    def bias(self, q_BHTK: Tensor) -> Tensor:
        # The paper's r has index i - j; `by_pair` wants columns by j - i.
        distance_R = -distances(q_BHTK.shape[2], q_BHTK.device)
        key_RD = self.distance(sinusoids(distance_R, self.distance.in_features))
        key_HRK = key_RD.unflatten(-1, (self.heads, -1)).transpose(0, 1).to(q_BHTK.dtype)
        query_BHTK = q_BHTK + self.distance_query.to(q_BHTK.dtype)
        return by_pair(query_BHTK @ key_HRK.transpose(-2, -1)) / math.sqrt(q_BHTK.shape[-1])


BLOCKS: dict[str, type[SelfAttentionBlock]] = {
    "sinusoidal": SinusoidalAttentionBlock,
    "learned": LearnedPositionBlock,
    "rotary": RotaryAttentionBlock,
    "shaw": ShawAttentionBlock,
    "transformer_xl": TransformerXlAttentionBlock,
}


def positional_block(spec: PositionalAttention, width: int) -> SelfAttentionBlock:
    """Returns the block that uses positions as `spec` says."""
    return BLOCKS[spec.position](spec, width)
