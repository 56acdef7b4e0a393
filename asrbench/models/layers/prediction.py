"""The prediction network of a transducer, which reads the symbols that are written so far.

Legend: B batch, N prefixes, U symbols, W = U + 1 prefixes of a text, E width, C context, L layers.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, DropoutRate, Layers, Spec
from asrbench.models.layers.dropout import Dropout
from asrbench.models.layers.recurrence import run_cell
from asrbench.text.tokenizer import BLANK


class LstmPredictionSpec(Spec):
    kind: Literal["lstm"] = "lstm"
    """An LSTM over all symbols written so far."""
    layers: Layers = 1
    """Number of LSTM layers."""
    width: Count = 512
    """Width of the embedding, and of each layer's state."""
    dropout: DropoutRate = 0.1
    """Share of the embedding and of each layer's outputs dropped in training."""


class StatelessPredictionSpec(Spec):
    kind: Literal["stateless"] = "stateless"
    """Embeddings of the last symbols alone."""
    context: Annotated[int, Field(ge=1, le=100)] = 2
    """Number of last symbols that the network reads."""
    width: Count = 512
    """Width of the embedding and of the output."""
    dropout: DropoutRate = 0.1
    """Share of the embedding dropped in training."""


PredictionSpec = Annotated[
    Annotated[LstmPredictionSpec | StatelessPredictionSpec, Field(discriminator="kind")],
    BeforeValidator(lambda keys: {"kind": "lstm", **keys} if isinstance(keys, dict) else keys),
]


class PredictionState(NamedTuple):
    """What a prediction network remembers of N prefixes, each tensor with N rows."""

    tensors: tuple[Tensor, ...]

    def rows(self, index_N: Tensor) -> "PredictionState":
        """Returns the state of the prefixes with those numbers."""
        return PredictionState(tuple(each.index_select(0, index_N) for each in self.tensors))

    def where(self, mask_N: Tensor, other: "PredictionState") -> "PredictionState":
        """Returns this state where `mask_N` is true, and the other elsewhere."""
        pairs = zip(self.tensors, other.tensors, strict=True)
        return PredictionState(
            tuple(torch.where(mask_N.view(-1, *(1,) * (a.dim() - 1)), a, b) for a, b in pairs)
        )


class Prediction(nn.Module):
    """The base of prediction networks."""

    width: int

    def forward(self, symbols_BU: Tensor) -> Tensor:
        """Returns y_BWE: the output after each prefix of the symbols, the empty one first."""
        raise NotImplementedError

    def start(self, count: int, device: torch.device) -> tuple[Tensor, PredictionState]:
        """Returns y_NE and the state of `count` empty prefixes."""
        raise NotImplementedError

    def step(self, state: PredictionState, symbols_N: Tensor) -> tuple[Tensor, PredictionState]:
        """Returns y_NE and the state after one symbol more."""
        raise NotImplementedError


class LstmPrediction(Prediction):
    """An embedding and an LSTM, Graves 2012, arXiv:1211.3711, section 2.1.

    The paper gives symbols as one-hot vectors, of which the first layer's weights are an embedding.
    """

    def __init__(self, spec: LstmPredictionSpec, symbols: int) -> None:
        super().__init__()
        self.width = spec.width
        self.embedding = nn.Embedding(symbols, spec.width)
        self.layers = nn.ModuleList(
            nn.LSTM(spec.width, spec.width, batch_first=True) for _ in range(spec.layers)
        )
        self.dropout = Dropout(spec.dropout)

    def forward(self, symbols_BU: Tensor) -> Tensor:
        return self._run(F.pad(symbols_BU, (1, 0), value=BLANK), None)[0]

    def start(self, count: int, device: torch.device) -> tuple[Tensor, PredictionState]:
        begin_N = torch.full((count,), BLANK, device=device)
        y_N1E, states = self._run(begin_N[:, None], None)
        return y_N1E[:, 0], states

    def step(self, state: PredictionState, symbols_N: Tensor) -> tuple[Tensor, PredictionState]:
        y_N1E, states = self._run(symbols_N[:, None], state)
        return y_N1E[:, 0], states

    def _run(
        self, symbols_NU: Tensor, state: PredictionState | None
    ) -> tuple[Tensor, PredictionState]:
        x_NUE = self.dropout(self.embedding(symbols_NU))
        after: list[Tensor] = []
        for i, layer in enumerate(cast(Iterable[nn.LSTM], self.layers)):
            before = None
            if state is not None:
                hidden, cell = (
                    each[None].contiguous() for each in state.tensors[2 * i : 2 * i + 2]
                )
                before = (hidden, cell)
            y_NUE, (hidden, cell) = run_cell(layer, x_NUE, before)
            x_NUE = self.dropout(y_NUE)
            after += [hidden[0], cell[0]]
        return x_NUE, PredictionState(tuple(after))


class StatelessPrediction(Prediction):
    """A convolution over the embeddings of the last symbols, Ghodsi et al. 2020.

    "RNN-Transducer with Stateless Prediction Network", ICASSP 2020. The paper reads the last symbol
    alone, which is `context: 1`; a depthwise convolution over more of them is icefall's.
    """

    def __init__(self, spec: StatelessPredictionSpec, symbols: int) -> None:
        super().__init__()
        self.width, self.context = spec.width, spec.context
        self.embedding = nn.Embedding(symbols, spec.width)
        self.convolution = nn.Conv1d(
            spec.width, spec.width, spec.context, groups=spec.width, bias=False
        )
        self.dropout = Dropout(spec.dropout)

    def forward(self, symbols_BU: Tensor) -> Tensor:
        return self._read(F.pad(symbols_BU, (self.context, 0), value=BLANK))

    def start(self, count: int, device: torch.device) -> tuple[Tensor, PredictionState]:
        context_NC = torch.full((count, self.context), BLANK, device=device)
        return self._read(context_NC)[:, 0], PredictionState((context_NC,))

    def step(self, state: PredictionState, symbols_N: Tensor) -> tuple[Tensor, PredictionState]:
        context_NC = torch.cat([state.tensors[0][:, 1:], symbols_N[:, None]], dim=1)
        return self._read(context_NC)[:, 0], PredictionState((context_NC,))

    def _read(self, symbols_NU: Tensor) -> Tensor:
        x_NEU = self.dropout(self.embedding(symbols_NU)).transpose(1, 2)
        return F.relu(self.convolution(x_NEU)).transpose(1, 2)


def prediction_network(
    spec: LstmPredictionSpec | StatelessPredictionSpec, symbols: int
) -> Prediction:
    """Returns the network that `spec` describes."""
    if isinstance(spec, LstmPredictionSpec):
        return LstmPrediction(spec, symbols)
    return StatelessPrediction(spec, symbols)
