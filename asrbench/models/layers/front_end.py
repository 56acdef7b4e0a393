"""The convolutions in front of the recurrence, and how they change the number of frames.

Legend: B batch, T frames, F feature bins, C channels, D = C * F of the output.
"""

import math
from typing import Annotated, Any, Literal, TypeVar, cast

import torch.nn.functional as F
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, Spec
from asrbench.models.layers.masking import MaskedBatchNorm, valid_frames

N = TypeVar("N", int, Tensor)

CLIP = 20.0
"""Upper bound of the clipped ReLU min(max(x, 0), 20), Amodei et al. 2015, section 3.1."""


class Ds2FrontEnd(Spec):
    kind: Literal["ds2"] = "ds2"
    """The convolutions of DeepSpeech2 (arXiv:1512.02595)."""
    convolutions: Literal[2, 3] = 2
    """Number of 2-D convolutions over frequency and time."""
    channels: Count = 32
    """Channels of the first two convolutions; the third has three times as many, as the paper."""
    time_stride: Literal[2, 4] = 2
    """Feature frames per frame of the recurrence."""


class VggFrontEnd(Spec):
    """The convolutions of VGG, each followed by DeepSpeech2's batch norm and ReLU clipped at 20.

    Simonyan & Zisserman 2014 and Hori et al. 2017 have neither: they use a plain ReLU.
    """

    kind: Literal["vgg"] = "vgg"
    """The convolutions of VGG, which leave one frame in four."""
    channels: Count = 64
    """Channels of the first two convolutions; the next two have twice as many."""


def _ds2_by_default(section: Any) -> Any:
    return {"kind": "ds2", **section} if isinstance(section, dict) else section


FrontEndSpec = Annotated[
    Annotated[Ds2FrontEnd | VggFrontEnd, Field(discriminator="kind")],
    BeforeValidator(_ds2_by_default),
]


def convolved(conv: nn.Conv2d, x_BCFT: Tensor) -> Tensor:
    """Returns conv(x), whatever the number of bins."""
    above, beside = cast(tuple[int, int], conv.padding)
    if x_BCFT.shape[2] > above:
        return conv(x_BCFT)  # type: ignore[no-any-return]
    # The oneDNN of torch 2.11 crashes where there are fewer bins than rows of padding. It does
    # not if the input is padded beforehand.
    padded = F.pad(x_BCFT, (0, 0, above, above))
    return F.conv2d(padded, conv.weight, conv.bias, conv.stride, (0, beside))


class _ConvLayer(nn.Module):
    """Convolution over (F, T), batch norm over valid frames, clipped ReLU and optional pooling.

    Sets padding frames to zero, the value of the next convolution's own padding. So the output of
    an utterance does not depend on how much longer the other utterances of its batch are.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        pool: int = 1,
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False)
        self.norm = MaskedBatchNorm(channels_out)
        self.clip = nn.Hardtanh(0.0, CLIP)
        # Rounds lengths up, so that an utterance of a single frame keeps one.
        self.shrink = pool
        self.pool = nn.MaxPool2d(pool, ceil_mode=True)

    def forward(self, x_BCFT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        x_BCFT = convolved(self.conv, x_BCFT)
        lengths_B = self._convolved(lengths_B, axis=1)
        mask_BT = valid_frames(lengths_B, x_BCFT.shape[-1])
        x_BCFT = self.clip(self.norm(x_BCFT, mask_BT)) * mask_BT[:, None, None, :]
        if self.shrink == 1:
            return x_BCFT, lengths_B
        # The activations are at least 0, so the zeros of padding never win a maximum from them.
        return self.pool(x_BCFT), self._pooled(lengths_B)

    def lengths(self, lengths_B: Tensor) -> Tensor:
        """Returns the number of output frames for `lengths_B` input frames."""
        return self._pooled(self._convolved(lengths_B, axis=1))

    def bins(self, bins: int) -> int:
        """Returns the number of output feature bins for `bins` input bins."""
        return self._pooled(self._convolved(bins, axis=0))

    def _convolved(self, length: N, axis: int) -> N:
        kernel, stride = self.conv.kernel_size[axis], self.conv.stride[axis]
        return (length + 2 * (kernel // 2) - kernel) // stride + 1

    def _pooled(self, length: N) -> N:
        return (length + self.shrink - 1) // self.shrink


class FrontEnd(nn.Module):
    """Maps x_BTF and lengths_B to x_BTD and the lengths of the output, in output frames."""

    def __init__(self, spec: Ds2FrontEnd | VggFrontEnd, bins: int) -> None:
        super().__init__()
        layers = _ds2(spec) if isinstance(spec, Ds2FrontEnd) else _vgg(spec)
        self.layers = nn.ModuleList(layers)
        for layer in layers:
            bins = layer.bins(bins)
        self.width = bins * layers[-1].conv.out_channels

    def forward(self, x_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        mask_BT = valid_frames(lengths_B, x_BTF.shape[1])
        x_BCFT = (x_BTF * mask_BT[..., None]).transpose(1, 2).unsqueeze(1)
        for layer in self.layers:
            x_BCFT, lengths_B = layer(x_BCFT, lengths_B)
        x_BTD = x_BCFT.flatten(1, 2).transpose(1, 2)
        return x_BTD.contiguous(), lengths_B

    @property
    def stride(self) -> int:
        """The number of feature frames between the centres of neighbouring output frames."""
        return math.prod(layer.conv.stride[1] * layer.shrink for layer in self._layers)

    @property
    def first(self) -> float:
        """The centre of the first output frame, in feature frames counted from 0."""
        middle, step = 0.0, 1
        for layer in self._layers:
            step *= layer.conv.stride[1]
            middle += step * (layer.shrink - 1) / 2
            step *= layer.shrink
        return middle

    @property
    def _layers(self) -> list[_ConvLayer]:
        return [cast(_ConvLayer, layer) for layer in self.layers]

    def lengths(self, lengths_B: Tensor) -> Tensor:
        """Returns the number of output frames for utterances of `lengths_B` feature frames."""
        for layer in self._layers:
            lengths_B = layer.lengths(lengths_B)
        return lengths_B


def _ds2(spec: Ds2FrontEnd) -> list[_ConvLayer]:
    """Returns the convolutions of Amodei et al. 2015: kernels 41x11, 21x11 and 21x11.

    The third has three times as many channels. As in the paper, each has stride 2 in frequency. The
    first has stride 2 in time, and with `time_stride: 4` so has the second.
    """
    c, second = spec.channels, spec.time_stride // 2
    layers = [
        _ConvLayer(1, c, (41, 11), (2, 2)),
        _ConvLayer(c, c, (21, 11), (2, second)),
        _ConvLayer(c, 3 * c, (21, 11), (2, 1)),
    ]
    return layers[: spec.convolutions]


def _vgg(spec: VggFrontEnd) -> list[_ConvLayer]:
    """Returns two pairs of 3x3 convolutions; max pooling halves frequency and time after each pair.

    The source is Simonyan & Zisserman 2014, arXiv:1409.1556, and for speech Hori et al. 2017,
    arXiv:1706.02737. `_ConvLayer` adds the batch norm and the clip of DeepSpeech2.
    """
    c = spec.channels
    return [
        _ConvLayer(1, c, (3, 3), (1, 1)),
        _ConvLayer(c, c, (3, 3), (1, 1), pool=2),
        _ConvLayer(c, 2 * c, (3, 3), (1, 1)),
        _ConvLayer(2 * c, 2 * c, (3, 3), (1, 1), pool=2),
    ]
