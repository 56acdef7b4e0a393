"""Joint CTC/attention beam search.

Legend: T encoder frames, V symbols with the blank, N hypotheses of one utterance, U symbols of a
prefix with the start symbol. Scores are natural logarithms of probabilities (nats), never above 0.
"""

import torch
from torch import Tensor

from asrbench.models.searches.attention import Step
from asrbench.models.searches.ctc_prefixes import CtcPrefixes
from asrbench.text.tokenizer import BLANK

_INFINITY = float("inf")


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
