"""The CTC prefix scores of joint search.

Legend: T encoder frames, S = T + 1 boundaries between frames (boundary t has t frames before it),
V symbols with the blank, N prefixes of one utterance. Scores are in nats.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from asrbench.text.tokenizer import BLANK

_INFINITY = float("inf")

_LEAST_LOG_PROB = -1e4
"""Replaces log 0, because `_dwell` subtracts running sums and -inf - -inf is NaN."""


@dataclass(frozen=True)
class CtcPrefixes:
    """The CTC forward variables of N prefixes of one utterance, on the CPU in fp64.

    `symbol_NS` and `blank_NS` (r^n and r^b of Watanabe et al. 2017, Algorithm 2) are the log
    probabilities that the frames before a boundary spell the prefix, with the last of them being
    the prefix's last symbol or a blank.
    """

    log_probs_TV: Tensor
    probs_TV: Tensor
    last_N: Tensor
    symbol_NS: Tensor
    blank_NS: Tensor

    @classmethod
    def start(cls, log_probs_TV: Tensor) -> "CtcPrefixes":
        """Returns the forward variables of the empty prefix, N = 1."""
        log_probs_TV = log_probs_TV.to("cpu", torch.float64).clamp(min=_LEAST_LOG_PROB)
        blank_1S = _after_first(0.0, log_probs_TV[:, BLANK].cumsum(dim=0).unsqueeze(0))
        return cls(
            log_probs_TV,
            log_probs_TV.exp(),
            last_N=torch.tensor([BLANK]),
            symbol_NS=torch.full_like(blank_1S, -_INFINITY),
            blank_NS=blank_1S,
        )

    def scores(self) -> Tensor:
        """Returns the prefix scores (N, V) of each prefix extended by each symbol.

        A prefix score is the log probability that the utterance begins with that prefix. At index
        BLANK it is the log probability that the utterance is the prefix and nothing more.

        Algorithm 2 sums over frames t the probability that the prefix ends before t and the symbol
        is emitted at t. The first factor does not depend on the symbol, so for all symbols at once
        the sum is a matrix product, and no symbol has to be pruned beforehand by its attention
        score. Terms that fp64 rounds to zero are below exp(-700) times the largest.
        """
        spelt_NS = torch.logaddexp(self.symbol_NS, self.blank_NS)
        before_NT = spelt_NS[:, :-1]
        # The peak is finite even when no frame is left, because -inf - -inf is NaN.
        peak_N1 = before_NT.amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).min)
        scores_NV = peak_N1 + ((before_NT - peak_N1).exp() @ self.probs_TV).log()
        # Repeating the last symbol needs a blank in between; without one CTC merges the two.
        again_NT = self.blank_NS[:, :-1] + self.log_probs_TV[:, self.last_N].T
        scores_NV.scatter_(1, self.last_N.unsqueeze(1), again_NT.logsumexp(dim=1, keepdim=True))
        scores_NV[:, BLANK] = spelt_NS[:, -1]
        return scores_NV

    def extended(self, rows_N: Tensor, symbols_N: Tensor) -> "CtcPrefixes":
        """Returns the forward variables of the prefixes `rows_N`, each extended by its symbol."""
        blank_NS = self.blank_NS[rows_N]
        spelt_NS = torch.logaddexp(self.symbol_NS[rows_N], blank_NS)
        again_N1 = (symbols_N == self.last_N[rows_N]).unsqueeze(1)
        before_NS = torch.where(again_N1, blank_NS, spelt_NS)
        symbol_NS = _dwell(before_NS, self.log_probs_TV[:, symbols_N].T)
        blank_NS = _dwell(symbol_NS, self.log_probs_TV[:, BLANK].expand(len(symbols_N), -1))
        return CtcPrefixes(self.log_probs_TV, self.probs_TV, symbols_N, symbol_NS, blank_NS)


def _dwell(before_NS: Tensor, log_probs_NT: Tensor) -> Tensor:
    """Returns (N, S): log probability of having entered a state at some frame and stayed there.

    `before_NS` is the log probability of being in the state before it. Algorithm 2 goes frame by
    frame: `r[t] = logaddexp(r[t - 1], before[t - 1]) + log_probs[t]`. Divided by the probability
    of staying from the first frame on, that recursion becomes a running sum.
    """
    stay_NS = _after_first(0.0, log_probs_NT.cumsum(dim=1))
    entered_NT = (before_NS - stay_NS)[:, :-1].logcumsumexp(dim=1)
    return _after_first(-_INFINITY, stay_NS[:, 1:] + entered_NT)


def _after_first(value: float, x_NT: Tensor) -> Tensor:
    """Returns (N, S): `value` at the boundary before all frames, then `x_NT`."""
    return torch.nn.functional.pad(x_NT, (1, 0), value=value)
