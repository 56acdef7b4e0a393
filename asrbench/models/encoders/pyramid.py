"""The listener of Listen, Attend and Spell: recurrent layers that shorten the sequence in between.

Chan et al. 2016, arXiv:1508.01211, section 3.1: a bidirectional LSTM layer, and above it pyramidal
ones, each of which reads two neighbouring outputs of the layer below as one frame (equation 5). An
odd last frame is paired with zeros. The defaults are the sizes of its section 4: one layer and
three pyramidal ones of 256 units a direction, eight feature frames to an output frame. Like the
paper, and unlike `deepspeech2`, the layers have no batch norm and no convolutions in front, unless
a spec asks for them; dropout stands where the paper adds noise to the weights.
Legend: B batch, T frames, F feature bins, D width, N frames that are read as one.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count
from asrbench.experiment.spec_model import EncoderSpec
from asrbench.models.encoders.encoder import Encoder
from asrbench.models.layers.front_end import FrontEnd, FrontEndSpec
from asrbench.models.layers.masking import valid_frames
from asrbench.models.layers.recurrence import RecurrenceSpec, RecurrentLayer


class PyramidRecurrence(RecurrenceSpec):
    cell: Literal["rnn", "gru", "lstm"] = "lstm"
    """Kind of recurrent cell."""
    layers: Annotated[int, Field(ge=1, le=9)] = 4
    """Number of bidirectional layers, the lowest one included, which shortens nothing."""
    width: Count = 256
    """Units in one direction; a layer's output is twice as wide."""
    batch_norm: bool = False
    """Normalise the inputs of each layer by the mean and variance of the batch."""


class PyramidSpec(EncoderSpec):
    kind: Literal["pyramid"] = "pyramid"
    """The listener of LAS: recurrent layers that shorten the sequence (arXiv:1508.01211)."""
    front_end: FrontEndSpec | None = None
    """Convolutions in front of the recurrence; null has none, as the paper."""
    recurrence: PyramidRecurrence = PyramidRecurrence()
    """The bidirectional recurrent layers."""
    reduction: Annotated[int, Field(ge=1, le=4)] = 2
    """Neighbouring frames that each layer but the lowest reads as one."""


class Pyramid(Encoder):
    """A recurrent layer, and layers that each read `reduction` frames of the one below as one."""

    def __init__(self, spec: PyramidSpec, bins: int) -> None:
        super().__init__()
        self.front_end = None if spec.front_end is None else FrontEnd(spec.front_end, bins)
        width_in = bins if self.front_end is None else self.front_end.width
        self.width = 2 * spec.recurrence.width
        above = spec.recurrence.layers - 1
        self.reductions = [1, *[spec.reduction] * above]
        widths_in = [width_in, *[spec.reduction * self.width] * above]
        self.recurrence = nn.ModuleList(RecurrentLayer(spec.recurrence, w) for w in widths_in)

    def forward(self, x_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        if self.front_end is None:
            # A pair may reach beyond the utterance, and padding may hold anything.
            x_BTD = x_BTF * valid_frames(lengths_B, x_BTF.shape[1])[..., None]
        else:
            x_BTD, lengths_B = self.front_end(x_BTF, lengths_B)
        for layer, reduction in zip(self.recurrence, self.reductions, strict=True):
            x_BTD, lengths_B = joined(x_BTD, reduction), shortened(lengths_B, reduction)
            x_BTD = layer(x_BTD, lengths_B)
        return x_BTD, lengths_B

    def lengths(self, lengths_B: Tensor) -> Tensor:
        if self.front_end is not None:
            lengths_B = self.front_end.lengths(lengths_B)
        for reduction in self.reductions:
            lengths_B = shortened(lengths_B, reduction)
        return lengths_B

    @property
    def stride(self) -> int:  # type: ignore[override]
        """The number of feature frames between the centres of neighbouring output frames."""
        return self._step_and_first[0]

    @property
    def first_frame(self) -> float:  # type: ignore[override]
        """The centre of the first output frame, in feature frames counted from 0."""
        return self._step_and_first[1]

    @property
    def stack(self) -> Sequence[nn.Module]:
        """The layers above the last that shortens the sequence, and that one."""
        last = max(i for i, n in enumerate(self.reductions) if n > 1 or i == 0)
        return [*self.recurrence][last:]

    @property
    def _step_and_first(self) -> tuple[int, float]:
        step, first = 1, 0.0
        if self.front_end is not None:
            step, first = self.front_end.stride, self.front_end.first
        for reduction in self.reductions:
            first += step * (reduction - 1) / 2
            step *= reduction
        return step, first


def joined(x_BTD: Tensor, frames: int) -> Tensor:
    """Returns x with each run of `frames` frames side by side as one; zeros fill up the last."""
    batch, length, width = x_BTD.shape
    return F.pad(x_BTD, (0, 0, 0, -length % frames)).view(batch, -1, frames * width)


def shortened(lengths_B: Tensor, frames: int) -> Tensor:
    """Returns the lengths after `joined`: rounded up."""
    return (lengths_B + frames - 1) // frames
