"""Convolutions in front of the recurrence; the home of their length arithmetic.

Legend: B batch, T frames, F feature bins, C channels, D = C * F of the output.
"""

import math
from typing import TypeVar, cast

import torch.nn.functional as F
from torch import Tensor, nn

from asrbench.experiment.spec import Ds2FrontEnd, FrontEndSpec, VggFrontEnd
from asrbench.models.layers.masking import MaskedBatchNorm, valid_frames

N = TypeVar("N", int, Tensor)

CLIP = 20.0
"""Upper bound of the clipped ReLU min(max(x, 0), 20), Amodei et al. 2015, section 3.1."""


class _ConvLayer(nn.Module):
    """Convolution over (F, T), batch norm over valid frames, clipped ReLU, perhaps pooling.

    Padding frames leave as zeros, which is what the next convolution's own padding holds: an
    utterance sees the same numbers whether it ends the tensor or a longer mate does.
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
        # Rounding up keeps an utterance of a single frame alive.
        self.shrink = pool
        self.pool = nn.MaxPool2d(pool, ceil_mode=True)

    def forward(self, x_BCFT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        x_BCFT = self._convolve(x_BCFT)
        lengths_B = self._convolved(lengths_B, axis=1)
        mask_BT = valid_frames(lengths_B, x_BCFT.shape[-1])
        x_BCFT = self.clip(self.norm(x_BCFT, mask_BT)) * mask_BT[:, None, None, :]
        if self.shrink == 1:
            return x_BCFT, lengths_B
        # What is clipped at 0 cannot lose a maximum to the zeros of padding.
        return self.pool(x_BCFT), self._pooled(lengths_B)

    def _convolve(self, x_BCFT: Tensor) -> Tensor:
        above, beside = cast(tuple[int, int], self.conv.padding)
        if x_BCFT.shape[2] > above:
            return self.conv(x_BCFT)  # type: ignore[no-any-return]
        # oneDNN, as torch 2.11 has it, crashes on fewer bins than rows of padding; with the
        # padding made by hand it does not.
        padded = F.pad(x_BCFT, (0, 0, above, above))
        return F.conv2d(padded, self.conv.weight, None, self.conv.stride, (0, beside))

    def lengths(self, lengths_B: Tensor) -> Tensor:
        """Frames that leave when `lengths_B` frames enter."""
        return self._pooled(self._convolved(lengths_B, axis=1))

    def bins(self, bins: int) -> int:
        """Feature bins that leave when `bins` enter."""
        return self._pooled(self._convolved(bins, axis=0))

    def _convolved(self, length: N, axis: int) -> N:
        kernel, stride = self.conv.kernel_size[axis], self.conv.stride[axis]
        return (length + 2 * (kernel // 2) - kernel) // stride + 1

    def _pooled(self, length: N) -> N:
        return (length + self.shrink - 1) // self.shrink


class FrontEnd(nn.Module):
    """x_BTF with lengths_B to x_BTD with the lengths that are left."""

    def __init__(self, spec: FrontEndSpec, bins: int) -> None:
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
        """Feature frames from the middle of one output frame to that of the next."""
        return math.prod(layer.conv.stride[1] * layer.shrink for layer in self._layers)

    @property
    def first(self) -> float:
        """Where among the feature frames, counted from 0, the first output frame has its middle."""
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
        """Output frames of utterances of `lengths_B` feature frames; no features needed."""
        for layer in self._layers:
            lengths_B = layer.lengths(lengths_B)
        return lengths_B


def _ds2(spec: Ds2FrontEnd) -> list[_ConvLayer]:
    """Amodei et al. 2015: kernels 41x11, 21x11 and 21x11, the third three times as wide.

    The paper strides by 2 in frequency at each; time by 2 at the first and, for `time_stride: 4`,
    at the second.
    """
    c, second = spec.channels, spec.time_stride // 2
    layers = [
        _ConvLayer(1, c, (41, 11), (2, 2)),
        _ConvLayer(c, c, (21, 11), (2, second)),
        _ConvLayer(c, 3 * c, (21, 11), (2, 1)),
    ]
    return layers[: spec.convolutions]


def _vgg(spec: VggFrontEnd) -> list[_ConvLayer]:
    """Two pairs of 3x3 convolutions, each pair halved in frequency and time by max pooling.

    Simonyan & Zisserman 2014, arXiv:1409.1556; for speech Hori et al. 2017, arXiv:1706.02737.
    """
    c = spec.channels
    return [
        _ConvLayer(1, c, (3, 3), (1, 1)),
        _ConvLayer(c, c, (3, 3), (1, 1), pool=2),
        _ConvLayer(c, 2 * c, (3, 3), (1, 1)),
        _ConvLayer(2 * c, 2 * c, (3, 3), (1, 1), pool=2),
    ]
