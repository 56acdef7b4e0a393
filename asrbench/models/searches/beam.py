"""Label-synchronous beam search over the weighted sum of any scorers, for a batch of utterances.

Legend: B utterances, W hypotheses of each, K = beam, V symbols with the blank, T encoder frames,
U symbols of a prefix with the start symbol.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor

from asrbench.models.searches.state import Scorer
from asrbench.text.tokenizer import BLANK

COVERED = "covered"
"""The name in a decoder's state of the attention that each frame has got so far, (B, W, T)."""

_INFINITY = float("inf")

HOPELESS = 10.0
"""Nats below the best that has ended at which an active hypothesis is given up.

Watanabe et al. 2017 detect the end of decoding with the same threshold, D_end = log e^-10. Without
it a search with length normalisation or a length bonus would often go on to the limit.
"""

_LEAST_COVERAGE = 1e-6
"""Replaces smaller sums of attention, because log 0 would rule a hypothesis out."""


class Ranking(NamedTuple):
    """How hypotheses that have ended are ranked: Wu et al. 2016, arXiv:1609.08144, equation 14.

    s = log P / lp + cp, with lp = ((5 + length) / 6)^length_exponent, where the length counts the
    end, and cp = coverage * sum over frames of log min(attention got from all symbols, 1). log P is
    the sum of all scorers, so that a language model and a length bonus are divided by lp as well.
    """

    length_exponent: float = 0.0
    coverage: float = 0.0

    def penalty(self, length: int) -> float:
        """Returns lp for hypotheses of `length` symbols and the end."""
        return float(((5 + length + 1) / 6) ** self.length_exponent)

    def of(self, scores_BK: Tensor, length: int, covered_BKT: Tensor | None) -> Tensor:
        """Returns the rank_BK of hypotheses of `length` symbols with these scores."""
        rank_BK = scores_BK / self.penalty(length)
        if covered_BKT is None:
            return rank_BK
        log_BKT = covered_BKT.double().clamp(_LEAST_COVERAGE, 1).log()
        return rank_BK + self.coverage * log_BKT.sum(-1)


PLAIN = Ranking()
"""Ranks hypotheses by their scores."""


@torch.no_grad()
def beam_search(
    scorers: Sequence[Scorer],
    limits: Sequence[int],
    device: torch.device | str,
    *,
    beam: int,
    ranking: Ranking = PLAIN,
) -> list[list[int]]:
    """Returns the symbols of each utterance, found by beam search over the sum of the scorers.

    `limits` are the greatest numbers of symbols of the utterances; a hypothesis that reaches its
    limit can only end. `beam` is the number of extensions that are kept at each length. The end
    competes for the beam like any symbol, so that beam size 1 is greedy search. Each scorer is
    asked once per length for all hypotheses, on `device`; sums are in fp64. A ranking with coverage
    reads the state of the first scorer.

    An utterance is done once no active hypothesis can be ranked above the best one that has ended,
    or all of them score less than that by `HOPELESS` nats. If no hypothesis can end, the best
    active one is returned.
    """
    search = _Search([s for s in scorers if s.weight], limits, device, beam, ranking)
    for length in range(max(limits, default=-1) + 1):
        if not search.extend(length):
            break
    return search.found()


class _Search:
    """The hypotheses of the utterances that are searched, and the best that has ended of each."""

    def __init__(
        self,
        scorers: list[Scorer],
        limits: Sequence[int],
        device: torch.device | str,
        beam: int,
        ranking: Ranking,
    ) -> None:
        self.scorers, self.beam, self.ranking = scorers, beam, ranking
        self.highest = sum(scorer.weight * scorer.highest for scorer in scorers)
        self.states = [scorer.state for scorer in scorers]
        batch, fp64 = len(limits), torch.float64
        self.limits_B = torch.tensor(limits, dtype=torch.int64, device=device)
        self.places_B = torch.arange(batch, device=device)
        """The index of each utterance in `best_BU`, which keeps those that are dropped."""
        self.prefixes_BWU = torch.full((batch, 1, 1), BLANK, dtype=torch.int64, device=device)
        self.scores_BW = torch.zeros(batch, 1, dtype=fp64, device=device)
        """The scores of the active hypotheses; the others have -inf."""
        self.best_BU = self.prefixes_BWU[:, 0]
        self.best_rank_B = torch.full((batch,), -_INFINITY, dtype=fp64, device=device)
        self.best_score_B = self.best_rank_B

    def extend(self, length: int) -> bool:
        """Extends all active hypotheses, of `length` symbols; returns whether any is left."""
        scores_BWV = self._extensions(length)
        symbols, flat = scores_BWV.shape[-1], scores_BWV.flatten(1)
        scores_BK, flat_BK = flat.topk(min(self.beam, flat.shape[1]))
        rows_BK, symbols_BK = flat_BK // symbols, flat_BK % symbols
        is_end_BK = symbols_BK == BLANK
        self._end(length, scores_BK.masked_fill(~is_end_BK, -_INFINITY), rows_BK)
        scores_BK = scores_BK.masked_fill(is_end_BK, -_INFINITY)
        done_B = self._done(length, scores_BK.amax(1))

        each_B1 = torch.arange(len(rows_BK), device=rows_BK.device)[:, None]
        prefixes_BKU = self.prefixes_BWU[each_B1, rows_BK]
        self.prefixes_BWU = torch.cat([prefixes_BKU, symbols_BK[..., None]], dim=-1)
        self.scores_BW = scores_BK.masked_fill(done_B[:, None], -_INFINITY)
        self.states = [state.hypotheses(rows_BK) for state in self.states]
        return self._drop(done_B)

    def found(self) -> list[list[int]]:
        """Returns the symbols of the best hypothesis of each utterance."""
        rows = self.best_BU[:, 1:].tolist()
        return [list(takewhile(lambda symbol: symbol != BLANK, row)) for row in rows]

    def _extensions(self, length: int) -> Tensor:
        """Returns the scores_BWV of all extensions; those that are not allowed have -inf."""
        last_BW = self.prefixes_BWU[..., -1]
        scores_BWV = self.scores_BW[..., None]
        for index, scorer in enumerate(self.scorers):
            more_BWV, self.states[index] = scorer.step(self.states[index], last_BW)
            scores_BWV = scores_BWV + scorer.weight * more_BWV.double()
        # A scorer may return NaN for hypotheses that are not active.
        scores_BWV = scores_BWV.masked_fill((self.scores_BW == -_INFINITY)[..., None], -_INFINITY)
        at_limit_B11 = (self.limits_B <= length)[:, None, None]
        goes_on_V = torch.arange(scores_BWV.shape[-1], device=scores_BWV.device) != BLANK
        return scores_BWV.masked_fill(at_limit_B11 & goes_on_V, -_INFINITY)

    def _end(self, length: int, scores_BK: Tensor, rows_BK: Tensor) -> None:
        """Keeps the best of the hypotheses that end now if it is better than those before."""
        each_B1 = torch.arange(len(rows_BK), device=rows_BK.device)[:, None]
        covered_BKT = None
        if self.ranking.coverage:
            covered_BKT = self.states[0].own[COVERED][each_B1, rows_BK]
        rank_B, k_B = self.ranking.of(scores_BK, length, covered_BKT).max(1)
        row_B, score_B = (each.gather(1, k_B[:, None])[:, 0] for each in (rows_BK, scores_BK))
        self._keep(rank_B > self.best_rank_B[self.places_B], row_B, rank_B, score_B)

    def _keep(self, which_B: Tensor, row_B: Tensor, rank_B: Tensor, score_B: Tensor) -> None:
        """Makes hypothesis `row_B` the best of the utterances `which_B`."""
        prefix_BU = self.prefixes_BWU[torch.arange(len(row_B), device=row_B.device), row_B]
        more = prefix_BU.shape[1] - self.best_BU.shape[1]
        best_BU = torch.nn.functional.pad(self.best_BU, (0, more), value=BLANK)

        def kept(best: Tensor, new: Tensor, which: Tensor) -> Tensor:
            new = torch.where(which, new, best[self.places_B])
            return best.index_copy(0, self.places_B, new)

        self.best_BU = kept(best_BU, prefix_BU, which_B[:, None])
        self.best_rank_B = kept(self.best_rank_B, rank_B, which_B)
        self.best_score_B = kept(self.best_score_B, score_B, which_B)

    def _done(self, length: int, active_B: Tensor) -> Tensor:
        """Returns which utterances are done, with the best scores of their active hypotheses."""
        best_B = self.best_rank_B[self.places_B]
        # What the best active hypothesis could reach, with the end and without a coverage penalty.
        reach_B = active_B + self.highest * (self.limits_B - length).clamp_min(0)
        longest_B = ((6 + self.limits_B) / 6) ** self.ranking.length_exponent
        reach_B = reach_B / longest_B.where(reach_B < 0, self.ranking.penalty(length + 1))
        hopeless_B = active_B < self.best_score_B[self.places_B] - HOPELESS
        done_B = (reach_B <= best_B) | hopeless_B
        # Nothing is active and nothing has ended: no symbol and no end was possible.
        stuck_B = done_B & (best_B == -_INFINITY)
        lowest_B = torch.full_like(best_B, torch.finfo(best_B.dtype).min)
        self._keep(stuck_B, self.scores_BW.argmax(1), lowest_B, lowest_B)
        return done_B

    def _drop(self, done_B: Tensor) -> bool:
        """Drops the utterances that are done, and returns whether any is left.

        It waits until half of them are done, because dropping copies the states of the others.
        """
        left_B = (~done_B).nonzero()[:, 0]  # waits for the device, once per length
        if 2 * len(left_B) <= len(done_B):
            self.states = [state.utterances(left_B) for state in self.states]
            for name in ("limits_B", "places_B", "prefixes_BWU", "scores_BW"):
                setattr(self, name, getattr(self, name)[left_B])
        return len(left_B) > 0
