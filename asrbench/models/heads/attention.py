"""An attention decoder over the encoder, trained to predict each symbol from those before it.

The losses, weights and searches of a decoder, whatever its kind, and the head that has nothing
else. Legend: B batch, T frames, D width, U symbols, V vocabulary with the blank, H attention heads.
"""

from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from asrbench.experiment.spec_base import Share
from asrbench.experiment.spec_model import HeadSpec
from asrbench.models.graph_part import GraphPart
from asrbench.models.heads.decoder import Decoder
from asrbench.models.heads.decoder_parts import decoder_parts
from asrbench.models.heads.head import FUSION, Decoding, Encoded, Head, Losses, Search, Targets
from asrbench.models.heads.lstm_decoder import LstmDecoder, LstmDecoderSpec
from asrbench.models.heads.transformer_decoder import TransformerDecoder, TransformerDecoderSpec
from asrbench.models.layers.masking import valid_frames
from asrbench.models.searches.attention import attention_beam, attention_greedy
from asrbench.models.searches.beam import Ranking
from asrbench.models.searches.state import Scorer
from asrbench.text.tokenizer import BLANK


def _transformer_by_default(section: Any) -> Any:
    return {"kind": "transformer", **section} if isinstance(section, dict) else section


AnyDecoderSpec = Annotated[
    Annotated[TransformerDecoderSpec | LstmDecoderSpec, Field(discriminator="kind")],
    BeforeValidator(_transformer_by_default),
]


class DecoderHeadSpec(HeadSpec):
    """The base of the spec classes of heads with an attention decoder."""

    decoder: AnyDecoderSpec = TransformerDecoderSpec()
    """The decoder that attends to the encoder."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the target's probability spread over all symbols."""
    scheduled_sampling: Share = 0.0
    """Share of symbols that the decoder reads in training as it predicts them, not as they are."""


class AttentionHeadSpec(DecoderHeadSpec):
    kind: Literal["attention"] = "attention"
    """An attention decoder, trained to predict each symbol from those before it."""
    selection: Literal["attention", "attention_beam"] = "attention"
    """The search that decodes the development set in training; `eval` uses it by default."""


READS = MappingProxyType(
    {"attention_beam": ("beam", "length_exponent", "coverage", "repeats", *FUSION)}
)
"""The keys of `decode` that each search of a decoder reads."""


class AttentionHead(Head):
    """Cross-entropy of a decoder, with greedy and beam search."""

    reads = READS

    def __init__(self, spec: AttentionHeadSpec, width: int, symbols: int) -> None:
        super().__init__()
        self.decoder = build_decoder(spec.decoder, width, symbols)
        self.spec, self.selection = spec, spec.selection
        self.searches = searches_of(self.decoder, symbols)

    def losses(self, encoded: Encoded, targets: Targets) -> Losses:
        return {"total": decoder_loss(self.decoder, self.spec, encoded, targets)}

    def weights(self, encoded: Encoded, symbols: list[int]) -> dict[str, Tensor]:
        return decoder_weights(self.decoder, encoded, symbols)

    def parts(self) -> dict[str, GraphPart]:
        return decoder_parts(self.decoder)

    def layers(self) -> dict[str, list[nn.Parameter]]:
        return {"decoder": list(self.decoder.parameters())}


def build_decoder(
    spec: TransformerDecoderSpec | LstmDecoderSpec, width: int, symbols: int
) -> Decoder:
    """Returns the decoder of an encoder of that width."""
    if isinstance(spec, LstmDecoderSpec):
        return LstmDecoder(spec, width, symbols)
    return TransformerDecoder(spec, width, symbols)


def decoder_loss(
    decoder: Decoder, spec: DecoderHeadSpec, encoded: Encoded, targets: Targets
) -> Tensor:
    """Returns the cross-entropy of the batch with label smoothing and scheduled sampling."""
    prefix_BU = F.pad(targets.symbols_BU, (1, 0), value=BLANK)
    inputs = (encoded.x_BTD, encoded.mask_BT, prefix_BU)
    if decoder.training and spec.scheduled_sampling:
        log_probs_BUV = decoder.sampled(*inputs, spec.scheduled_sampling)
    else:
        log_probs_BUV = decoder(*inputs)
    lengths_B = targets.lengths_B.to(encoded.x_BTD.device, non_blocking=True)
    return cross_entropy(log_probs_BUV, targets.symbols_BU, lengths_B, spec.label_smoothing)


def decoder_weights(decoder: Decoder, encoded: Encoded, symbols: list[int]) -> dict[str, Tensor]:
    """Returns the weights_HUT of each layer for one utterance and its reference."""
    prefix_1U = torch.tensor([[BLANK, *symbols]], device=encoded.x_BTD.device)
    layers = decoder.weights(encoded.x_BTD, encoded.mask_BT, prefix_1U)
    return {f"decoder.{i}": weights_1HUT[0] for i, weights_1HUT in enumerate(layers)}


def searches_of(decoder: Decoder, symbols: int) -> dict[str, Search]:
    """Returns the searches that need a decoder alone: greedy and beam search."""
    return {
        "attention": partial(_greedy, decoder),
        "attention_beam": partial(_beam, decoder, symbols),
    }


def scorer_of(decoder: Decoder, encoded: Encoded, *, covered: bool = False) -> Scorer:
    """Returns the decoder as a scorer of the symbols of these utterances."""
    return Scorer(decoder.step, decoder.start(encoded.x_BTD, encoded.mask_BT, covered=covered))


def _greedy(decoder: Decoder, encoded: Encoded, _: Decoding) -> list[list[int]]:
    limits = encoded.cpu_lengths_B.tolist()
    return attention_greedy(scorer_of(decoder, encoded), limits, encoded.x_BTD.device)


def _beam(decoder: Decoder, symbols: int, encoded: Encoded, decoding: Decoding) -> list[list[int]]:
    settings, device = decoding.settings, encoded.x_BTD.device
    limits = encoded.cpu_lengths_B.tolist()
    return attention_beam(
        scorer_of(decoder, encoded, covered=settings.coverage > 0),
        limits,
        symbols,
        device,
        beam=settings.beam,
        ranking=Ranking(settings.length_exponent, settings.coverage),
        repeats=settings.repeats,
        fusion=decoding.fusion.scorers(len(limits), symbols, device),
    )


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
