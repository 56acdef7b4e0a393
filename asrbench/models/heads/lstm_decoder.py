"""The LSTM speller of Listen, Attend and Spell, with a choice of attention mechanisms.

Chan et al. 2016, arXiv:1508.01211, section 3.2:

    s_u = LSTM(s_{u-1}, y_{u-1}, c_{u-1})
    c_u = attention(s_u, h)
    p(y_u) = softmax(MLP(s_u, c_u))

The MLP is one layer with tanh, the attentional vector of Luong et al. 2015, arXiv:1508.04025,
equation 5. The state that attends is that of the last LSTM layer; the context enters the first.

Legend: B batch, W hypotheses of an utterance, T encoder frames, U symbols, D encoder width,
E decoder width, C context width, V symbols in all, H attention heads, L layers.
Symbol 0, CTC's blank, is start and end here.
"""

from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, DropoutRate, Impossible, Layers, Spec
from asrbench.models.heads.decoder import Decoder, draw, replaced, uncovered
from asrbench.models.heads.mechanisms import (
    AdditiveMechanism,
    DotMechanism,
    LocationMechanism,
    Mechanism,
    MultiHeadMechanism,
)
from asrbench.models.layers.dropout import Dropout
from asrbench.models.searches.state import State


class LstmDecoderSpec(Spec):
    kind: Literal["lstm"] = "lstm"
    """The LSTM decoder of Listen, Attend and Spell (arXiv:1508.01211)."""
    mechanism: Literal["dot", "additive", "location", "multihead"] = "location"
    """How a frame of the encoder is scored: Luong, Bahdanau, Chorowski, Vaswani."""
    layers: Layers = 2
    """Number of LSTM layers."""
    width: Count = 512
    """Width of the embeddings, of the LSTM layers and of the layer before the output."""
    attention_width: Count = 256
    """Width in which queries and keys meet."""
    heads: Count = 4
    """Number of attention heads, for `multihead`; a divisor of `attention_width`."""
    location_channels: Count = 10
    """Number of filters over the previous weights, for `location`."""
    location_kernel: Count = 201
    """Frames that such a filter covers; odd."""
    dropout: DropoutRate = 0.1
    """Share dropped of embeddings, LSTM outputs and the layer before the output in training."""

    @model_validator(mode="after")
    def _fits(self) -> "LstmDecoderSpec":
        if self.location_kernel % 2 == 0:
            found = f"found {self.location_kernel}, allowed: an odd number"
            raise Impossible("location_kernel", found)
        if self.mechanism == "multihead" and self.attention_width % self.heads:
            raise Impossible(
                "heads",
                f"found {self.heads}, allowed: a divisor of decoder.attention_width "
                f"({self.attention_width})",
            )
        return self


class LstmDecoder(Decoder):
    """log p(symbol u | symbols before it, encoder), one symbol after the other."""

    def __init__(self, spec: LstmDecoderSpec, encoder_width: int, symbols: int) -> None:
        super().__init__()
        self.width, self.memory_width = spec.width, encoder_width
        self.embedding = nn.Embedding(symbols, spec.width)
        self.attention = _mechanism(spec, encoder_width)
        first = spec.width + self.attention.context
        self.cells = nn.ModuleList(
            nn.LSTMCell(spec.width if layer else first, spec.width) for layer in range(spec.layers)
        )
        self.mix = nn.Linear(spec.width + self.attention.context, spec.width)
        self.dropout = Dropout(spec.dropout)
        self.output = nn.Linear(spec.width, symbols)

    def forward(self, memory_BTD: Tensor, mask_BT: Tensor, prefix_BU: Tensor) -> Tensor:
        return self.sampled(memory_BTD, mask_BT, prefix_BU, 0.0)

    def sampled(
        self, memory_BTD: Tensor, mask_BT: Tensor, prefix_BU: Tensor, rate: float
    ) -> Tensor:
        """Returns log_probs_BUV with scheduled sampling, as the base, symbol by symbol.

        As in the paper, a symbol is drawn from what the decoder predicts after the symbols that
        have been replaced before it.
        """
        state = self.start(memory_BTD, mask_BT)
        replaced_UB = replaced(prefix_BU, rate).T if rate else None
        y_UB1E: list[Tensor] = []
        for u, symbols_B in enumerate(prefix_BU.T):
            if replaced_UB is not None and u:
                with torch.no_grad():
                    drawn_B = draw(self._log_probs(y_UB1E[-1][:, 0]))
                symbols_B = torch.where(replaced_UB[u], drawn_B, symbols_B)
            y_B1E, state = self._read(state, symbols_B[:, None])
            y_UB1E.append(y_B1E)
        return self._log_probs(torch.cat(y_UB1E, dim=1))

    def start(self, memory_BTD: Tensor, mask_BT: Tensor, *, covered: bool = False) -> State:
        def zeros(*shape: int) -> Tensor:
            return memory_BTD.new_zeros(len(memory_BTD), 1, *shape, dtype=torch.float32)

        own = {f"hidden.{layer}": zeros(self.width) for layer in range(len(self.cells))}
        own |= {f"cell.{layer}": zeros(self.width) for layer in range(len(self.cells))}
        own["context"] = zeros(self.attention.context)
        own["weights"] = zeros(self.attention.heads, memory_BTD.shape[1])
        if covered:
            own["covered"] = uncovered(mask_BT)
        return State(self.attention.keys(memory_BTD, mask_BT), own)

    def step(self, state: State, symbols_BW: Tensor) -> tuple[Tensor, State]:
        y_BWE, state = self._read(state, symbols_BW)
        return self._log_probs(y_BWE), state

    def weights(self, memory_BTD: Tensor, mask_BT: Tensor, prefix_BU: Tensor) -> list[Tensor]:
        state, weights_UBHT = self.start(memory_BTD, mask_BT), []
        for symbols_B in prefix_BU.T:
            _, state = self._read(state, symbols_B[:, None])
            weights_UBHT.append(state.own["weights"][:, 0])
        return [torch.stack(weights_UBHT, dim=2)]

    def _read(self, state: State, symbols_BW: Tensor) -> tuple[Tensor, State]:
        """Returns the vector_BWE that predicts the symbol after `symbols_BW`, and the new state."""
        own, shape = dict(state.own), symbols_BW.shape
        x_BWE = self.dropout(self.embedding(symbols_BW))
        x_NE = torch.cat([x_BWE, own["context"]], dim=-1).flatten(0, 1)
        for layer, cell in enumerate(self.cells):
            names = (f"hidden.{layer}", f"cell.{layer}")
            after = cell(x_NE, tuple(own[name].flatten(0, 1) for name in names))
            own |= {name: x.view(*shape, -1) for name, x in zip(names, after, strict=True)}
            x_NE = self.dropout(after[0])
        x_BWE = x_NE.view(*shape, -1)
        context_BWC, weights_BWHT = self.attention(x_BWE, state.shared, own["weights"])
        own["context"], own["weights"] = context_BWC, weights_BWHT
        if "covered" in own:
            own["covered"] = own["covered"] + weights_BWHT.mean(2)
        y_BWE = self.mix(torch.cat([x_BWE, context_BWC], dim=-1)).tanh()
        return self.dropout(y_BWE), State(state.shared, own)

    def _log_probs(self, y: Tensor) -> Tensor:
        return self.output(y).float().log_softmax(-1)  # type: ignore[no-any-return]


def _mechanism(spec: LstmDecoderSpec, memory_width: int) -> Mechanism:
    widths = (spec.attention_width, spec.width, memory_width)
    match spec.mechanism:
        case "dot":
            return DotMechanism(*widths)
        case "additive":
            return AdditiveMechanism(*widths)
        case "location":
            channels, kernel = spec.location_channels, spec.location_kernel
            return LocationMechanism(*widths, channels=channels, kernel=kernel)
        case "multihead":
            return MultiHeadMechanism(*widths, heads=spec.heads)
