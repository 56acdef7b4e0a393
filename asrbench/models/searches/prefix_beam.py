"""CTC prefix beam search with an n-gram language model.

Graves 2012, "Supervised Sequence Labelling with Recurrent Neural Networks", section 7.5.3, and
Hannun et al. 2014, arXiv:1408.2873, Algorithm 1. It goes frame by frame and sums over the
alignments of every prefix that it keeps. Where the paper multiplies in a model of words at spaces,
this is shallow fusion: every symbol brings `lm_weight * log p(symbol | prefix) + length_bonus`, and
the end of the utterance `lm_weight * log p(end | text)`. Scores are in nats, in fp64 on the CPU.

Legend: B utterances, longest first, T encoder frames, N kept prefixes of an utterance, V symbols
with the blank, K symbols that can extend a prefix in a frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asrbench.models.searches.fusion import Floats, Fusion, Ints, LmTable
from asrbench.text.tokenizer import BLANK

_ROUNDING = 1e-6
"""Nats by which sums of the same numbers can differ, and more."""
_NOTHING, _ROOT, _ABOVE_ROOT = -1, 0, -2
"""Numbers of prefixes: that of an unused place, of the empty prefix, and of its parent."""


@torch.no_grad()
def prefix_beam(
    log_probs_BTV: Tensor, lengths: Sequence[int], *, beam: int, fusion: Fusion | None = None
) -> list[list[int]]:
    """Returns each utterance's symbols with the highest score among the prefixes kept to the end.

    The CTC part of a score is the log probability that the frames so far spell exactly the prefix.
    `beam` prefixes are kept after each frame. With as many as there are strings, the result is the
    best string over all alignments. A symbol is left out only where it cannot enter the beam.

    With a beam of 1 this is not the best path: a symbol has to outweigh all ways to stay, the blank
    and the repetition together. The two agree where the most probable symbol of every frame has a
    posterior above the square root of 1/2, and without a language model and a bonus.
    """
    order = sorted(range(len(lengths)), key=lambda b: -lengths[b])
    log_probs: Floats = log_probs_BTV.double().cpu().numpy()[order]
    search = _Search(fusion or Fusion(), len(order), beam)
    frames = np.array([lengths[b] for b in order])
    for t in range(int(frames.max(initial=0))):
        search.frame(log_probs[: int((frames > t).sum()), t])
    found = dict(zip(order, search.best(), strict=True))
    return [found[b] for b in range(len(order))]


@dataclass
class _Beams:
    """The kept prefixes of every utterance; places without one have scores of -inf."""

    number_BN: Ints
    """The number of each prefix, the same for the same symbols."""
    parent_BN: Ints
    """The number of the prefix without its last symbol."""
    last_BN: Ints
    """The last symbol; that of the empty prefix is the blank."""
    blank_BN: Floats
    """Log probability of all alignments that end in a blank."""
    symbol_BN: Floats
    """Log probability of all alignments that end in the last symbol."""
    prior_BN: Floats
    """What language model and bonus add to the score."""
    state_BN: Ints
    """The number of the language model's state."""

    def rows(self, chosen: Any) -> "_Beams":
        """Returns the same places of every array."""
        return _Beams(*(array[chosen] for array in vars(self).values()))

    @property
    def total_BN(self) -> Floats:
        """Log probability of all alignments of the prefix."""
        return np.logaddexp(self.blank_BN, self.symbol_BN)

    @property
    def scores_BN(self) -> Floats:
        """The scores by which prefixes are kept."""
        return self.total_BN + self.prior_BN


class _Search:
    """The state of a search over a batch."""

    def __init__(self, fusion: Fusion, utterances: int, beam: int) -> None:
        self.fusion, self.beam = fusion, beam
        self.prefixes: list[tuple[int, int]] = [(_ABOVE_ROOT, BLANK)]
        """The parent and the last symbol of each prefix, by its number."""
        self.numbers: dict[tuple[int, int], int] = {}
        self.lm = None if fusion.lm is None else LmTable(fusion.lm)
        places = (utterances, beam)
        self.beams = _Beams(
            number_BN=np.full(places, _NOTHING),
            parent_BN=np.full(places, _ABOVE_ROOT),
            last_BN=np.full(places, BLANK),
            blank_BN=np.full(places, -np.inf),
            symbol_BN=np.full(places, -np.inf),
            prior_BN=np.zeros(places),
            state_BN=np.zeros(places, dtype=np.int64),
        )
        self.beams.number_BN[:, 0], self.beams.blank_BN[:, 0] = _ROOT, 0.0

    def frame(self, log_probs_BV: Floats) -> None:
        """Reads one more frame of the first utterances; those after them have ended."""
        going = slice(len(log_probs_BV))
        beams = self.beams.rows(going)
        child_BMN = beams.parent_BN[:, :, None] == beams.number_BN[:, None, :]
        stayed = _stayed(beams, log_probs_BV, child_BMN)
        symbols_BK = self._symbols(beams, stayed, log_probs_BV)
        added_BNK, prior_BNK = self._extended(beams, log_probs_BV, symbols_BK)
        # A child that is kept already has received this probability in `_stayed`.
        kept_BMK = beams.last_BN[:, :, None] == symbols_BK[:, None, :]
        again_BNK = child_BMN.transpose(0, 2, 1).astype(np.float32) @ kept_BMK.astype(np.float32)
        added_BNK[again_BNK > 0] = -np.inf

        places = beams.number_BN.shape[1]
        scores_BX = np.concatenate(
            [stayed.scores_BN, (added_BNK + prior_BNK).reshape(len(symbols_BK), -1)], axis=1
        )
        # Stable, so that the choice between equal scores does not depend on other utterances.
        chosen_BN = np.argsort(-scores_BX, axis=1, kind="stable")[:, :places]
        b, at = np.nonzero(chosen_BN >= places)
        n, k = np.divmod(chosen_BN[b, at] - places, symbols_BK.shape[1] or 1)
        children = self._children(
            stayed.rows((b, n)), symbols_BK[b, k], added_BNK[b, n, k], prior_BNK[b, n, k]
        )
        stays_BN = np.where(chosen_BN < places, chosen_BN, 0)
        rows_B1 = np.arange(len(chosen_BN))[:, None]
        for name, array in vars(self.beams).items():
            array[going] = getattr(stayed, name)[rows_B1, stays_BN]
            array[b, at] = getattr(children, name)
        if self.lm is not None:
            self.beams.state_BN = self.lm.tidied(self.beams.state_BN)

    def _children(
        self, parents: _Beams, symbols: Ints, log_probs: Floats, priors: Floats
    ) -> _Beams:
        """Returns the extensions of some prefixes by a symbol each; impossible ones are unused."""
        possible = log_probs > -np.inf
        pairs = zip(parents.number_BN.tolist(), symbols.tolist(), possible.tolist(), strict=True)
        numbers = [self._number(*pair) if lives else _NOTHING for *pair, lives in pairs]
        states = parents.state_BN
        if self.lm is not None:
            known = zip(states.tolist(), symbols.tolist(), strict=True)
            states = np.array([self.lm.next(*pair) for pair in known], dtype=np.int64)
        return _Beams(
            number_BN=np.array(numbers, dtype=np.int64),
            parent_BN=np.where(possible, parents.number_BN, _ABOVE_ROOT),
            last_BN=symbols,
            blank_BN=np.full(len(symbols), -np.inf),
            symbol_BN=log_probs,
            prior_BN=priors,
            state_BN=states,
        )

    def _symbols(self, beams: _Beams, stayed: _Beams, log_probs_BV: Floats) -> Ints:
        """Returns the symbols that can enter the beam, padded with blanks.

        No extension by a symbol scores more than the best prefix with that symbol's log probability
        and the bonus, because the language model's log probability is not above 0. So a symbol is
        left out if that is less than what N others reach: those that stay, and the extensions of
        the best prefix.
        """
        scores_BN = beams.scores_BN
        best_B1 = scores_BN.argmax(axis=1)[:, None]
        best = beams.rows((np.arange(len(best_B1))[:, None], best_B1))
        every_BV = np.broadcast_to(np.arange(log_probs_BV.shape[1]), log_probs_BV.shape)
        added_B1V, prior_B1V = self._extended(best, log_probs_BV, every_BV)
        added_BV = (added_B1V + prior_B1V)[:, 0]
        b, m = np.nonzero(beams.parent_BN == best.number_BN)
        added_BV[b, beams.last_BN[b, m]] = -np.inf  # it is kept already
        reached_BX = np.concatenate([stayed.scores_BN, added_BV[:, 1:]], axis=1)
        places = scores_BN.shape[1]
        worst_B = np.partition(reached_BX, -places, axis=1)[:, -places]
        least_B = worst_B - scores_BN.max(axis=1) - self.fusion.length_bonus - _ROUNDING
        possible_BV = log_probs_BV >= least_B[:, None]
        possible_BV[:, BLANK] = False
        counts_B = possible_BV.sum(axis=1)
        b, symbols = np.nonzero(possible_BV)
        k = np.arange(len(b)) - np.repeat(np.cumsum(counts_B) - counts_B, counts_B)
        symbols_BK = np.zeros((len(counts_B), int(counts_B.max(initial=0))), dtype=np.int64)
        symbols_BK[b, k] = symbols
        return symbols_BK

    def _extended(
        self, beams: _Beams, log_probs_BV: Floats, symbols_BK: Ints
    ) -> tuple[Floats, Floats]:
        """Returns the log probability and the prior of every prefix with one symbol more."""
        log_probs_BK = np.take_along_axis(log_probs_BV, symbols_BK, axis=1)
        log_probs_BK[symbols_BK == BLANK] = -np.inf
        # Repeating the last symbol needs a blank in between; without one CTC merges the two.
        repeats_BNK = symbols_BK[:, None, :] == beams.last_BN[:, :, None]
        before_BNK = np.where(repeats_BNK, beams.blank_BN[..., None], beams.total_BN[..., None])
        prior_BNK = np.broadcast_to(
            beams.prior_BN[..., None] + self.fusion.length_bonus, before_BNK.shape
        )
        if self.lm is not None:
            of_lm_BNK = self.lm.log_probs_NV[beams.state_BN[..., None], symbols_BK[:, None, :]]
            prior_BNK = prior_BNK + self.fusion.lm_weight * of_lm_BNK
        return before_BNK + log_probs_BK[:, None, :], prior_BNK

    def _number(self, parent: int, symbol: int) -> int:
        number = self.numbers.setdefault((parent, symbol), len(self.prefixes))
        if number == len(self.prefixes):
            self.prefixes.append((parent, symbol))
        return number

    def best(self) -> list[list[int]]:
        """Returns the symbols of each utterance's best prefix, the end of the text counted."""
        scores_BN = self.beams.scores_BN
        if self.lm is not None:
            scores_BN += self.fusion.lm_weight * self.lm.log_probs_NV[self.beams.state_BN, BLANK]
        best_B = scores_BN.argmax(axis=1)
        rows = np.arange(len(best_B))
        return [self._spelt(number) for number in self.beams.number_BN[rows, best_B].tolist()]

    def _spelt(self, number: int) -> list[int]:
        symbols: list[int] = []
        while number > _ROOT:
            number, symbol = self.prefixes[number]
            symbols.append(symbol)
        return symbols[::-1]


def _stayed(beams: _Beams, log_probs_BV: Floats, child_BMN: npt.NDArray[np.bool_]) -> _Beams:
    """Returns the beams after a frame that adds no symbol to any of their prefixes.

    A prefix whose parent is kept too also has the alignments in which its last symbol begins now;
    child_BMN is true where prefix n is the parent of prefix m.
    """
    log_probs_BN = np.take_along_axis(log_probs_BV, beams.last_BN, axis=1)
    same_BMN = beams.last_BN[:, :, None] == beams.last_BN[:, None, :]
    before_BMN = np.where(same_BMN, beams.blank_BN[:, None, :], beams.total_BN[:, None, :])
    begins_BN = np.where(child_BMN, before_BMN, -np.inf).max(axis=2)
    symbol_BN = np.logaddexp(beams.symbol_BN, begins_BN) + log_probs_BN
    blank_BN = beams.total_BN + log_probs_BV[:, BLANK, None]
    return _Beams(**vars(beams) | {"blank_BN": blank_BN, "symbol_BN": symbol_BN})
