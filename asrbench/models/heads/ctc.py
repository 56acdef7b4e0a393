"""CTC: a linear layer over the encoder's frames, trained over all alignments.

Graves et al. 2006. Two additions to its loss can be asked for:

- Intermediate CTC (Lee and Watanabe 2021, arXiv:2102.03216): the mean CTC loss of layers in
  between, through the same linear layer. They pass a layer norm without parameters, for which the
  paper has the last norm of its encoder.
- CR-CTC (Yao et al. 2024, arXiv:2410.05101): each utterance twice, with masks of its own, and the
  divergence between the posteriors of both. The paper also masks 2.5 times as much time and halves
  the batch, which is left to `augment` and `train.batch_seconds`.

Legend: B batch, T frames, D width, U symbols, V vocabulary with the blank.
"""

import itertools
from types import MappingProxyType
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, Positive, Share, Spec
from asrbench.experiment.spec_model import HeadSpec
from asrbench.models.alignment import AlignedSpan, ctc_aligned
from asrbench.models.heads.head import FUSION, Decoding, Encoded, Head, Losses, Ratio, Targets
from asrbench.models.searches.ctc_greedy import ctc_greedy
from asrbench.models.searches.prefix_beam import prefix_beam
from asrbench.text.tokenizer import BLANK


class IntermediateSpec(Spec):
    layers: Annotated[tuple[Count, ...], Field(min_length=1)]
    """Layers of the encoder's stack, counted from 1, that predict the text, too."""
    weight: Share = 0.3
    """Weight of their mean CTC loss; that of the last layer has the rest."""


class ConsistencySpec(Spec):
    weight: Positive = 0.2
    """Weight of the divergence between the posteriors of two views, in nats."""


class CtcSpec(HeadSpec):
    kind: Literal["ctc"] = "ctc"
    """A linear layer over the frames, trained by CTC (Graves et al. 2006)."""
    intermediate: IntermediateSpec | None = None
    """CTC losses of layers in between."""
    consistency: ConsistencySpec | None = None
    """Two views of each utterance, masked differently, that should agree; doubles the batch."""


class Ctc(Head):
    """Log posteriors of every frame, their CTC loss, and the most probable path."""

    selection = "greedy"
    reads = MappingProxyType({"beam": ("beam", *FUSION)})

    def __init__(self, spec: HeadSpec, width: int, symbols: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, symbols)
        options = spec if isinstance(spec, CtcSpec) else CtcSpec()
        self.intermediate, self.consistency = options.intermediate, options.consistency
        self.taps = () if self.intermediate is None else self.intermediate.layers
        self.views = 1 if self.consistency is None else 2
        self.searches = {
            "greedy": lambda encoded, _: ctc_greedy(self.log_probs(encoded), encoded.lengths_B),
            "beam": self._beam,
        }

    def log_probs(self, encoded: Encoded) -> Tensor:
        """Returns log_probs_BTV, in fp32 whatever precision the encoder ran in."""
        # CTC reads time-major tensors, and transposing a tensor this wide is slow.
        logits_TBV = self.output(encoded.x_BTD.transpose(0, 1)).float()
        return logits_TBV.log_softmax(-1).transpose(0, 1)  # type: ignore[no-any-return]

    def losses(self, encoded: Encoded, targets: Targets) -> Losses:
        """Returns the CTC loss, with what is added to it in training by name."""
        log_probs_BTV = self.log_probs(encoded)
        losses = {"total": ctc_loss(log_probs_BTV, encoded, targets)}
        if not self.training or not (self.intermediate or self.consistency):
            return losses
        losses["ctc"] = losses["total"] = losses["total"] / self.views
        if self.intermediate is not None:
            weight, parts = self.intermediate.weight, self._of_taps(encoded, targets)
            losses["intermediate"] = parts.mean() / self.views
            losses["total"] = (1 - weight) * losses["ctc"] + weight * losses["intermediate"]
        if self.consistency is not None:
            losses["consistency"] = divergence(log_probs_BTV, encoded.mask_BT)
            losses["total"] = losses["total"] + self.consistency.weight * losses["consistency"]
        return losses

    def _of_taps(self, encoded: Encoded, targets: Targets) -> Tensor:
        """Returns the CTC loss of each tapped layer."""
        layers = (F.layer_norm(tap_BTD, tap_BTD.shape[-1:]) for tap_BTD in encoded.taps)
        return torch.stack(
            [
                ctc_loss(self.log_probs(encoded._replace(x_BTD=x_BTD)), encoded, targets)
                for x_BTD in layers
            ]
        )

    def frames_needed(self, symbols: list[int]) -> int:
        """Returns the fewest frames that can spell `symbols`: repeats need a blank between them."""
        return len(symbols) + sum(a == b for a, b in itertools.pairwise(symbols))

    def diagnostics(self, encoded: Encoded) -> dict[str, Ratio]:
        """Returns the share of frames whose most probable symbol is the blank."""
        blank_BT = self.log_probs(encoded).argmax(-1) == BLANK
        frames = int(encoded.cpu_lengths_B.sum())
        return {"blank_fraction": Ratio(int((blank_BT & encoded.mask_BT).sum()), frames)}

    def _beam(self, encoded: Encoded, decoding: Decoding) -> list[list[int]]:
        return prefix_beam(
            self.log_probs(encoded),
            encoded.cpu_lengths_B.tolist(),
            beam=decoding.settings.beam,
            fusion=decoding.fusion,
        )

    def frame_log_probs(self, encoded: Encoded) -> Tensor:
        return self.log_probs(encoded)

    def aligned(self, encoded: Encoded, symbols: list[int]) -> list[AlignedSpan]:
        return ctc_aligned(self.log_probs(encoded)[0], symbols)

    def layers(self) -> dict[str, list[nn.Parameter]]:
        return {"head": list(self.output.parameters())}


def divergence(log_probs_BTV: Tensor, mask_BT: Tensor) -> Tensor:
    """Returns the divergence between the posteriors of two views, summed over frames, in nats.

    The batch holds all utterances in one view, then all in the other. It is the mean of both
    Kullback-Leibler divergences; each view is drawn to the other's posteriors, which have no
    gradient there.
    """
    one_BTV, other_BTV = log_probs_BTV.chunk(2)
    both_BTV = [
        F.kl_div(drawn_BTV, to_BTV.detach(), reduction="none", log_target=True)
        for drawn_BTV, to_BTV in ((one_BTV, other_BTV), (other_BTV, one_BTV))
    ]
    frames_BT = torch.stack(both_BTV).sum(-1).mean(0)
    return torch.where(mask_BT.chunk(2)[0], frames_BT, 0).sum()


def ctc_loss(log_probs_BTV: Tensor, encoded: Encoded, targets: Targets) -> Tensor:
    """Returns the CTC loss summed over the batch, in nats. Every target must be alignable."""
    device, symbols_BU = log_probs_BTV.device, targets.symbols_BU
    if torch.are_deterministic_algorithms_enabled():
        # torch has no deterministic gradient of CTC on CUDA; on the CPU it always is.
        log_probs_BTV, symbols_BU = log_probs_BTV.cpu(), symbols_BU.cpu()
    total = F.ctc_loss(
        log_probs_BTV.transpose(0, 1),
        symbols_BU,
        encoded.cpu_lengths_B,
        targets.lengths_B,
        blank=BLANK,
        reduction="sum",
    )
    return total.to(device)
