"""States and scorers, which all searches over symbols share.

Legend: B utterances, W hypotheses of each, V symbols with the blank.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class State:
    """What a scorer keeps between two steps, for W hypotheses of each of B utterances."""

    shared: Mapping[str, Tensor]
    """Tensors (B, ...) that all hypotheses of an utterance share."""
    own: Mapping[str, Tensor]
    """Tensors (B, W, ...) of each hypothesis."""

    def hypotheses(self, index_BW: Tensor) -> "State":
        """Returns the state of these hypotheses of each utterance, which may repeat."""
        at_B1 = torch.arange(len(index_BW), device=index_BW.device)[:, None]
        return State(self.shared, {name: x[at_B1, index_BW] for name, x in self.own.items()})

    def utterances(self, index_B: Tensor) -> "State":
        """Returns the state of these utterances."""
        parts = ({name: x[index_B] for name, x in part.items()} for part in (self.shared, self.own))
        return State(*parts)


Step = Callable[[State, Tensor], tuple[Tensor, State]]
"""`state, symbols_BW -> scores_BWV, state`: scores of the next symbol, after reading the last one.

The first symbol of every hypothesis is BLANK, the start symbol. Scores are in nats; at index BLANK
is that of the end. A scorer of hypotheses that have ended may return anything but must not fail.
"""


class Scorer(NamedTuple):
    """One source of scores of a search: a decoder, CTC, a language model (shallow fusion), ..."""

    step: Step
    state: State
    """The state before the start symbol, with W = 1."""
    weight: float = 1.0
    """The factor of its scores; without weight it is not asked."""
    highest: float = 0.0
    """The highest score that one symbol can get; 0 for log probabilities."""
