"""Greedy search with an attention decoder.

Legend: B utterances, V symbols with the blank, N hypotheses, U symbols of a prefix with the start
symbol.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile

import torch
from torch import Tensor

from asrbench.text.tokenizer import BLANK

Step = Callable[[Tensor], Tensor]
"""`prefixes_NU -> log_probs_NV`: the next symbol's log probabilities under an attention decoder.

Prefixes are int64 and begin with BLANK, the start symbol. Each row of the result is a log
probability distribution (nats) over the symbols and, at index BLANK, the end of the sequence.
"""


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
