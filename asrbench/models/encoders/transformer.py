"""The Transformer's encoder over subsampled features, with one slot for attention in each layer.

Speech-Transformer, Dong et al. 2018, of Vaswani et al. 2017, arXiv:1706.03762. Deviations: layers
are pre-norm (Xiong et al. 2020, arXiv:2002.04745), so that the stack ends with a layer norm; there
is no 2-D attention. Legend: B batch, T frames, F feature bins, D width.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from asrbench.models.encoders.stack import StackEncoder, StackSpec, TransformerLayer
from asrbench.models.layers.dropout import Dropout
from asrbench.models.layers.masking import valid_frames
from asrbench.models.layers.positions import sinusoids
from asrbench.models.layers.subsampling import Subsampling, SubsamplingSpec


class TransformerSpec(StackSpec):
    kind: Literal["transformer"] = "transformer"
    """Transformer layers at a quarter of the frame rate (Dong et al. 2018)."""
    subsampling: SubsamplingSpec = SubsamplingSpec()
    """Convolutions that leave one frame in four."""
    positions: Literal["sinusoidal", "none"] = "sinusoidal"
    """Added to the input of the stack; `none` leaves positions to the attention block."""


class Transformer(StackEncoder):
    """Subsampling, sqrt(D) x + PE, layers of attention and feed-forward (ReLU), layer norm.

    The scale sqrt(D) and the sinusoids PE are those of the paper's embeddings, sections 3.4 and
    3.5; here the output of the subsampling takes the place of an embedding.
    """

    def __init__(self, spec: TransformerSpec, bins: int) -> None:
        super().__init__()
        self.width = spec.width
        self.subsampling = Subsampling(spec.subsampling, bins, spec.width)
        self.has_positions = spec.positions == "sinusoidal"
        self.dropout = Dropout(spec.dropout)
        self.blocks = nn.ModuleList(TransformerLayer(spec, torch.relu) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width)
        self.stride, self.first_frame = Subsampling.stride, Subsampling.first_frame

    def forward(self, x_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        x_BTD, lengths_B = self.subsampling(x_BTF, lengths_B)
        x_BTD = x_BTD * math.sqrt(self.width)
        if self.has_positions:
            t = torch.arange(x_BTD.shape[1], device=x_BTD.device)
            x_BTD = x_BTD + sinusoids(t, self.width)
        mask_BT = valid_frames(lengths_B, x_BTD.shape[1])
        x_BTD = self.through_blocks(self.dropout(x_BTD), mask_BT)
        return self.norm(x_BTD), lengths_B

    def lengths(self, lengths_B: Tensor) -> Tensor:
        return self.subsampling.lengths(lengths_B)
