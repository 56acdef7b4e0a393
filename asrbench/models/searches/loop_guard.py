"""A scorer that forbids endless repetition, to which attention decoders are prone.

Legend: B utterances, W hypotheses of each, V symbols with the blank, P lengths of a passage.
"""

from functools import partial

import torch
from torch import Tensor

from asrbench.models.searches.state import Scorer, State
from asrbench.text.tokenizer import BLANK

LONGEST = 32
"""P, the most symbols of a passage whose repetitions are counted."""


def loop_guard(
    batch: int, symbols: int, device: torch.device | str, *, repeats: int, longest: int = LONGEST
) -> Scorer:
    """Returns the scorer that allows a passage at most `repeats` times in a row.

    A passage is any string of up to `longest` symbols. The score of a symbol that would complete
    one repetition too many is -inf, all others are 0. The end is always allowed.
    """
    zeros_B1P = torch.zeros(batch, 1, longest, dtype=torch.int64, device=device)
    # The next symbol that would repeat the last p symbols is the one p places before it.
    state = State({}, {"before": zeros_B1P + BLANK, "equal": zeros_B1P})
    return Scorer(partial(_step, symbols=symbols, repeats=repeats), state)


def _step(state: State, symbols_BW: Tensor, *, symbols: int, repeats: int) -> tuple[Tensor, State]:
    """Counts for each p how many symbols in a row equal the one p places before them."""
    before_BWP, equal_BWP = state.own["before"], state.own["equal"]
    is_equal_BWP = (before_BWP == symbols_BW[..., None]) & (before_BWP != BLANK)
    equal_BWP = (equal_BWP + 1) * is_equal_BWP
    before_BWP = torch.cat([symbols_BW[..., None], before_BWP[..., :-1]], dim=-1)
    p_P = torch.arange(1, before_BWP.shape[-1] + 1, device=symbols_BW.device)
    # `repeats` repetitions after the first passage are repeats * p symbols that equal earlier ones.
    forbidden_BWP = equal_BWP + 1 >= repeats * p_P
    scores_BWV = torch.zeros(*symbols_BW.shape, symbols, device=symbols_BW.device)
    penalty_BWP = torch.zeros_like(before_BWP, dtype=scores_BWV.dtype)
    penalty_BWP = penalty_BWP.masked_fill(forbidden_BWP, -torch.inf)
    scores_BWV = scores_BWV.scatter_reduce(-1, before_BWP, penalty_BWP, "amin")
    scores_BWV[..., BLANK] = 0
    return scores_BWV, State({}, {"before": before_BWP, "equal": equal_BWP})
