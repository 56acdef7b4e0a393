"""The base of all heads: from an encoder's output to losses and to text.

Legend: B batch, T encoder frames, D width, U symbols, V vocabulary with the blank, H attention
heads.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn

from asrbench.experiment.spec import DecodeSpec
from asrbench.models.alignment import AlignedSpan
from asrbench.models.encoders.encoder import by_module
from asrbench.models.graph_part import GraphPart
from asrbench.models.layers.masking import valid_frames
from asrbench.models.searches.fusion import Fusion
from asrbench.text.ngram_lm import SymbolLm


class Encoded(NamedTuple):
    """The output of an encoder for a batch."""

    x_BTD: Tensor
    lengths_B: Tensor
    """Valid frames of each utterance, on the device of x."""
    cpu_lengths_B: Tensor
    """The same on the CPU, where reading them does not wait for the device."""
    taps: tuple[Tensor, ...] = ()
    """x_BTD after each layer of the encoder that `Head.taps` names, in training only."""

    @property
    def mask_BT(self) -> Tensor:
        """True where a frame belongs to the utterance."""
        return valid_frames(self.lengths_B, self.x_BTD.shape[1])

    def utterance(self, index: int) -> "Encoded":
        """Returns one utterance as a batch of one, without padding."""
        length, at = int(self.cpu_lengths_B[index]), slice(index, index + 1)
        return Encoded(self.x_BTD[at, :length], self.lengths_B[at], self.cpu_lengths_B[at])


class Targets(NamedTuple):
    """The symbols of a batch."""

    symbols_BU: Tensor
    """Indices of the tokenizer on the device of the encoder's output, 0 on padding."""
    lengths_B: Tensor
    """Symbols of each utterance, on the CPU."""


class Ratio(NamedTuple):
    """A share that can be summed over batches."""

    part: int
    whole: int


Losses = dict[str, Tensor]
"""Scalars by name, each a sum over the batch in nats. `total` is what training minimises."""


FUSION = ("lm", "lm_weight", "length_bonus")
"""The keys of `decode` that every beam search reads beside its own."""


class Decoding(NamedTuple):
    """What a search is given beside the encoder's output."""

    settings: DecodeSpec
    lm: SymbolLm | None = None
    """The language model that `settings.lm` names, of the symbols of the tokenizer."""

    @property
    def fusion(self) -> Fusion:
        """What a beam search adds to the scores of the model."""
        return Fusion(self.lm, self.settings.lm_weight, self.settings.length_bonus)


Search = Callable[[Encoded, Decoding], list[list[int]]]
"""Returns the symbols of each utterance, blanks and ends left out."""


class Head(nn.Module):
    """The base of all heads; a subclass is built as `Head(spec, width=D, symbols=V)`."""

    searches: dict[str, Search]
    """The ways to decode, by the name that `asrbench eval --decode` takes."""
    selection: str
    """The search that decodes the development set in training; the default of `eval`."""

    reads: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """The keys of `decode` that a search reads, by its name. Runs are compared if these agree."""

    taps: tuple[int, ...] = ()
    """Layers of the encoder's `stack`, counted from 1, whose outputs the losses read."""

    views: int = 1
    """Versions of each utterance in a batch of training, each with masks of its own.

    A batch then holds all utterances once for each view, one view after the other; losses are means
    over views, so that they stay sums over utterances.
    """

    def losses(self, encoded: Encoded, targets: Targets) -> Losses:
        """Returns the loss as `total`, and its components by name where there are several."""
        raise NotImplementedError

    def frames_needed(self, symbols: list[int]) -> int:
        """Returns the fewest encoder frames with which `symbols` can be trained on."""
        return 1

    def diagnostics(self, encoded: Encoded) -> dict[str, Ratio]:
        """Returns shares for the history of training, measured on the development set."""
        return {}

    def frame_log_probs(self, encoded: Encoded) -> Tensor | None:
        """Returns log_probs_BTV in fp32 for a head that classifies frames as CTC does, or None.

        Where there are some, `asrbench inspect` shows them, with the reference aligned to them.
        """
        return None

    def aligned(self, encoded: Encoded, symbols: list[int]) -> list[AlignedSpan] | None:
        """Returns when each of the symbols is spoken, for a head that aligns them, or None.

        `encoded` holds one utterance, which has the frames needed, and `symbols` is its text.
        """
        return None

    def weights(self, encoded: Encoded, symbols: list[int]) -> dict[str, Tensor]:
        """Returns attention weights_HUT on the encoder, by layer, for one utterance.

        `encoded` holds that utterance alone, `symbols` is its reference.
        """
        return {}

    def parts(self) -> dict[str, GraphPart]:
        """Returns the steps of a search that are exported beside the encoder, by name.

        CTC has none: its log posteriors are part of the encoder's graph.
        """
        return {}

    def layers(self) -> dict[str, list[nn.Parameter]]:
        """Returns the parameters by layer; gradients are reported under these names."""
        return by_module(self)
