"""The block after each recurrent layer: one class a kind, one path for the baseline too.

Every block maps x_BTD with mask_BT (true on valid frames) to x_BTD. Legend: B batch, T frames
(queries), S frames (keys), D width, H heads, K width of a head (D / H where heads are mixed),
R = 2T - 1 distances.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrbench.experiment.spec import (
    AttentionSpec,
    HeadMixing,
    NoAttention,
    PositionalAttention,
    SelfAttention,
    TemporalAttention,
)
from asrbench.models.layers.dropout import Dropout
from asrbench.models.layers.packing import of_valid

Heads = tuple[Tensor, Tensor, Tensor]
OverTime = SelfAttention | PositionalAttention | TemporalAttention


class NoAttentionBlock(nn.Module):
    """The baseline's: nothing."""

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        return x_BTD


class SelfAttentionBlock(nn.Module):
    """x + dropout(W_o attend(LayerNorm(x))): multi-head self-attention over time.

    softmax(Q K^T / sqrt(K) + bias) V, Vaswani et al. 2017, equation 1; pre-norm as Xiong et al.
    2020, arXiv:2002.04745. Kinds with position differ in `_inputs`, `_project` and `_bias`.
    """

    def __init__(self, width: int, spec: OverTime) -> None:
        super().__init__()
        self.heads, inner = spec.heads, spec.heads * spec.head_dim
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * inner)
        self.weights_dropout = Dropout(spec.dropout)
        self.out = nn.Linear(inner, width)
        self.dropout = Dropout(spec.dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        q_BHTK, k_BHSK, v_BHSK = self._project(self._inputs(self.norm(x_BTD)), mask_BT)
        bias = self._masked_bias(q_BHTK, mask_BT)
        y_BHTK = self._attend(self._query(q_BHTK), k_BHSK, v_BHSK, bias)
        y_BTD = of_valid(self.out, y_BHTK.transpose(1, 2).flatten(2), mask_BT)
        return x_BTD + self.dropout(y_BTD)  # type: ignore[no-any-return]

    def weights(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """The attention weights_BHTS that `forward` uses in eval mode; each row sums to 1."""
        q_BHTK, k_BHSK, _ = self._project(self._inputs(self.norm(x_BTD)), mask_BT)
        return _weights(self._query(q_BHTK), k_BHSK, self._masked_bias(q_BHTK, mask_BT))

    def _attend(self, q_BHTK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, bias: Tensor) -> Tensor:
        dropped = self.weights_dropout.p if self.training else 0.0
        if dropped and not q_BHTK.is_cuda:
            # torch has no fused kernel with dropout there, and a slow one draws slowly.
            return self.weights_dropout(_weights(q_BHTK, k_BHSK, bias)) @ v_BHSK  # type: ignore[no-any-return]
        return F.scaled_dot_product_attention(
            q_BHTK, k_BHSK, v_BHSK, attn_mask=bias, dropout_p=dropped
        )

    def _inputs(self, x_BTD: Tensor) -> Tensor:
        """What queries, keys and values are projected from."""
        return x_BTD

    def _project(self, x_BTD: Tensor, mask_BT: Tensor) -> Heads:
        parts = of_valid(self.qkv, x_BTD, mask_BT).chunk(3, dim=-1)
        batch, frames, _ = x_BTD.shape
        q, k, v = (part.view(batch, frames, self.heads, -1).transpose(1, 2) for part in parts)
        return q, k, v

    def _query(self, q_BHTK: Tensor) -> Tensor:
        """The query that meets the keys."""
        return q_BHTK

    def _bias(self, q_BHTK: Tensor) -> Tensor | None:
        """What is added to the scaled scores, broadcastable to (B, H, T, S)."""
        return None

    def _masked_bias(self, q_BHTK: Tensor, mask_BT: Tensor) -> Tensor:
        """The bias, with minus infinity on padding keys."""
        padding_B11S = torch.zeros_like(mask_BT, dtype=q_BHTK.dtype)
        padding_B11S = padding_B11S.masked_fill(~mask_BT, -math.inf)[:, None, None, :]
        bias = self._bias(q_BHTK)
        return padding_B11S if bias is None else bias.to(q_BHTK.dtype) + padding_B11S


def _weights(q_BHTK: Tensor, k_BHSK: Tensor, bias: Tensor) -> Tensor:
    scale = 1 / math.sqrt(q_BHTK.shape[-1])
    return (q_BHTK * scale @ k_BHSK.mT + bias).softmax(-1)


class SinusoidalAttentionBlock(SelfAttentionBlock):
    """Self-attention on x + PE, Vaswani et al. 2017, section 3.5."""

    def _inputs(self, x_BTD: Tensor) -> Tensor:
        t = torch.arange(x_BTD.shape[1], device=x_BTD.device)
        return x_BTD + sinusoids(t, x_BTD.shape[2]).to(x_BTD.dtype)


class LearnedPositionBlock(SelfAttentionBlock):
    """Self-attention on x plus a learned vector for each frame.

    Frames from `max_distance` on share the last vector.
    """

    def __init__(self, width: int, spec: PositionalAttention) -> None:
        super().__init__(width, spec)
        self.position = nn.Parameter(torch.empty(spec.max_distance, width))

    def _inputs(self, x_BTD: Tensor) -> Tensor:
        t = torch.arange(x_BTD.shape[1], device=x_BTD.device)
        return x_BTD + self.position[t.clamp_max(len(self.position) - 1)]


class RotaryAttentionBlock(SelfAttentionBlock):
    """Queries and keys turned by an angle in proportion to time: RoFormer, Su et al. 2021,
    so that scores depend on the distance i - j."""

    def _project(self, x_BTD: Tensor, mask_BT: Tensor) -> Heads:
        q_BHTK, k_BHSK, v_BHSK = super()._project(x_BTD, mask_BT)
        t = torch.arange(q_BHTK.shape[2], device=x_BTD.device)
        return rotated(q_BHTK, t), rotated(k_BHSK, t), v_BHSK


class ShawAttentionBlock(SelfAttentionBlock):
    """A learned key for every clipped distance: Shaw et al. 2018, equation 4 (keys only; the
    paper's table 3 finds the values' part to add nothing)."""

    def __init__(self, width: int, spec: PositionalAttention) -> None:
        super().__init__(width, spec)
        self.max_distance = spec.max_distance
        self.distance_key = nn.Parameter(torch.empty(2 * spec.max_distance + 1, spec.head_dim))

    def _bias(self, q_BHTK: Tensor) -> Tensor:
        distance_R = distances(q_BHTK.shape[2], q_BHTK.device)
        key_RK = self.distance_key[
            distance_R.clamp(-self.max_distance, self.max_distance) + self.max_distance
        ]
        scores_BHTR = q_BHTK @ key_RK.to(q_BHTK.dtype).mT
        return by_pair(scores_BHTR) / math.sqrt(q_BHTK.shape[-1])


class TransformerXlAttentionBlock(SelfAttentionBlock):
    """Sinusoids of the distance as keys, with a learned query of their own: Dai et al. 2019,
    section 3.3. (q_i + u) k_j + (q_i + v) W r_{i-j}, scaled by sqrt(K) of a head."""

    def __init__(self, width: int, spec: PositionalAttention) -> None:
        super().__init__(width, spec)
        self.distance = nn.Linear(width, spec.heads * spec.head_dim, bias=False)
        self.content_query = nn.Parameter(torch.empty(spec.heads, 1, spec.head_dim))
        self.distance_query = nn.Parameter(torch.empty(spec.heads, 1, spec.head_dim))

    def _query(self, q_BHTK: Tensor) -> Tensor:
        return q_BHTK + self.content_query.to(q_BHTK.dtype)

    def _bias(self, q_BHTK: Tensor) -> Tensor:
        # The paper's r has index i - j; `by_pair` wants columns by j - i.
        distance_R = -distances(q_BHTK.shape[2], q_BHTK.device)
        key_RD = self.distance(sinusoids(distance_R, self.distance.in_features))
        key_HRK = key_RD.unflatten(-1, (self.heads, -1)).transpose(0, 1).to(q_BHTK.dtype)
        query_BHTK = q_BHTK + self.distance_query.to(q_BHTK.dtype)
        return by_pair(query_BHTK @ key_HRK.mT) / math.sqrt(q_BHTK.shape[-1])


class TemporalWeightBlock(SelfAttentionBlock):
    """Self-attention whose scores fall with the distance |i - j| in frames, head by head.

    gaussian: -(i - j)^2 / (2 s^2), Sperber et al. 2018; s starts at 2^(8h/H) frames.
    linear: -m |i - j|, ALiBi, Press et al. 2021; m starts at 2^(-8h/H). Both are held as
    logarithms, so that they stay positive while they are learned.
    """

    log_rate: Tensor

    def __init__(self, width: int, spec: TemporalAttention) -> None:
        super().__init__(width, spec)
        self.weight = spec.weight
        exponent_H = 8.0 * torch.arange(1, spec.heads + 1) / spec.heads * math.log(2)
        log_rate_H = -exponent_H  # log m, or -log s
        if spec.learnable:
            self.log_rate = nn.Parameter(log_rate_H)
        else:
            self.register_buffer("log_rate", log_rate_H)

    def _bias(self, q_BHTK: Tensor) -> Tensor:
        t = torch.arange(q_BHTK.shape[2], device=q_BHTK.device, dtype=torch.float32)
        apart_TS = (t[:, None] - t).abs()
        rate_H11 = self.log_rate.float().exp()[:, None, None]
        if self.weight == "gaussian":
            return -0.5 * (apart_TS * rate_H11).square()
        return -apart_TS * rate_H11


class HeadMixingBlock(nn.Module):
    """The original study's "self-attention", as it was written, to show what it does.

    Inputs (B, T, D); three linear maps, each viewed as (B, T, H, K); scores q k^T / sqrt(K) of
    shape (B, T, H, H); softmax; times the values; viewed back to (B, T, D); a linear map; dropout.
    The scores relate the heads of one frame to each other: no frame ever sees another. The result
    replaces the input: no residual path, no norm, no mask.
    """

    def __init__(self, width: int, spec: HeadMixing) -> None:
        super().__init__()
        self.heads = spec.heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = Dropout(spec.dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        v_BTHK = self._by_head(self.value, x_BTD)
        mixed_BTD = (self.weights(x_BTD, mask_BT).to(v_BTHK.dtype) @ v_BTHK).flatten(2)
        return self.dropout(self.out(mixed_BTD))  # type: ignore[no-any-return]

    def weights(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """weights_BTHH: how much of each head every head of the same frame takes."""
        q_BTHK, k_BTHK = self._by_head(self.query, x_BTD), self._by_head(self.key, x_BTD)
        return (q_BTHK @ k_BTHK.mT / math.sqrt(q_BTHK.shape[-1])).softmax(-1)

    def _by_head(self, project: nn.Module, x_BTD: Tensor) -> Tensor:
        return project(x_BTD).unflatten(-1, (self.heads, -1))  # type: ignore[no-any-return]


def attention_block(spec: AttentionSpec, width: int) -> nn.Module:
    """The block that `spec` describes, for inputs of `width`."""
    match spec:
        case NoAttention():
            return NoAttentionBlock()
        case SelfAttention():
            return SelfAttentionBlock(width, spec)
        case PositionalAttention():
            return POSITIONAL[spec.position](width, spec)
        case TemporalAttention():
            return TemporalWeightBlock(width, spec)
        case HeadMixing():
            return HeadMixingBlock(width, spec)


POSITIONAL: dict[str, Callable[[int, PositionalAttention], SelfAttentionBlock]] = {
    "sinusoidal": SinusoidalAttentionBlock,
    "learned": LearnedPositionBlock,
    "rotary": RotaryAttentionBlock,
    "shaw": ShawAttentionBlock,
    "transformer_xl": TransformerXlAttentionBlock,
}


# Positions


def sinusoids(position_N: Tensor, width: int) -> Tensor:
    """encoding_ND, sines in the first half and cosines in the second, wavelengths from 2 pi to
    10000 * 2 pi frames. Vaswani et al. 2017, section 3.5, with the interleaving undone."""
    half = torch.arange((width + 1) // 2, device=position_N.device, dtype=torch.float32)
    angle = position_N.float()[:, None] * torch.exp(half * (-2 * math.log(10_000) / width))
    return torch.cat([angle.sin(), angle.cos()], dim=-1)[:, :width]


def rotated(x_BHTK: Tensor, t_T: Tensor) -> Tensor:
    """x with feature pair (k, k + K/2) turned by t * 10000^(-2k/K) radians."""
    half = x_BHTK.shape[-1] // 2
    rate = torch.arange(half, device=x_BHTK.device, dtype=torch.float32) / half
    angle = t_T.float()[:, None] * torch.exp(-math.log(10_000) * rate)
    cos, sin = angle.cos().to(x_BHTK.dtype), angle.sin().to(x_BHTK.dtype)
    a, b = x_BHTK[..., :half], x_BHTK[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def distances(frames: int, device: torch.device) -> Tensor:
    """Every j - i there is between `frames` frames, rising: 1 - T ... T - 1."""
    return torch.arange(1 - frames, frames, device=device)


def by_pair(scores_BHTR: Tensor) -> Tensor:
    """scores_BHTS from scores by distance: entry (i, j) is column j - i + T - 1 of row i.

    Dai et al. 2019, appendix B, without computing a row twice.
    """
    batch, heads, frames, columns = scores_BHTR.shape
    if frames == 1:
        return scores_BHTR
    # Read with rows one shorter, each row of the flat tensor starts one distance lower.
    first, rows = frames - 1, frames * (columns - 1)
    flat = scores_BHTR.flatten(2)[..., first : first + rows]
    return flat.reshape(batch, heads, frames, columns - 1)[..., :frames]
