"""Joint CTC/attention beam search, batched over utterances.

Legend: B utterances, T encoder frames, V symbols with the blank.
"""

from collections.abc import Sequence

from torch import Tensor

from asrbench.models.searches.beam import beam_search
from asrbench.models.searches.ctc_prefixes import ctc_prefixes
from asrbench.models.searches.state import Scorer


def joint_beam(
    decoder: Scorer,
    log_probs_BTV: Tensor,
    lengths: Sequence[int],
    *,
    beam: int,
    ctc_weight: float,
    limits: Sequence[int] | None = None,
    fusion: Sequence[Scorer] = (),
) -> list[list[int]]:
    """Returns each utterance's symbols by label-synchronous joint CTC/attention beam search.

    A hypothesis scores `(1 - ctc_weight) * attention + ctc_weight * ctc`, where `attention` is its
    log probability under the decoder and `ctc` its CTC prefix score (one-pass decoding of Watanabe
    et al. 2017, "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition", and of Hori
    et al. 2017, arXiv:1706.02737), plus the scores of `fusion` by their weights. There is no length
    normalisation, because CTC rules out hypotheses that are too short or too long.

    `log_probs_BTV` are the CTC log posteriors, of `lengths` valid frames; the search runs on their
    device. `limits` are the greatest numbers of symbols, by default those of frames. A score with
    weight 0 is not computed.
    """
    if not log_probs_BTV.shape[1]:
        return [[] for _ in lengths]
    scorers = [decoder._replace(weight=1 - ctc_weight), *fusion]
    if ctc_weight > 0:
        scorers.append(ctc_prefixes(log_probs_BTV, lengths)._replace(weight=ctc_weight))
    return beam_search(scorers, limits or lengths, log_probs_BTV.device, beam=beam)
