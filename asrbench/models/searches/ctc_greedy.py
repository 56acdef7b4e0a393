"""CTC's best path. Legend: B utterances, T encoder frames, V symbols with the blank."""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from asrbench.text.tokenizer import BLANK


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
