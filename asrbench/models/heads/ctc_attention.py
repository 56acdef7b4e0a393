"""CTC and an attention decoder over one encoder, trained jointly.

Watanabe et al. 2017, "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition"; Hori et
al. 2017, arXiv:1706.02737. Legend: B batch, T frames, V vocabulary with the blank.
"""

from types import MappingProxyType
from typing import Literal

from torch import Tensor, nn

from asrbench.experiment.spec_base import Share
from asrbench.models.graph_part import GraphPart
from asrbench.models.heads.attention import (
    READS,
    DecoderHeadSpec,
    build_decoder,
    decoder_loss,
    decoder_weights,
    scorer_of,
    searches_of,
)
from asrbench.models.heads.ctc import Ctc, ctc_loss
from asrbench.models.heads.decoder_parts import decoder_parts
from asrbench.models.heads.head import FUSION, Decoding, Encoded, Losses, Targets
from asrbench.models.searches.joint import joint_beam


class CtcAttentionSpec(DecoderHeadSpec):
    kind: Literal["ctc_attention"] = "ctc_attention"
    """CTC and an attention decoder, trained jointly (arXiv:1706.02737)."""
    ctc_weight: Share = 0.3
    """Weight of CTC in the loss; the decoder's cross-entropy has the rest."""
    selection: Literal["greedy", "attention", "attention_beam", "joint"] = "greedy"
    """The search that decodes the development set in training; `eval` uses it by default."""


class CtcAttention(Ctc):
    """A CTC head with an attention decoder beside it."""

    reads = MappingProxyType({**Ctc.reads, **READS, "joint": ("beam", "ctc_weight", *FUSION)})

    def __init__(self, spec: CtcAttentionSpec, width: int, symbols: int) -> None:
        super().__init__(spec, width, symbols)
        self.decoder = build_decoder(spec.decoder, width, symbols)
        self.spec, self.selection = spec, spec.selection
        self.searches |= searches_of(self.decoder, symbols) | {"joint": self._joint}

    def losses(self, encoded: Encoded, targets: Targets) -> Losses:
        """Returns w * CTC + (1 - w) * cross-entropy as `total`, and both of them."""
        ctc = ctc_loss(self.log_probs(encoded), encoded, targets)
        attention = decoder_loss(self.decoder, self.spec, encoded, targets)
        weight = self.spec.ctc_weight
        total = weight * ctc + (1 - weight) * attention
        return {"total": total, "ctc": ctc, "attention": attention}

    def weights(self, encoded: Encoded, symbols: list[int]) -> dict[str, Tensor]:
        return decoder_weights(self.decoder, encoded, symbols)

    def parts(self) -> dict[str, GraphPart]:
        return decoder_parts(self.decoder)

    def layers(self) -> dict[str, list[nn.Parameter]]:
        return {**super().layers(), "decoder": list(self.decoder.parameters())}

    def _joint(self, encoded: Encoded, decoding: Decoding) -> list[list[int]]:
        log_probs_BTV = self.log_probs(encoded)
        batch, _, symbols = log_probs_BTV.shape
        return joint_beam(
            scorer_of(self.decoder, encoded),
            log_probs_BTV,
            encoded.cpu_lengths_B.tolist(),
            beam=decoding.settings.beam,
            ctc_weight=decoding.settings.ctc_weight,
            fusion=decoding.fusion.scorers(batch, symbols, log_probs_BTV.device),
        )
