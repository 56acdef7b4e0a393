"""Greedy and beam search with an attention decoder, batched over utterances.

Legend: B utterances, W hypotheses of each, V symbols with the blank.
"""

from collections.abc import Sequence
from itertools import takewhile

import torch

from asrbench.models.searches.beam import Ranking, beam_search
from asrbench.models.searches.loop_guard import loop_guard
from asrbench.models.searches.state import Scorer
from asrbench.text.tokenizer import BLANK


@torch.no_grad()
def attention_greedy(
    decoder: Scorer, limits: Sequence[int], device: torch.device | str
) -> list[list[int]]:
    """Returns each utterance's symbols by greedy search: the decoder's most probable next symbol.

    `limits` are the greatest numbers of symbols of the utterances. An utterance that has ended or
    reached its limit stays in the batch until all have, but gets no symbols.
    """
    limits_B1 = torch.tensor(limits, dtype=torch.int64, device=device)[:, None]
    last_B1, state = torch.full_like(limits_B1, BLANK), decoder.state
    ended_B1, found = limits_B1 <= 0, [last_B1[:, :0]]
    for length in range(1, max(limits, default=0) + 1):
        log_probs_B1V, state = decoder.step(state, last_B1)
        last_B1 = log_probs_B1V.argmax(dim=-1).masked_fill(ended_B1, BLANK)
        found.append(last_B1)
        ended_B1 = (last_B1 == BLANK) | (limits_B1 <= length)
        if ended_B1.all():  # waits for the device, which costs less than a needless step
            break
    rows: list[list[int]] = torch.cat(found, dim=1).tolist()
    return [list(takewhile(lambda symbol: symbol != BLANK, row)) for row in rows]


def attention_beam(
    decoder: Scorer,
    limits: Sequence[int],
    symbols: int,
    device: torch.device | str,
    *,
    beam: int,
    ranking: Ranking,
    repeats: int | None,
    fusion: Sequence[Scorer] = (),
) -> list[list[int]]:
    """Returns each utterance's symbols by beam search over the decoder's log probabilities.

    `limits` are the greatest numbers of symbols, of `symbols` kinds with the blank. `repeats` is
    how often the same passage may be said in a row, without limit if None. The scores of `fusion`,
    as of a language model, are added by their weights. Length normalisation divides the whole sum,
    log p of the decoder with what `fusion` adds; the coverage penalty is added after that.
    """
    guards = [] if repeats is None else [loop_guard(len(limits), symbols, device, repeats=repeats)]
    scorers = [decoder, *guards, *fusion]
    return beam_search(scorers, limits, device, beam=beam, ranking=ranking)
