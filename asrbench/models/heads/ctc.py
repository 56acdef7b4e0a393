"""CTC: a linear layer over the encoder's frames, trained over all alignments.

Graves et al. 2006. Legend: B batch, T frames, D width, U symbols, V vocabulary with the blank.
"""

import itertools
from types import MappingProxyType
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrbench.experiment.spec_model import HeadSpec
from asrbench.models.alignment import AlignedSpan, ctc_aligned
from asrbench.models.heads.head import FUSION, Decoding, Encoded, Head, Losses, Ratio, Targets
from asrbench.models.searches.ctc_greedy import ctc_greedy
from asrbench.models.searches.prefix_beam import Fusion, prefix_beam
from asrbench.text.tokenizer import BLANK


class CtcSpec(HeadSpec):
    kind: Literal["ctc"] = "ctc"


class Ctc(Head):
    """Log posteriors of every frame, their CTC loss, and the most probable path."""

    selection = "greedy"
    reads = MappingProxyType({"beam": ("beam", *FUSION)})

    def __init__(self, spec: HeadSpec, width: int, symbols: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, symbols)
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
        return {"total": ctc_loss(self.log_probs(encoded), encoded, targets)}

    def frames_needed(self, symbols: list[int]) -> int:
        """Returns the fewest frames that can spell `symbols`: repeats need a blank between them."""
        return len(symbols) + sum(a == b for a, b in itertools.pairwise(symbols))

    def diagnostics(self, encoded: Encoded) -> dict[str, Ratio]:
        """Returns the share of frames whose most probable symbol is the blank."""
        blank_BT = self.log_probs(encoded).argmax(-1) == BLANK
        frames = int(encoded.cpu_lengths_B.sum())
        return {"blank_fraction": Ratio(int((blank_BT & encoded.mask_BT).sum()), frames)}

    def _beam(self, encoded: Encoded, decoding: Decoding) -> list[list[int]]:
        settings = decoding.settings
        return prefix_beam(
            self.log_probs(encoded),
            encoded.cpu_lengths_B.tolist(),
            beam=settings.beam,
            fusion=Fusion(decoding.lm, settings.lm_weight, settings.length_bonus),
        )

    def frame_log_probs(self, encoded: Encoded) -> Tensor:
        return self.log_probs(encoded)

    def aligned(self, encoded: Encoded, symbols: list[int]) -> list[AlignedSpan]:
        return ctc_aligned(self.log_probs(encoded)[0], symbols)

    def layers(self) -> dict[str, list[nn.Parameter]]:
        return {"head": list(self.output.parameters())}


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
