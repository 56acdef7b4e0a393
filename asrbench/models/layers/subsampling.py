"""Two convolutions that leave one frame in four, in front of a Transformer or a Conformer.

Dong et al. 2018, "Speech-Transformer", section 3.1: two 3x3 convolutions over time and frequency,
each with stride 2 and ReLU, then a linear map to the width of the model. The paper says nothing of
padding; here each side has one frame and one bin of zeros, so that even one frame leaves one.
Legend: B batch, T frames, F feature bins (frequency), C channels, D width.
"""

from typing import ClassVar, TypeVar, cast

from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, Spec
from asrbench.models.layers.front_end import convolved
from asrbench.models.layers.masking import valid_frames
from asrbench.models.layers.packing import of_valid

N = TypeVar("N", int, Tensor)


class SubsamplingSpec(Spec):
    channels: Count = 256
    """Channels of both convolutions."""


class Subsampling(nn.Module):
    """Maps x_BTF and lengths_B to x_BTD, in fp32, and the lengths of the output.

    Padding frames are set to zero, the value of the convolutions' own padding, before each
    convolution. The output is in fp32 because residual paths that start here lose bits in bf16.
    """

    stride: ClassVar[int] = 4
    """The number of feature frames between the centres of neighbouring output frames."""
    first_frame: ClassVar[float] = 0.0
    """The centre of the first output frame, in feature frames counted from 0."""

    def __init__(self, spec: SubsamplingSpec, bins: int, width: int) -> None:
        super().__init__()
        channels = spec.channels
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
            for channels_in in (1, channels)
        )
        self.out = nn.Linear(channels * _quarter(bins), width)

    def forward(self, x_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        mask_BT = valid_frames(lengths_B, x_BTF.shape[1])
        x_BCFT = (x_BTF * mask_BT[..., None]).transpose(1, 2).unsqueeze(1)
        for convolution in self.convolutions:
            x_BCFT = convolved(cast(nn.Conv2d, convolution), x_BCFT).relu()
            lengths_B = _half(lengths_B)
            mask_BT = valid_frames(lengths_B, x_BCFT.shape[-1])
            x_BCFT = x_BCFT * mask_BT[:, None, None, :]
        x_BTC = x_BCFT.flatten(1, 2).transpose(1, 2)
        return of_valid(self.out, x_BTC, mask_BT).float(), lengths_B

    def lengths(self, lengths_B: Tensor) -> Tensor:
        """Returns the number of output frames for utterances of `lengths_B` feature frames."""
        return _quarter(lengths_B)


def _half(length: N) -> N:
    return (length + 1) // 2


def _quarter(length: N) -> N:
    return _half(_half(length))
