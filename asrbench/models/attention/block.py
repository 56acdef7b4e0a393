"""The base of all attention blocks, and the block of the baseline, which returns its input.

A block maps x_BTD with mask_BT (true on valid frames) to x_BTD. What it computes for an utterance
must not depend on the other utterances of the batch, nor on padding. Legend: B batch, T frames
(queries), S frames (keys), H heads, D width.
"""

from typing import ClassVar, Literal

from torch import Tensor, nn

from asrbench.experiment.spec_model import AttentionSpec

FRAMES, HEADS = "frames to frames", "heads to heads"
"""The rows and columns that the weights of a block relate."""


class AttentionBlock(nn.Module):
    """The base of all attention blocks."""

    relates: ClassVar[str | None] = FRAMES
    """The rows and columns of `weights`; None for a block that has no weights to show."""

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Returns x_BTD; frames where `mask_BT` is false may hold anything."""
        raise NotImplementedError

    def weights(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Returns the attention weights_BHTS that `forward` uses in eval mode."""
        raise NotImplementedError


class NoAttention(AttentionSpec):
    kind: Literal["none"] = "none"
    """No attention: the block returns its input."""


class NoAttentionBlock(AttentionBlock):
    """Returns its input: the baseline takes the same path as the variants."""

    relates = None

    def __init__(self, spec: NoAttention, width: int) -> None:
        super().__init__()

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        return x_BTD
