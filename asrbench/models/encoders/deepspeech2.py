"""DeepSpeech2 with one slot for an attention block after each recurrent layer.

Amodei et al. 2015, arXiv:1512.02595. Legend: B batch, T frames, F feature bins, D width,
V symbols (0 is the blank), U symbols of a prefix.
"""

import torch
from torch import Tensor, nn

from asrbench.base.seeding import key
from asrbench.experiment.spec import CrossAttentionDecoder, ModelSpec
from asrbench.models.layers.attention import attention_block
from asrbench.models.layers.decoder import CrossAttention
from asrbench.models.layers.front_end import FrontEnd
from asrbench.models.layers.masking import valid_frames
from asrbench.models.layers.recurrence import RecurrentLayer


class DeepSpeech2(nn.Module):
    """Convolutions, recurrent layers each with its attention block, layer norm, linear, CTC.

    Parameters are drawn from a generator keyed by (seed, parameter name): what two variants share
    is bit-equal between them. Without a seed they stay as torch makes them.
    """

    def __init__(self, spec: ModelSpec, *, bins: int, symbols: int, seed: int | None) -> None:
        super().__init__()
        self.front_end = FrontEnd(spec.front_end, bins)
        width = 2 * spec.recurrence.width
        widths_in = [self.front_end.width, *[width] * (spec.recurrence.layers - 1)]
        self.recurrence = nn.ModuleList(RecurrentLayer(spec.recurrence, w) for w in widths_in)
        self.attention = nn.ModuleList(attention_block(spec.attention, width) for _ in widths_in)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, symbols)
        self.decoder = (
            CrossAttention(spec.decoder, width, symbols)
            if isinstance(spec.decoder, CrossAttentionDecoder)
            else None
        )
        if seed is not None:
            initialise(self, seed)

    def encode(self, x_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """Features to encoder_BTD and the lengths that are left; what lies beyond is undefined."""
        x_BTD, lengths_B = self.front_end(x_BTF, lengths_B)
        mask_BT = valid_frames(lengths_B, x_BTD.shape[1])
        for layer, block in zip(self.recurrence, self.attention, strict=True):
            x_BTD = block(layer(x_BTD, lengths_B), mask_BT)
        return self.norm(x_BTD), lengths_B

    def ctc(self, encoder_BTD: Tensor) -> Tensor:
        """log_probs_BTV of CTC, in fp32 whatever the encoder ran in."""
        # They lie in memory as CTC takes them, time first: so wide a tensor is dear to turn.
        logits_TBV = self.head(encoder_BTD.transpose(0, 1)).float()
        return logits_TBV.log_softmax(-1).transpose(0, 1)  # type: ignore[no-any-return]

    def forward(self, x_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        encoder_BTD, lengths_B = self.encode(x_BTF, lengths_B)
        return self.ctc(encoder_BTD), lengths_B

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Frames of log_probs for utterances of `lengths_B` feature frames."""
        return self.front_end.lengths(lengths_B)

    @property
    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


@torch.no_grad()
def initialise(model: nn.Module, seed: int) -> None:
    """Matrices and kernels uniform within 1 / sqrt(fan-in), biases zero; other vectors (norms,
    temporal rates) keep the constants their modules gave them."""
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            generator = torch.Generator().manual_seed(key(seed, "weight", name))
            bound = (parameter.shape[0] / parameter.numel()) ** 0.5
            parameter.copy_(
                torch.empty_like(parameter).uniform_(-bound, bound, generator=generator)
            )
        elif "bias" in name.rpartition(".")[2]:
            parameter.zero_()
