"""Forced alignment: when the symbols of a known text are spoken.

Legend: T frames, V vocabulary with the blank.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torchaudio
from torch import Tensor

from asrbench.text.tokenizer import BLANK


class AlignedSpan(NamedTuple):
    """A symbol of the text, from frame `start` to before frame `end` of the best path."""

    symbol: int
    start: int
    end: int
    probability: float
    """The mean probability of the symbol over its frames."""


def ctc_aligned(log_probs_TV: Tensor, symbols: Sequence[int]) -> list[AlignedSpan]:
    """Returns the spans of `symbols` on the best CTC path that spells them.

    torchaudio's `forced_align` finds the path. CTC emits a symbol somewhere within its sound, so
    spans show its peaks, not its duration. Raises `RuntimeError` for fewer frames than the symbols,
    and the blanks between repeats, need.
    """
    if not symbols:
        return []
    path_1T, scores_1T = torchaudio.functional.forced_align(
        log_probs_TV.float().cpu().contiguous()[None], torch.tensor([symbols]), blank=BLANK
    )
    spans = torchaudio.functional.merge_tokens(path_1T[0], scores_1T[0].exp(), blank=BLANK)
    return [AlignedSpan(s.token, s.start, s.end, float(s.score)) for s in spans]
