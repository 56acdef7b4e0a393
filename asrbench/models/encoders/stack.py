"""What the encoders share whose layers are equal and stand at one width and one frame rate.

Legend: B batch, T frames, D width.
"""

from collections.abc import Callable, Sequence

from pydantic import model_validator
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, DropoutRate, Layers
from asrbench.experiment.spec_model import ATTENTION, Attention, EncoderSpec
from asrbench.models.attention.self_attention import SelfAttention
from asrbench.models.encoders.encoder import Encoder
from asrbench.models.layers.feed_forward import FeedForward


class StackSpec(EncoderSpec):
    """The base of the spec classes; `attention` need not have heads x head_dim = width."""

    layers: Layers = 12
    """Number of layers."""
    width: Count = 256
    """Width of every layer's input and output."""
    feed_forward: Count = 2048
    """Width within each feed-forward block."""
    dropout: DropoutRate = 0.1
    """Share dropped in training, of the stack's input and in each block but attention."""
    attention: Attention = SelfAttention(heads=4)
    """The attention block of each layer; `model.name` fixes its kind."""

    @model_validator(mode="after")
    def _attention_fits(self) -> "StackSpec":
        self.check_attention(self.attention, self.width, "encoder.width")
        return self


class StackEncoder(Encoder):
    """The base of the encoders; a subclass sets `blocks`, each a map of x_BTD and mask_BT to x_BTD.

    Padding frames hold anything between layers, so that no block may read them.
    """

    blocks: nn.ModuleList

    def through_blocks(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Returns the output of the last layer."""
        for block in self.blocks:
            x_BTD = block(x_BTD, mask_BT)
        return x_BTD

    @property
    def stack(self) -> Sequence[nn.Module]:
        return [*self.blocks]


class TransformerLayer(nn.Module):
    """An attention block and a feed-forward block, each of which adds to its input."""

    def __init__(self, spec: StackSpec, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.attention = ATTENTION.build(spec.attention, width=spec.width)
        self.feed_forward = FeedForward(spec.width, spec.feed_forward, spec.dropout, activation)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        x_BTD = self.attention(x_BTD, mask_BT)
        return self.feed_forward(x_BTD, mask_BT)  # type: ignore[no-any-return]
