"""The CTC prefix scores of joint search, batched over utterances.

Watanabe et al. 2017, "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition",
Algorithm 2. Legend: B utterances, W hypotheses of each, T encoder frames, S = T + 1 boundaries
between frames (boundary t has t frames before it), V symbols with the blank. Scores are in nats.

The state of a hypothesis has its last symbol, its prefix score, and its forward variables
`symbol_BWS` and `blank_BWS` (the paper's r^n and r^b): the log probabilities that the frames before
a boundary spell the prefix, with the last of them being the prefix's last symbol or a blank. They
are in fp64, because running sums over many frames lose what fp32 cannot keep.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from asrbench.models.layers.masking import valid_frames
from asrbench.models.searches.state import Scorer, State
from asrbench.text.tokenizer import BLANK

_INFINITY = float("inf")

_LEAST_LOG_PROB = -1e4
"""Replaces log 0, because `_dwell` subtracts running sums and -inf - -inf is NaN."""


@torch.no_grad()
def ctc_prefixes(log_probs_BTV: Tensor, lengths: Sequence[int]) -> Scorer:
    """Returns the scorer of the CTC prefix scores under log posteriors of `lengths` frames.

    A prefix score is the log probability that the utterance begins with that prefix; at BLANK, that
    it is the prefix and nothing more. The score of a symbol is what it adds to that of its prefix.
    """
    lengths_B = torch.tensor(lengths, device=log_probs_BTV.device)
    # Padding frames certainly have the blank, which changes no probability.
    padding_BT = ~valid_frames(lengths_B, log_probs_BTV.shape[1])
    log_probs_BTV = log_probs_BTV.masked_fill(padding_BT[..., None], -_INFINITY)
    log_probs_BTV = log_probs_BTV.clamp(min=_LEAST_LOG_PROB)
    log_probs_BTV[..., BLANK].masked_fill_(padding_BT, 0.0)
    blank_B1S = _after_first(0.0, log_probs_BTV[:, None, :, BLANK].double().cumsum(-1))
    own = {
        "last": torch.full_like(lengths_B[:, None], BLANK),
        "score": torch.zeros_like(blank_B1S[..., 0]),
        "symbol": torch.full_like(blank_B1S, -_INFINITY),
        "blank": blank_B1S,
    }
    shared = {
        "log_probs": log_probs_BTV,
        "probs": log_probs_BTV.double().exp(),
        "padding": padding_BT,
    }
    return Scorer(_step, State(shared, own))


def _step(state: State, symbols_BW: Tensor) -> tuple[Tensor, State]:
    state = _extended(state, symbols_BW)
    return _scores(state) - state.own["score"][..., None], state


def _scores(state: State) -> Tensor:
    """Returns the prefix scores_BWV of each prefix extended by each symbol.

    Algorithm 2 sums over frames t the probability that the prefix ends before t and the symbol is
    emitted at t. The first factor does not depend on the symbol, so for all symbols at once the sum
    is a matrix product, and no symbol has to be pruned beforehand by its attention score. Terms
    that fp64 rounds to zero are below exp(-700) times the largest.
    """
    blank_BWS, last_BW1 = state.own["blank"], state.own["last"][..., None]
    spelt_BWS = torch.logaddexp(state.own["symbol"], blank_BWS)
    before_BWT = _entering(state, spelt_BWS)
    # The peak is finite even when no frame is left, because -inf - -inf is NaN.
    peak_BW1 = before_BWT.amax(-1, keepdim=True).clamp(min=torch.finfo(torch.float64).min)
    scores_BWV = peak_BW1 + ((before_BWT - peak_BW1).exp() @ state.shared["probs"]).log()
    # Repeating the last symbol needs a blank in between; without one CTC merges the two.
    again_BWT = _entering(state, blank_BWS) + _of_symbols(state, state.own["last"])
    scores_BWV.scatter_(-1, last_BW1, again_BWT.logsumexp(-1, keepdim=True))
    scores_BWV[..., BLANK] = spelt_BWS[..., -1]
    return scores_BWV


def _extended(state: State, symbols_BW: Tensor) -> State:
    """Returns the state after reading `symbols_BW`; BLANK, the start symbol, changes nothing."""
    own = state.own
    spelt_BWS = torch.logaddexp(own["symbol"], own["blank"])
    before_BWS = torch.where((symbols_BW == own["last"])[..., None], own["blank"], spelt_BWS)
    before_BWT = _entering(state, before_BWS)
    log_probs_BWT = _of_symbols(state, symbols_BW)
    symbol_BWS = _dwell(before_BWT, log_probs_BWT)
    blank_B1T = state.shared["log_probs"][:, None, :, BLANK].double()
    read = {
        "last": symbols_BW,
        "score": (before_BWT + log_probs_BWT).logsumexp(-1),
        "symbol": symbol_BWS,
        "blank": _dwell(symbol_BWS[..., :-1], blank_B1T.expand_as(log_probs_BWT)),
    }
    start_BW = symbols_BW == BLANK
    kept = {
        name: torch.where(start_BW if x.dim() == 2 else start_BW[..., None], own[name], x)
        for name, x in read.items()
    }
    return State(state.shared, kept)


def _entering(state: State, before_BWS: Tensor) -> Tensor:
    """Returns before_BWT, the variables before each frame at which a symbol can begin."""
    return before_BWS[..., :-1].masked_fill(state.shared["padding"][:, None], -_INFINITY)


def _of_symbols(state: State, symbols_BW: Tensor) -> Tensor:
    """Returns the log posteriors_BWT of one symbol each."""
    log_probs_BTV = state.shared["log_probs"]
    index_BTW = symbols_BW[:, None, :].expand(-1, log_probs_BTV.shape[1], -1)
    return log_probs_BTV.gather(2, index_BTW).transpose(1, 2).double()


def _dwell(before_BWT: Tensor, log_probs_BWT: Tensor) -> Tensor:
    """Returns (B, W, S): log probability of having entered a state at some frame and stayed there.

    `before_BWT` is the log probability of being, before a frame, in the state from which this one
    is entered. Algorithm 2 goes frame by frame: `r[t] = logaddexp(r[t - 1], before[t - 1]) +
    log_probs[t]`. Divided by the probability of staying from the first frame on, that recursion
    becomes a running sum.
    """
    stay_BWS = _after_first(0.0, log_probs_BWT.cumsum(-1))
    entered_BWT = (before_BWT - stay_BWS[..., :-1]).logcumsumexp(-1)
    return _after_first(-_INFINITY, stay_BWS[..., 1:] + entered_BWT)


def _after_first(value: float, x_BWT: Tensor) -> Tensor:
    """Returns (B, W, S): `value` at the boundary before all frames, then `x_BWT`."""
    return F.pad(x_BWT, (1, 0), value=value)
