"""Jasper: an encoder of 1-D convolutions over time, in blocks with dense residual connections.

Li et al. 2019, arXiv:1904.03288, section 2 and table 1 (Jasper 10x5; 5x3 has half of the blocks
and three of five repeats). Every convolution is followed by batch norm, ReLU and dropout. A block
ends with the sum of its last batch norm and, for each output before it, from that of the prologue
on, of a 1x1 convolution with batch norm ("Jasper Dense Residual"). The last convolution
of the paper, to the symbols, is the head's. Padding frames are zero before each convolution and
count in no batch norm. Legend: B batch, T frames, F feature bins, C channels.
"""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from asrbench.experiment.spec_model import EncoderSpec
from asrbench.models.encoders.encoder import Encoder
from asrbench.models.layers.dropout import Dropout
from asrbench.models.layers.masking import MaskedBatchNorm, valid_frames

PROLOGUE = (11, 256, 0.2)
"""Kernel in frames, channels and dropout: table 1."""
BLOCKS = ((11, 256, 0.2), (13, 384, 0.2), (17, 512, 0.2), (21, 640, 0.3), (25, 768, 0.3))
"""The same of the blocks. Jasper 10x5 has each of them twice."""
EPILOGUE = ((29, 896, 0.4), (1, 1024, 0.4))
"""The same of the convolutions after the blocks; the first of them has dilation 2."""


class JasperSpec(EncoderSpec):
    kind: Literal["jasper"] = "jasper"
    """1-D convolutions in blocks with dense residual connections (arXiv:1904.03288)."""
    blocks: Literal[5, 10] = 10
    """Number of blocks, B of Jasper BxR."""
    repeats: Literal[3, 5] = 5
    """Convolutions in a block, R of Jasper BxR."""
    width_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Channels over those of the paper; the products are rounded to multiples of 8."""
    dropout_factor: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Dropout rates over those of the paper, which are 0.2 to 0.4."""

    def channels(self, of_paper: int) -> int:
        """Returns the number of channels where the paper has `of_paper`."""
        return max(1, round(of_paper * self.width_factor / 8)) * 8


class _ConvNorm(nn.Module):
    """Convolution over time and batch norm over valid frames; the input is zero on padding."""

    def __init__(
        self, channels_in: int, channels: int, kernel: int, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            channels_in,
            channels,
            kernel,
            stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            bias=False,
        )
        self.norm = MaskedBatchNorm(channels)

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        """Returns x_BCT with frames as in `mask_BT`; padding frames hold anything."""
        return self.norm(self.conv(x_BCT), mask_BT)  # type: ignore[no-any-return]


class _Activation(nn.Module):
    """ReLU and dropout, with zeros on padding frames."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        return self.dropout(x_BCT.relu()) * mask_BT[:, None]  # type: ignore[no-any-return]


class _Layer(nn.Module):
    """A convolution with batch norm, ReLU and dropout, as in the prologue and the epilogue."""

    def __init__(self, conv: _ConvNorm, dropout: float) -> None:
        super().__init__()
        self.conv, self.activation = conv, _Activation(dropout)

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        return self.activation(self.conv(x_BCT, mask_BT), mask_BT)  # type: ignore[no-any-return]


class _Block(nn.Module):
    """`repeats` convolutions, to the last of which every earlier output is added."""

    def __init__(
        self, before: list[int], channels: int, kernel: int, repeats: int, dropout: float
    ) -> None:
        """`before` are the channels of the earlier outputs, the block's input last."""
        super().__init__()
        channels_in = [before[-1], *[channels] * (repeats - 1)]
        self.convs = nn.ModuleList(_ConvNorm(c, channels, kernel) for c in channels_in)
        self.residuals = nn.ModuleList(_ConvNorm(c, channels, 1) for c in before)
        self.activation = _Activation(dropout)

    def forward(self, before: list[Tensor], mask_BT: Tensor) -> Tensor:
        x_BCT = before[-1]
        *convs, last = self.convs
        for conv in convs:
            x_BCT = self.activation(conv(x_BCT, mask_BT), mask_BT)
        x_BCT = last(x_BCT, mask_BT)
        for residual, earlier_BCT in zip(self.residuals, before, strict=True):
            x_BCT = x_BCT + residual(earlier_BCT, mask_BT)
        return self.activation(x_BCT, mask_BT)  # type: ignore[no-any-return]


class Jasper(Encoder):
    """A convolution of stride 2, the blocks, a dilated convolution, and a 1x1 one."""

    stride, first_frame = 2, 0.0

    def __init__(self, spec: JasperSpec, bins: int) -> None:
        super().__init__()
        kernel, of_paper, dropout = PROLOGUE
        channels, factor = spec.channels(of_paper), spec.dropout_factor
        self.prologue = _Layer(_ConvNorm(bins, channels, kernel, stride=2), factor * dropout)
        self.blocks = nn.ModuleList()
        outputs = [channels]
        for kernel, of_paper, dropout in BLOCKS:
            for _ in range(spec.blocks // len(BLOCKS)):
                channels = spec.channels(of_paper)
                self.blocks.append(
                    _Block(outputs, channels, kernel, spec.repeats, factor * dropout)
                )
                outputs.append(channels)
        self.epilogue = nn.ModuleList()
        for (kernel, of_paper, dropout), dilation in zip(EPILOGUE, (2, 1), strict=True):
            before, channels = channels, spec.channels(of_paper)
            conv = _ConvNorm(before, channels, kernel, dilation=dilation)
            self.epilogue.append(_Layer(conv, factor * dropout))
        self.width = channels

    def forward(self, x_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        x_BFT = (x_BTF * valid_frames(lengths_B, x_BTF.shape[1])[..., None]).transpose(1, 2)
        lengths_B = self.lengths(lengths_B)
        mask_BT = valid_frames(lengths_B, (x_BFT.shape[2] + 1) // 2)
        outputs = [self.prologue(x_BFT, mask_BT)]
        for block in self.blocks:
            outputs.append(block(outputs, mask_BT))
        x_BCT = outputs[-1]
        for layer in self.epilogue:
            x_BCT = layer(x_BCT, mask_BT)
        return x_BCT.transpose(1, 2), lengths_B

    def lengths(self, lengths_B: Tensor) -> Tensor:
        return (lengths_B + 1) // 2
