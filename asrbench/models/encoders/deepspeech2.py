"""DeepSpeech2's encoder, with one slot for an attention block after each recurrent layer.

Amodei et al. 2015, arXiv:1512.02595. Legend: B batch, T frames, F feature bins, D width.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import model_validator
from torch import Tensor, nn

from asrbench.experiment.spec_model import ATTENTION, Attention, EncoderSpec
from asrbench.models.attention.block import NoAttention
from asrbench.models.encoders.encoder import Encoder
from asrbench.models.layers.front_end import Ds2FrontEnd, FrontEnd, FrontEndSpec
from asrbench.models.layers.masking import valid_frames
from asrbench.models.layers.recurrence import RecurrenceSpec, RecurrentLayer


class DeepSpeech2Spec(EncoderSpec):
    kind: Literal["deepspeech2"] = "deepspeech2"
    """Convolutions, then bidirectional recurrent layers (arXiv:1512.02595)."""
    front_end: FrontEndSpec = Ds2FrontEnd()
    """Convolutions in front of the recurrence."""
    recurrence: RecurrenceSpec = RecurrenceSpec()
    """The bidirectional recurrent layers."""
    attention: Attention = NoAttention()
    """The block after each recurrent layer; `model.name` fixes its kind."""

    @model_validator(mode="after")
    def _attention_fits(self) -> "DeepSpeech2Spec":
        self.check_attention(self.attention, 2 * self.recurrence.width, "2 x recurrence.width")
        return self


class DeepSpeech2(Encoder):
    """Convolutions, bidirectional recurrent layers each with its attention block, layer norm."""

    def __init__(self, spec: DeepSpeech2Spec, bins: int) -> None:
        super().__init__()
        self.front_end = FrontEnd(spec.front_end, bins)
        self.width = 2 * spec.recurrence.width
        widths_in = [self.front_end.width, *[self.width] * (spec.recurrence.layers - 1)]
        self.recurrence = nn.ModuleList(RecurrentLayer(spec.recurrence, w) for w in widths_in)
        self.attention = nn.ModuleList(
            ATTENTION.build(spec.attention, width=self.width) for _ in widths_in
        )
        self.norm = nn.LayerNorm(self.width)
        self.stride, self.first_frame = self.front_end.stride, self.front_end.first

    def forward(self, x_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        x_BTD, lengths_B = self.front_end(x_BTF, lengths_B)
        mask_BT = valid_frames(lengths_B, x_BTD.shape[1])
        for layer, block in zip(self.recurrence, self.attention, strict=True):
            x_BTD = block(layer(x_BTD, lengths_B), mask_BT)
        return self.norm(x_BTD), lengths_B

    @property
    def stack(self) -> Sequence[nn.Module]:
        return [*self.attention]

    def lengths(self, lengths_B: Tensor) -> Tensor:
        return self.front_end.lengths(lengths_B)
