"""The "self-attention" of the original study, which relates heads instead of frames.

Legend: B batch, T frames, D width, H heads, K = D / H.
"""

import math
from typing import Literal

from torch import Tensor, nn

from asrbench.experiment.spec_base import Impossible
from asrbench.models.attention.block import HEADS, AttentionBlock
from asrbench.models.attention.self_attention import HeadsSpec
from asrbench.models.layers.dropout import Dropout


class HeadMixing(HeadsSpec):
    """The block's spec. Its heads must divide the width of its input."""

    kind: Literal["head_mixing"] = "head_mixing"
    """The original study's block, which relates the heads of a frame and not frames."""

    def check_width(self, width: int) -> None:
        if width % self.heads:
            raise Impossible("heads", f"found {self.heads}, allowed: a divisor of {width}")


class HeadMixingBlock(AttentionBlock):
    """The original study's "self-attention", as it was written, to show what it does.

    Inputs (B, T, D); three linear maps, each viewed as (B, T, H, K); scores q k^T / sqrt(K) of
    shape (B, T, H, H); softmax; times the values; viewed back to (B, T, D); a linear map; dropout.
    The scores relate the heads of one frame to each other: no frame ever sees another. The result
    replaces the input: no residual path, no norm, no mask.
    """

    relates = HEADS

    def __init__(self, spec: HeadMixing, width: int) -> None:
        super().__init__()
        self.heads = spec.heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = Dropout(spec.dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        v_BTHK = self._by_head(self.value, x_BTD)
        mixed_BTD = (self._mixing(x_BTD).to(v_BTHK.dtype) @ v_BTHK).flatten(2)
        return self.dropout(self.out(mixed_BTD))  # type: ignore[no-any-return]

    def weights(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Returns weights_BHTH: how much of each head (last) every head of the same frame takes."""
        return self._mixing(x_BTD).transpose(1, 2)

    def _mixing(self, x_BTD: Tensor) -> Tensor:
        q_BTHK, k_BTHK = self._by_head(self.query, x_BTD), self._by_head(self.key, x_BTD)
        return (q_BTHK @ k_BTHK.transpose(-2, -1) / math.sqrt(q_BTHK.shape[-1])).softmax(-1)

    def _by_head(self, project: nn.Module, x_BTD: Tensor) -> Tensor:
        y_BTE: Tensor = project(x_BTD)
        return y_BTE.view(*x_BTD.shape[:2], self.heads, -1)
