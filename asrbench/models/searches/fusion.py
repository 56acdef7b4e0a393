"""Shallow fusion: the language model and the length bonus that every beam search can add.

Kannan et al. 2018, "An analysis of incorporating an external language model into a
sequence-to-sequence model", arXiv:1712.01996. To the model's score every symbol adds `lm_weight *
log p(symbol | prefix) + length_bonus`, and the end of the text `lm_weight * log p(end | text)`.
Scores are in nats, in fp64.

Legend: B utterances, W hypotheses of each, N states of the language model, V symbols with the
blank, at whose index is the end.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asrbench.models.searches.state import Scorer, State
from asrbench.text.ngram_lm import State as Context
from asrbench.text.ngram_lm import SymbolLm
from asrbench.text.tokenizer import BLANK

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST_BYTES = 1 << 27
"""Memory for probabilities of the language model; beyond it, those not in use are dropped."""


@dataclass(frozen=True)
class Fusion:
    """What the score of a text has beside its log probability under the model."""

    lm: SymbolLm | None = None
    lm_weight: float = 0.0
    """Weight of the language model's log probability, 0 or more."""
    length_bonus: float = 0.0
    """Nats for every symbol."""

    def scorers(self, batch: int, symbols: int, device: torch.device | str) -> list[Scorer]:
        """Returns the scorers of what has a weight, for one search of a batch of utterances.

        `symbols` is V, and `device` that of the search.
        """
        found = []
        if self.lm is not None and self.lm_weight:
            scorer = language_model(self.lm, batch, device)
            found.append(scorer._replace(weight=self.lm_weight))
        if self.length_bonus:
            found.append(length_bonus(self.length_bonus, symbols, device))
        return found


class LmTable:
    """The log probabilities of a language model in the states that a search has visited."""

    def __init__(self, lm: SymbolLm) -> None:
        self.lm = lm
        self.states: list[Context] = []
        self.numbers: dict[Context, int] = {}
        self.log_probs_NV: Floats = np.empty((64, len(lm.word_V)))
        """log_probs_V of each state, by its number; 0 is the start of a text."""
        self._add(lm.start)

    def next(self, number: int, symbol: int) -> int:
        """Returns the number of the state after `symbol`; of the blank, that of the same state."""
        if symbol == BLANK:
            return number
        state = self.lm.next(self.states[number], symbol)
        return self.numbers[state] if state in self.numbers else self._add(state)

    def _add(self, state: Context) -> int:
        number = self.numbers[state] = len(self.states)
        self.states.append(state)
        if number == len(self.log_probs_NV):
            self.log_probs_NV = np.concatenate(
                [self.log_probs_NV, np.empty_like(self.log_probs_NV)]
            )
        self.log_probs_NV[number] = self.lm.log_probs(state)
        return number

    def tidied(self, numbers: Ints) -> Ints:
        """Forgets the states that are not in use if all of them take too much memory.

        Returns the new numbers in place of `numbers`.
        """
        if self.log_probs_NV.nbytes <= MOST_BYTES:
            return numbers
        used, inverse = np.unique(numbers, return_inverse=True)
        states = [self.states[number] for number in used.tolist()]
        self.log_probs_NV, self.states = self.log_probs_NV[used], states
        self.numbers = {state: number for number, state in enumerate(states)}
        return inverse.reshape(numbers.shape).astype(np.int64)


def language_model(lm: SymbolLm, batch: int, device: torch.device | str) -> Scorer:
    """Returns the scorer of a language model's log probabilities, for one search.

    The model is asked on the CPU, which waits for the device once per step.
    """
    start_B1 = torch.zeros(batch, 1, dtype=torch.int64, device=device)
    return Scorer(partial(_read, table=LmTable(lm)), State({}, {"number": start_B1}))


def _read(state: State, symbols_BW: Tensor, *, table: LmTable) -> tuple[Tensor, State]:
    """Returns the scores after reading `symbols_BW`; BLANK, the start symbol, changes nothing."""
    before_BW, device = state.own["number"], symbols_BW.device
    pairs = zip(before_BW.flatten().tolist(), symbols_BW.flatten().tolist(), strict=True)
    numbers = np.array([table.next(*pair) for pair in pairs], dtype=np.int64)
    numbers_BW = numbers.reshape(before_BW.shape)
    scores_BWV = torch.from_numpy(table.log_probs_NV[numbers_BW])
    after_BW = torch.from_numpy(table.tidied(numbers_BW))
    return scores_BWV.to(device), State({}, {"number": after_BW.to(device)})


def length_bonus(nats: float, symbols: int, device: torch.device | str) -> Scorer:
    """Returns the scorer that gives `nats` to every symbol and nothing to the end."""
    scores_V = torch.full((symbols,), nats, dtype=torch.float64, device=device)
    scores_V[BLANK] = 0.0

    def step(state: State, symbols_BW: Tensor) -> tuple[Tensor, State]:
        return scores_V.expand(*symbols_BW.shape, -1), state

    return Scorer(step, State({}, {}), highest=max(nats, 0.0))
