"""From log probabilities to symbols: CTC best path, attention greedy, joint beam search.

Shape suffixes: B utterances, T encoder frames, S boundaries between frames (T + 1 of them: boundary
t has t frames before it), V symbols with the blank, N hypotheses of one utterance, U symbols of a
prefix with the start. Scores are natural logarithms of probabilities (nats), never above 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

import torch
from torch import Tensor

from asrbench.text.tokenizer import BLANK

Step = Callable[[Tensor], Tensor]
"""`prefixes_NU -> log_probs_NV`: what a decoder, closed over its encoder output, says comes next.

Prefixes are int64 and begin with BLANK, the start; index BLANK of the answer is the end. Every row
of the answer is a distribution in nats, over symbols and the end.
"""

_INFINITY = float("inf")

_LEAST_LOG_PROB = -1e4
"""Stands for log 0, which the running sums of `_dwell` could not take back out."""


def collapse(indices: Sequence[int]) -> list[int]:
    """The string a CTC path spells: repeats merged, then blanks dropped. `aa_ab` -> `aab`."""
    return [index for index, _ in groupby(indices) if index != BLANK]


def ctc_greedy(log_probs_BTV: Tensor, lengths_B: Tensor) -> list[list[int]]:
    """Each utterance's most probable CTC path, collapsed (Graves et al. 2006, section 3.2).

    Frames from an utterance's length on do not count.
    """
    best_BT = log_probs_BTV.argmax(dim=-1)
    frames_T = torch.arange(best_BT.shape[1], device=best_BT.device)
    padding_BT = frames_T >= lengths_B.to(best_BT.device).unsqueeze(1)
    # A path that ends in blanks spells what it spells without them, so one transfer takes them all.
    return [collapse(path) for path in best_BT.masked_fill(padding_BT, BLANK).tolist()]


@torch.no_grad()
def attention_greedy(
    step: Step, batch_size: int, limits: Sequence[int], device: torch.device | str
) -> list[list[int]]:
    """The decoder's most probable symbol, again and again, for a batch at once.

    `limits`: the most symbols of each utterance. A row that has ended or reached its limit is
    carried along, for `step` knows its rows by position, but adds nothing more.
    """
    limits_B = torch.tensor(limits, dtype=torch.int64, device=device)
    prefixes_BU = torch.full((batch_size, 1), BLANK, dtype=torch.int64, device=device)
    ended_B = limits_B <= 0
    for length in range(1, max(limits, default=0) + 1):
        next_B = step(prefixes_BU).argmax(dim=-1).masked_fill(ended_B, BLANK)
        prefixes_BU = torch.cat([prefixes_BU, next_B.unsqueeze(1)], dim=1)
        ended_B = (next_B == BLANK) | (limits_B <= length)
        if ended_B.all():  # waits for the device; a step too many would cost more
            break
    return [list(takewhile(lambda i: i != BLANK, row)) for row in prefixes_BU[:, 1:].tolist()]


@torch.no_grad()
def joint_beam(
    step: Step, log_probs_TV: Tensor, *, beam: int, ctc_weight: float, limit: int
) -> list[int]:
    """Label-synchronous beam search of one utterance by decoder and CTC together.

    A hypothesis scores `(1 - ctc_weight) * attention + ctc_weight * ctc`, its log probability under
    the decoder and its CTC prefix score (one-pass decoding of Watanabe et al. 2017, "Hybrid
    CTC/Attention Architecture for End-to-End Speech Recognition", and of Hori et al. 2017,
    arXiv:1706.02737). There is no length bonus.

    `step` is asked once per length, with the prefixes of all live hypotheses as its rows, on the
    device of `log_probs_TV`, the CTC log posteriors. What has weight 0 is not computed. `limit` is
    the greatest number of symbols; a hypothesis that reaches it is asked about its end alone, so
    prefixes grow to `limit + 1` with the start.

    The end competes for the beam like any symbol, so that beam 1 is greedy search. No extension
    raises either part of a score, so nothing is lost by stopping once the best finished hypothesis
    scores no less than the best live one. If none can end, the best live one is returned.
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
    """Score, row and symbol of the `beam` best, best first; fewer where fewer are possible."""
    scores_N, flat_N = scores_NV.flatten().topk(min(beam, scores_NV.numel()))
    possible_N = scores_N > -_INFINITY
    scores_N, flat_N = scores_N[possible_N], flat_N[possible_N]
    return scores_N, flat_N // scores_NV.shape[1], flat_N % scores_NV.shape[1]


@dataclass(frozen=True)
class CtcPrefixes:
    """CTC forward variables of N prefixes of one utterance, on the CPU in fp64.

    `symbol_NS` and `blank_NS` (r^n and r^b of Watanabe et al. 2017, Algorithm 2) are the log
    probabilities that the frames before a boundary spell the prefix and the last of them is its
    last symbol, or a blank.
    """

    log_probs_TV: Tensor
    probs_TV: Tensor
    last_N: Tensor
    symbol_NS: Tensor
    blank_NS: Tensor

    @classmethod
    def start(cls, log_probs_TV: Tensor) -> "CtcPrefixes":
        """The empty prefix alone."""
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
        """(N, V): log probability that the utterance begins with the prefix and then the symbol.

        At BLANK: that it is the prefix, and nothing more.

        Algorithm 2 sums over frames t the probability of being done with the prefix before t and
        emitting the symbol at t. The first factor does not know the symbol, so for all symbols at
        once the sum is a matrix product, and none has to be ruled out beforehand by its attention
        score. What fp64 rounds to zero in it is below exp(-700) of the prefix at its likeliest.
        """
        spelt_NS = torch.logaddexp(self.symbol_NS, self.blank_NS)
        before_NT = spelt_NS[:, :-1]
        # Not -inf, even when no frame is left: -inf less -inf is no number.
        peak_N1 = before_NT.amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).min)
        scores_NV = peak_N1 + ((before_NT - peak_N1).exp() @ self.probs_TV).log()
        # The last symbol once more needs a blank in between; without, it is the same symbol longer.
        again_NT = self.blank_NS[:, :-1] + self.log_probs_TV[:, self.last_N].T
        scores_NV.scatter_(1, self.last_N.unsqueeze(1), again_NT.logsumexp(dim=1, keepdim=True))
        scores_NV[:, BLANK] = spelt_NS[:, -1]
        return scores_NV

    def extended(self, rows_N: Tensor, symbols_N: Tensor) -> "CtcPrefixes":
        """Prefixes `rows_N`, each followed by its symbol of `symbols_N`."""
        blank_NS = self.blank_NS[rows_N]
        spelt_NS = torch.logaddexp(self.symbol_NS[rows_N], blank_NS)
        again_N1 = (symbols_N == self.last_N[rows_N]).unsqueeze(1)
        before_NS = torch.where(again_N1, blank_NS, spelt_NS)
        symbol_NS = _dwell(before_NS, self.log_probs_TV[:, symbols_N].T)
        blank_NS = _dwell(symbol_NS, self.log_probs_TV[:, BLANK].expand(len(symbols_N), -1))
        return CtcPrefixes(self.log_probs_TV, self.probs_TV, symbols_N, symbol_NS, blank_NS)


def _dwell(before_NS: Tensor, log_probs_NT: Tensor) -> Tensor:
    """(N, S): log probability of having entered a state at some frame and stayed there since.

    `before_NS`: of standing in front of it. Algorithm 2 walks the frames,
    `r[t] = logaddexp(r[t - 1], before[t - 1]) + log_probs[t]`; divided by the probability of
    staying from the first frame on, that is a running sum.
    """
    stay_NS = _after_first(0.0, log_probs_NT.cumsum(dim=1))
    entered_NT = (before_NS - stay_NS)[:, :-1].logcumsumexp(dim=1)
    return _after_first(-_INFINITY, stay_NS[:, 1:] + entered_NT)


def _after_first(value: float, x_NT: Tensor) -> Tensor:
    """(N, S): `value` at the boundary before all frames, then `x_NT`."""
    return torch.nn.functional.pad(x_NT, (1, 0), value=value)
