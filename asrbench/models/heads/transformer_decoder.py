"""A Transformer decoder that attends to the encoder.

Legend: B batch, T encoder frames, U symbols, D encoder width, E decoder width, V symbols in all,
H heads.
Symbol 0, CTC's blank, is start and end here.
"""

import math
from typing import Annotated, Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, DropoutRate, Impossible, Spec
from asrbench.models.layers.positions import sinusoids


class TransformerDecoderSpec(Spec):
    layers: Annotated[int, Field(ge=1, le=100)] = 2
    """Number of Transformer decoder layers."""
    width: Count = 512
    """Width of the decoder; even, and divisible by `heads`."""
    heads: Count = 8
    """Number of attention heads."""
    feed_forward: Count = 2048
    """Width of each layer's feed-forward part."""
    dropout: DropoutRate = 0.1
    """Share dropped in training."""

    @model_validator(mode="after")
    def _width_splits(self) -> "TransformerDecoderSpec":
        if self.width % 2:
            raise Impossible("width", f"found {self.width}, allowed: an even number")
        if self.width % self.heads:
            raise Impossible(
                "heads", f"found {self.heads}, allowed: a divisor of decoder.width ({self.width})"
            )
        return self


class TransformerDecoder(nn.Module):
    """log p(symbol u | symbols before it, encoder): Vaswani et al. 2017, pre-norm.

    The layers are torch's own. Right padding of the prefixes needs no mask: no symbol sees later
    ones.
    """

    def __init__(self, spec: TransformerDecoderSpec, encoder_width: int, symbols: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, spec.width)
        self.memory = nn.Linear(encoder_width, spec.width)
        self.dropout = nn.Dropout(spec.dropout)
        layer = nn.TransformerDecoderLayer(
            spec.width,
            spec.heads,
            spec.feed_forward,
            spec.dropout,
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerDecoder(layer, spec.layers, norm=nn.LayerNorm(spec.width))
        self.output = nn.Linear(spec.width, symbols)

    def forward(self, memory_BTD: Tensor, mask_BT: Tensor, prefix_BU: Tensor) -> Tensor:
        """Returns log_probs_BUV of the symbol after each prefix, which starts with symbol 0."""
        length, width = prefix_BU.shape[1], self.embedding.embedding_dim
        u = torch.arange(length, device=prefix_BU.device)
        x_BUE = self.embedding(prefix_BU) * math.sqrt(width) + sinusoids(u, width)
        y_BUE = self.layers(
            self.dropout(x_BUE),
            self.memory(memory_BTD),
            tgt_mask=u > u[:, None],
            memory_key_padding_mask=~mask_BT,
        )
        return self.output(y_BUE).float().log_softmax(-1)  # type: ignore[no-any-return]

    def weights(self, memory_BTD: Tensor, mask_BT: Tensor, prefix_BU: Tensor) -> list[Tensor]:
        """Returns the weights_BHUT of each layer that `forward` uses in eval mode."""
        asked: list[tuple[nn.Module, tuple[Any, ...], dict[str, Any]]] = []
        hooks = [
            layer.multihead_attn.register_forward_pre_hook(
                lambda *call: asked.append(call), with_kwargs=True
            )
            for layer in self.layers.layers
        ]
        try:
            self(memory_BTD, mask_BT, prefix_BU)
        finally:
            for hook in hooks:
                hook.remove()
        wanted = {"need_weights": True, "average_attn_weights": False}
        return [attend(*args, **kwargs | wanted)[1] for attend, args, kwargs in asked]
