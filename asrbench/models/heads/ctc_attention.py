"""CTC and a Transformer decoder over one encoder, trained jointly.

Watanabe et al. 2017, "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition"; Hori et
al. 2017, arXiv:1706.02737. Legend: B batch, T frames, D width, N hypotheses, U symbols,
V vocabulary with the blank, H attention heads.
"""

from types import MappingProxyType
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from asrbench.experiment.spec_base import Share
from asrbench.experiment.spec_model import HeadSpec
from asrbench.models.heads.ctc import Ctc, ctc_loss
from asrbench.models.heads.head import Decoding, Encoded, Losses, Targets
from asrbench.models.heads.transformer_decoder import TransformerDecoder, TransformerDecoderSpec
from asrbench.models.layers.masking import valid_frames
from asrbench.models.searches.attention import attention_greedy
from asrbench.models.searches.joint import joint_beam
from asrbench.text.tokenizer import BLANK


class CtcAttentionSpec(HeadSpec):
    kind: Literal["ctc_attention"] = "ctc_attention"
    decoder: TransformerDecoderSpec = TransformerDecoderSpec()
    """The Transformer decoder that attends to the encoder."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the target's probability spread over all symbols."""
    ctc_weight: Share = 0.3
    """Weight of CTC in the loss; the decoder's cross-entropy has the rest."""
    selection: Literal["greedy", "attention", "joint"] = "greedy"
    """The search that decodes the development set in training; `eval` uses it by default."""


class CtcAttention(Ctc):
    """A CTC head with a Transformer decoder beside it."""

    reads = MappingProxyType({**Ctc.reads, "joint": ("beam", "ctc_weight")})

    def __init__(self, spec: CtcAttentionSpec, width: int, symbols: int) -> None:
        super().__init__(spec, width, symbols)
        self.decoder = TransformerDecoder(spec.decoder, width, symbols)
        self.ctc_weight, self.label_smoothing = spec.ctc_weight, spec.label_smoothing
        self.selection = spec.selection
        self.searches |= {"attention": self._attention, "joint": self._joint}

    def losses(self, encoded: Encoded, targets: Targets) -> Losses:
        """Returns w * CTC + (1 - w) * cross-entropy as `total`, and both of them."""
        ctc = ctc_loss(self.log_probs(encoded), encoded, targets)
        prefix_BU = F.pad(targets.symbols_BU, (1, 0), value=BLANK)
        log_probs_BUV = self.decoder(encoded.x_BTD, encoded.mask_BT, prefix_BU)
        lengths_B = targets.lengths_B.to(encoded.x_BTD.device, non_blocking=True)
        attention = cross_entropy(
            log_probs_BUV, targets.symbols_BU, lengths_B, self.label_smoothing
        )
        weight = self.ctc_weight
        total = weight * ctc + (1 - weight) * attention
        return {"total": total, "ctc": ctc, "attention": attention}

    def weights(self, encoded: Encoded, symbols: list[int]) -> dict[str, Tensor]:
        prefix_1U = torch.tensor([[BLANK, *symbols]], device=encoded.x_BTD.device)
        layers = self.decoder.weights(encoded.x_BTD, encoded.mask_BT, prefix_1U)
        return {f"decoder.{i}": weights_1HUT[0] for i, weights_1HUT in enumerate(layers)}

    def layers(self) -> dict[str, list[nn.Parameter]]:
        return {**super().layers(), "decoder": list(self.decoder.parameters())}

    def _attention(self, encoded: Encoded, _: Decoding) -> list[list[int]]:
        mask_BT = encoded.mask_BT
        return attention_greedy(
            lambda prefix_BU: self.decoder(encoded.x_BTD, mask_BT, prefix_BU)[:, -1],
            len(encoded.x_BTD),
            encoded.cpu_lengths_B.tolist(),
            encoded.x_BTD.device,
        )

    def _joint(self, encoded: Encoded, decoding: Decoding) -> list[list[int]]:
        log_probs_BTV = self.log_probs(encoded)
        found = []
        for b, length in enumerate(encoded.cpu_lengths_B.tolist()):
            memory_1TD, mask_1T = encoded.utterance(b).x_BTD, encoded.mask_BT[b : b + 1, :length]

            def step(
                prefix_NU: Tensor, memory_1TD: Tensor = memory_1TD, mask_1T: Tensor = mask_1T
            ) -> Tensor:
                n = len(prefix_NU)
                memory_NTD, mask_NT = memory_1TD.expand(n, -1, -1), mask_1T.expand(n, -1)
                log_probs_NUV: Tensor = self.decoder(memory_NTD, mask_NT, prefix_NU)
                return log_probs_NUV[:, -1]

            found.append(
                joint_beam(
                    step,
                    log_probs_BTV[b, :length],
                    beam=decoding.settings.beam,
                    ctc_weight=decoding.settings.ctc_weight,
                    limit=length,
                )
            )
        return found


def cross_entropy(
    log_probs_BUV: Tensor, symbols_BU: Tensor, lengths_B: Tensor, smoothing: float
) -> Tensor:
    """Returns the sum over every symbol and the end of each utterance, in nats.

    `log_probs_BUV` has one step more than `symbols_BU`: the one that predicts the end.
    """
    # Targets are padded with the end symbol already: the first of them is the end.
    following_BU = F.pad(symbols_BU, (0, 1), value=BLANK)
    chosen_BU = log_probs_BUV.gather(-1, following_BU[..., None]).squeeze(-1)
    smooth_BU = (1 - smoothing) * chosen_BU + smoothing * log_probs_BUV.mean(-1)
    mask_BU = valid_frames(lengths_B + 1, following_BU.shape[1])
    return -(smooth_BU * mask_BU).sum()
