"""The Conformer: Transformer layers with a convolution between attention and feed-forward.

Gulati et al. 2020, arXiv:2005.08100. Table 1 of the paper has three sizes:

| size | layers | width | feed_forward | heads | head_dim | parameters with decoder |
| s | 16 | 144 | 576 | 4 | 36 | 10.3 M |
| m | 16 | 256 | 1024 | 4 | 64 | 30.7 M |
| l | 17 | 512 | 2048 | 8 | 64 | 118.8 M |

The defaults are those of m. Deviations: the paper's kernel of 32 frames has no middle; here it is
31. The depthwise convolution has no bias, because the batch norm after it would take it out. The
default of attention is that of Transformer-XL, whose biases u and v each layer has for itself.
Legend: B batch, T frames, F feature bins, D width.
"""

from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, Impossible, Layers
from asrbench.experiment.spec_model import ATTENTION, Attention
from asrbench.models.attention.positional import PositionalAttention
from asrbench.models.encoders.stack import StackEncoder, StackSpec
from asrbench.models.layers.dropout import Dropout
from asrbench.models.layers.feed_forward import FeedForward
from asrbench.models.layers.masking import MaskedBatchNorm, valid_frames
from asrbench.models.layers.packing import of_valid
from asrbench.models.layers.subsampling import Subsampling, SubsamplingSpec


class ConformerSpec(StackSpec):
    kind: Literal["conformer"] = "conformer"
    """Conformer layers at a quarter of the frame rate (arXiv:2005.08100)."""
    subsampling: SubsamplingSpec = SubsamplingSpec()
    """Convolutions that leave one frame in four."""
    layers: Layers = 16
    """Number of layers."""
    feed_forward: Count = 1024
    """Width within each of a layer's two feed-forward blocks."""
    attention: Attention = PositionalAttention(heads=4, position="transformer_xl")
    """The attention block of each layer; `model.name` fixes its kind."""
    kernel: Annotated[int, Field(ge=1, le=999)] = 31
    """Frames that the depthwise convolution spans, an odd number."""

    @model_validator(mode="after")
    def _kernel_has_a_middle(self) -> "ConformerSpec":
        if self.kernel % 2 == 0:
            raise Impossible("kernel", f"found {self.kernel}, allowed: an odd number")
        return self


class ConvolutionModule(nn.Module):
    """x + dropout(W2 swish(norm(depthwise(glu(W1 LayerNorm(x)))))): section 2.2, figure 2.

    Padding is zero where the depthwise convolution reads it, and the batch norm leaves it out.
    """

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(
            width, width, kernel, padding=kernel // 2, groups=width, bias=False
        )
        self.batch_norm = MaskedBatchNorm(width)
        self.contract = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        y_BTD = of_valid(self._gated, x_BTD, mask_BT) * mask_BT[..., None]
        y_BDT = self.depthwise(y_BTD.transpose(1, 2))
        y_BDT = F.silu(self.batch_norm(y_BDT, mask_BT))
        y_BTD = of_valid(self.contract, y_BDT.transpose(1, 2), mask_BT)
        return x_BTD + self.dropout(y_BTD)  # type: ignore[no-any-return]

    def _gated(self, x: Tensor) -> Tensor:
        return F.glu(self.expand(self.norm(x)), dim=-1)


class ConformerLayer(nn.Module):
    """Half a feed-forward step, attention, convolution, half a step, layer norm: equation 1."""

    def __init__(self, spec: ConformerSpec) -> None:
        super().__init__()
        width, dropout = spec.width, spec.dropout
        sizes = (width, spec.feed_forward, dropout, F.silu)
        self.first_half = FeedForward(*sizes, share=0.5)
        self.attention = ATTENTION.build(spec.attention, width=width)
        self.convolution = ConvolutionModule(width, spec.kernel, dropout)
        self.second_half = FeedForward(*sizes, share=0.5)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        for block in (self.first_half, self.attention, self.convolution, self.second_half):
            x_BTD = block(x_BTD, mask_BT)
        return self.norm(x_BTD)  # type: ignore[no-any-return]


class Conformer(StackEncoder):
    """Subsampling, dropout, and Conformer layers, each of which ends with a layer norm."""

    def __init__(self, spec: ConformerSpec, bins: int) -> None:
        super().__init__()
        self.width = spec.width
        self.subsampling = Subsampling(spec.subsampling, bins, spec.width)
        self.dropout = Dropout(spec.dropout)
        self.blocks = nn.ModuleList(ConformerLayer(spec) for _ in range(spec.layers))
        self.stride, self.first_frame = Subsampling.stride, Subsampling.first_frame

    def forward(self, x_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        x_BTD, lengths_B = self.subsampling(x_BTF, lengths_B)
        mask_BT = valid_frames(lengths_B, x_BTD.shape[1])
        return self.through_blocks(self.dropout(x_BTD), mask_BT), lengths_B

    def lengths(self, lengths_B: Tensor) -> Tensor:
        return self.subsampling.lengths(lengths_B)
