"""Searches, which turn log probabilities into symbols: CTC best path, greedy, joint beam search.

Legend: B utterances, T encoder frames, S = T + 1 boundaries between frames (boundary t has t frames
before it), V symbols with the blank, N hypotheses of one utterance, U symbols of a prefix with the
start symbol. Scores are natural logarithms of probabilities (nats) and never above 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

import torch
from torch import Tensor

from asrbench.text.tokenizer import BLANK

Step = Callable[[Tensor], Tensor]
"""`prefixes_NU -> log_probs_NV`: the next symbol's log probabilities under an attention decoder.

Prefixes are int64 and begin with BLANK, the start symbol. Each row of the result is a log
probability distribution (nats) over the symbols and, at index BLANK, the end of the sequence.
"""

_INFINITY = float("inf")

_LEAST_LOG_PROB = -1e4
"""Replaces log 0, because `_dwell` subtracts running sums and -inf - -inf is NaN."""


def collapse(indices: Sequence[int]) -> list[int]:
    """Returns the labelling of a CTC path: merges repeats, then drops blanks. `aa_ab` -> `aab`."""
    return [index for index, _ in groupby(indices) if index != BLANK]


def ctc_greedy(log_probs_BTV: Tensor, lengths_B: Tensor) -> list[list[int]]:
    """Returns the labelling of each utterance's best path (Graves et al. 2006, section 3.2).

    The best path takes the most probable symbol of every frame. Padding frames do not count.
    """
    best_BT = log_probs_BTV.argmax(dim=-1)
    frames_T = torch.arange(best_BT.shape[1], device=best_BT.device)
    padding_BT = frames_T >= lengths_B.to(best_BT.device).unsqueeze(1)
    # Blanks at the end of a path do not change its labelling, so one transfer fetches all paths.
    return [collapse(path) for path in best_BT.masked_fill(padding_BT, BLANK).tolist()]


@torch.no_grad()
def attention_greedy(
    step: Step, batch_size: int, limits: Sequence[int], device: torch.device | str
) -> list[list[int]]:
    """Returns each utterance's symbols by greedy search: the decoder's most probable next symbol.

    `limits` are the greatest numbers of symbols of the utterances. A row that has ended or reached
    its limit stays in the batch, because `step` identifies rows by position, but gets no symbols.
    """
    limits_B = torch.tensor(limits, dtype=torch.int64, device=device)
    prefixes_BU = torch.full((batch_size, 1), BLANK, dtype=torch.int64, device=device)
    ended_B = limits_B <= 0
    for length in range(1, max(limits, default=0) + 1):
        next_B = step(prefixes_BU).argmax(dim=-1).masked_fill(ended_B, BLANK)
        prefixes_BU = torch.cat([prefixes_BU, next_B.unsqueeze(1)], dim=1)
        ended_B = (next_B == BLANK) | (limits_B <= length)
        if ended_B.all():  # waits for the device, which costs less than a needless step
            break
    return [list(takewhile(lambda i: i != BLANK, row)) for row in prefixes_BU[:, 1:].tolist()]


@torch.no_grad()
def joint_beam(
    step: Step, log_probs_TV: Tensor, *, beam: int, ctc_weight: float, limit: int
) -> list[int]:
    """Returns one utterance's symbols by label-synchronous joint CTC/attention beam search.

    A hypothesis scores `(1 - ctc_weight) * attention + ctc_weight * ctc`, where `attention` is its
    log probability under the decoder and `ctc` its CTC prefix score (one-pass decoding of Watanabe
    et al. 2017, "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition", and of Hori
    et al. 2017, arXiv:1706.02737). There is no length bonus.

    `beam` is the beam size. `step` is called once per length, with the prefixes of all active
    hypotheses as its rows, on the device of `log_probs_TV`, the CTC log posteriors. A score with
    weight 0 is not computed. `limit` is the greatest number of symbols; a hypothesis that reaches
    it can only end, so prefixes grow to `limit + 1` symbols, the start symbol included.

    The end competes for the beam like any symbol, so that beam size 1 is greedy search. An
    extension never raises a score, so the search stops without loss once the best finished
    hypothesis scores at least as much as the best active one. If no hypothesis can end, the best
    active one is returned.
    """
    frames, symbols = log_probs_TV.shape
    if not frames:
        return []
    ctc = CtcPrefixes.start(log_probs_TV) if ctc_weight > 0 else None
    prefixes_NU = torch.full((1, 1), BLANK, dtype=torch.int64)
    attention_N = torch.zeros(1, dtype=torch.float64)  # weighted
    best, best_score = None, -_INFINITY
    for length in range(limit + 1):
        attention_NV = attention_N.unsqueeze(1).expand(-1, symbols)
        if ctc_weight < 1:
            log_probs_NV = step(prefixes_NU.to(log_probs_TV.device)).to("cpu", torch.float64)
            attention_NV = attention_NV + (1 - ctc_weight) * log_probs_NV
        scores_NV = attention_NV + ctc_weight * ctc.scores() if ctc else attention_NV.clone()
        if length == limit:
            scores_NV[:, torch.arange(symbols) != BLANK] = -_INFINITY

        scores_N, rows_N, symbols_N = _best(scores_NV, beam)
        ends_N = symbols_N == BLANK
        if ends_N.any() and scores_N[ends_N][0] > best_score:
            best, best_score = prefixes_NU[rows_N[ends_N][0]], scores_N[ends_N][0].item()
        if ends_N.all() or scores_N[~ends_N][0] <= best_score:
            break

        rows_N, symbols_N = rows_N[~ends_N], symbols_N[~ends_N]
        prefixes_NU = torch.cat([prefixes_NU[rows_N], symbols_N.unsqueeze(1)], dim=1)
        attention_N = attention_NV[rows_N, symbols_N]
        ctc = ctc.extended(rows_N, symbols_N) if ctc else None
    result: list[int] = (prefixes_NU[0] if best is None else best)[1:].tolist()
    return result


def _best(scores_NV: Tensor, beam: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns score, row and symbol of the `beam` best finite scores, best first."""
    scores_N, flat_N = scores_NV.flatten().topk(min(beam, scores_NV.numel()))
    possible_N = scores_N > -_INFINITY
    scores_N, flat_N = scores_N[possible_N], flat_N[possible_N]
    return scores_N, flat_N // scores_NV.shape[1], flat_N % scores_NV.shape[1]


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
