"""Whisper's encoder: two convolutions over log-mel frames, sinusoids, pre-norm Transformer layers.

Radford et al. 2022, arXiv:2212.04356, section 2.2, and `AudioEncoder` of openai/whisper. The
defaults are those of `tiny`: width 384, 4 layers, 6 heads, feed_forward 1536. Those of `base` are
512, 6, 8 and 2048. As in Whisper nothing is dropped by default.

Deviations: utterances keep their length, where Whisper pads to 30 s and has 1500 positions.
`features: {kind: log_mel, bands: 80, window_ms: 25, hop_ms: 10}` is nearest to Whisper's input, but
is not the same: Whisper's frames are centred, its mel filters are Slaney's, its logarithm is to
base 10 and cut off 8 below the maximum, and it does not normalise each band of each utterance.
Legend: B batch, T frames, F feature bins, D width, N positions.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, DropoutRate, Impossible, Layers
from asrbench.experiment.spec_model import Attention
from asrbench.models.attention.whisper import WhisperAttention
from asrbench.models.encoders.stack import StackEncoder, StackSpec, TransformerLayer
from asrbench.models.layers.dropout import Dropout
from asrbench.models.layers.masking import valid_frames


class WhisperSpec(StackSpec):
    kind: Literal["whisper"] = "whisper"
    """Whisper's encoder at half the frame rate (arXiv:2212.04356)."""
    layers: Layers = 4
    """Number of layers."""
    width: Count = 384
    """Width of every layer's input and output, an even number from 4."""
    feed_forward: Count = 1536
    """Width within each feed-forward block."""
    dropout: DropoutRate = 0.0
    """Share dropped in training, of the stack's input and in each block but attention."""
    attention: Attention = WhisperAttention()
    """The attention block of each layer; `model.name` fixes its kind."""

    @model_validator(mode="after")
    def _width_has_sinusoids(self) -> "WhisperSpec":
        if self.width % 2 or self.width < 4:
            raise Impossible("width", f"found {self.width}, allowed: an even number from 4")
        return self


class Whisper(StackEncoder):
    """Two convolutions with GELU, the second with stride 2, sinusoids, layers, layer norm."""

    def __init__(self, spec: WhisperSpec, bins: int) -> None:
        super().__init__()
        self.width, self.stride, self.first_frame = spec.width, 2, 0.0
        self.conv1 = nn.Conv1d(bins, spec.width, 3, padding=1)
        self.conv2 = nn.Conv1d(spec.width, spec.width, 3, stride=2, padding=1)
        self.dropout = Dropout(spec.dropout)
        self.blocks = nn.ModuleList(TransformerLayer(spec, F.gelu) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width)

    def forward(self, x_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        # Padding is zero for each convolution, as the convolution's own padding is.
        mask_B1T = valid_frames(lengths_B, x_BTF.shape[1])[:, None]
        x_BDT = F.gelu(self.conv1(x_BTF.transpose(1, 2) * mask_B1T))
        x_BDT = F.gelu(self.conv2(x_BDT * mask_B1T))
        lengths_B = self.lengths(lengths_B)
        t = torch.arange(x_BDT.shape[2], device=x_BDT.device)
        x_BTD = x_BDT.transpose(1, 2) + whisper_sinusoids(t, self.width)
        mask_BT = valid_frames(lengths_B, x_BDT.shape[2])
        x_BTD = self.through_blocks(self.dropout(x_BTD), mask_BT)
        return self.norm(x_BTD), lengths_B

    def lengths(self, lengths_B: Tensor) -> Tensor:
        return (lengths_B + 1) // 2


def whisper_sinusoids(position_N: Tensor, width: int) -> Tensor:
    """Returns encoding_ND: sines in the first half, cosines in the second, as in Whisper.

    Wavelengths run from 2 pi to 10000 * 2 pi frames, both ends included; those of Vaswani et al.
    2017 (`sinusoids`) stop short of the longest.
    """
    half = width // 2
    exponent = torch.arange(half, device=position_N.device, dtype=torch.float32) / (half - 1)
    angle_NH = position_N.float()[:, None] * torch.exp(-math.log(10_000) * exponent)
    return torch.cat([angle_NH.sin(), angle_NH.cos()], dim=-1)
