"""Searches with a transducer: greedy, and a beam that adds up the alignments of each text.

Legend: B utterances, T frames, J joiner width, V vocabulary with the blank, K hypotheses of one
utterance, N = B * K hypotheses. Scores are in nats.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from asrbench.models.layers.prediction import Prediction
from asrbench.models.searches.state import Scorer
from asrbench.text.tokenizer import BLANK

SYMBOLS_A_FRAME = 10
"""Symbols that greedy search writes in one frame at most, so that it ends with any model."""

_INFINITY = float("inf")


class Transducing(Protocol):
    """The parts of a transducer that a search needs."""

    prediction: Prediction

    def written(self, y_NE: Tensor) -> Tensor:
        """Returns the projection of the prediction network's output, written_NJ."""

    def join(self, frame_NJ: Tensor, written_NJ: Tensor) -> Tensor:
        """Returns logits_NV."""


@torch.no_grad()
def transducer_greedy(model: Transducing, frame_BTJ: Tensor, frames_B: Tensor) -> list[list[int]]:
    """Returns each utterance's symbols on the path that takes the most probable step at each node.

    `frame_BTJ` are the projected frames and `frames_B` their numbers, on the CPU. All utterances
    take one step at a time, each at its own frame. The search can miss a probable text: where a
    symbol has several likely frames, the blank can be the most probable step in each of them.
    """
    batch, device = len(frame_BTJ), frame_BTJ.device
    last_B = frames_B.to(device) - 1
    rows_B = torch.arange(batch, device=device)
    t_B, in_frame_B = torch.zeros_like(rows_B), torch.zeros_like(rows_B)
    y_BE, state = model.prediction.start(batch, device)
    written: list[Tensor] = []
    while bool((t_B <= last_B).any()):
        frame_BJ = frame_BTJ[rows_B, t_B.minimum(last_B)]
        next_B = model.join(frame_BJ, model.written(y_BE)).argmax(-1)
        writes_B = (next_B != BLANK) & (t_B <= last_B) & (in_frame_B < SYMBOLS_A_FRAME)
        written.append(next_B.masked_fill(~writes_B, BLANK))
        following_BE, after = model.prediction.step(state, next_B)
        y_BE = torch.where(writes_B[:, None], following_BE, y_BE)
        state = after.where(writes_B, state)
        in_frame_B = (in_frame_B + 1) * writes_B
        t_B = t_B + ~writes_B
    paths = torch.stack(written, 1).tolist()
    return [[symbol for symbol in path if symbol != BLANK] for path in paths]


class _Texts:
    """Texts as paths from a common root, so that equal texts have equal numbers."""

    def __init__(self) -> None:
        self._number: dict[tuple[int, int], int] = {}
        self._parent, self._symbol = [-1], [BLANK]

    def extended(self, text: int, symbol: int) -> int:
        """Returns the number of a text with one symbol more."""
        found = self._number.setdefault((text, symbol), len(self._parent))
        if found == len(self._parent):
            self._parent.append(text)
            self._symbol.append(symbol)
        return found

    def last(self, text: int) -> tuple[int, int]:
        """Returns the number of the text without its last symbol, and that symbol."""
        return self._parent[text], self._symbol[text]

    def symbols(self, text: int) -> list[int]:
        """Returns the symbols of a text."""
        found = []
        while text:
            found.append(self._symbol[text])
            text = self._parent[text]
        return found[::-1]


class _Hypothesis(NamedTuple):
    """A text, with the alignments of it that the beam has kept."""

    score: float
    """Their log probability, and what the language model and the bonus add for the text."""
    text: int
    time: int
    """The frame that it reads next."""
    length: int
    """The number of its symbols."""
    row: int
    """The row of its state, or that of its parent if it was just written."""
    symbol: int
    """The symbol that was just written, or BLANK."""


class _Search:
    """The beam of one utterance."""

    def __init__(self, frames: int, beam: int, highest: float, row: int) -> None:
        self.frames, self.beam, self.highest = frames, beam, highest
        self.texts = _Texts()
        self.active = [_Hypothesis(0.0, 0, 0, 0, row, BLANK)] if frames else []
        self.best_score, self.best_text = -_INFINITY, 0

    def ends(self, each: _Hypothesis) -> bool:
        """Returns whether a blank would be the end of a hypothesis."""
        return each.time + 1 == self.frames

    def step(self, scores_KV: Tensor, first: int) -> None:
        """Replaces each active hypothesis by those that are one step longer.

        `scores_KV` of the next steps are on the CPU, in the order of the hypotheses; `first` is the
        row of the first one.
        """
        found: dict[int, _Hypothesis] = {}
        for k, each in enumerate(self.active):
            score = each.score + float(scores_KV[k, BLANK])
            if not self.ends(each):
                found[each.text] = _Hypothesis(
                    score, each.text, each.time + 1, each.length, first + k, BLANK
                )
            elif score > self.best_score:
                self.best_score, self.best_text = score, each.text
        for k, symbol in self._extensions(scores_KV):
            parent = self.active[k]
            score = parent.score + float(scores_KV[k, symbol])
            text = self.texts.extended(parent.text, symbol)
            if (same := found.get(text)) is not None:
                found[text] = same._replace(score=float(np.logaddexp(same.score, score)))
            else:
                found[text] = _Hypothesis(
                    score, text, parent.time, parent.length + 1, first + k, symbol
                )
        ahead = sorted(found.values(), key=lambda each: -each.score)[: self.beam]
        self.active = ahead if self._reach(ahead) > self.best_score else []

    def result(self) -> list[int]:
        """Returns the symbols of the best finished text."""
        return self.texts.symbols(self.best_text)

    def _reach(self, ahead: list[_Hypothesis]) -> float:
        """Returns the highest score that a text could still have.

        Every alignment of a text goes through one of the hypotheses, each of which holds a part of
        them, and gains no more than the highest score of each symbol that it can still get.
        """
        scores = [each.score + self.highest * (self.frames - each.length) for each in ahead]
        return float(np.logaddexp.reduce(scores)) if scores else -_INFINITY

    def _extensions(self, scores_KV: Tensor) -> set[tuple[int, int]]:
        """Returns hypothesis and symbol of the best extensions, and of those that can be merged."""
        scores_K1 = torch.tensor([[each.score] for each in self.active], dtype=scores_KV.dtype)
        scores_KV = scores_KV + scores_K1
        scores_KV[:, BLANK] = -_INFINITY
        symbols = scores_KV.shape[1]
        best = scores_KV.flatten().topk(min(self.beam, scores_KV.numel() - len(scores_KV))).indices
        found = {divmod(flat, symbols) for flat in best.tolist()}
        place = {each.text: k for k, each in enumerate(self.active)}
        for each in self.active:
            parent, symbol = self.texts.last(each.text)
            if parent in place:
                found.add((place[parent], symbol))
        # Where symbols are as impossible as a blank is here, it is among the best.
        return {
            (k, symbol)
            for k, symbol in found
            if symbol != BLANK and self.active[k].length < self.frames
        }


@torch.no_grad()
def transducer_beam(
    model: Transducing,
    frame_BTJ: Tensor,
    frames_B: Tensor,
    *,
    beam: int,
    fusion: Sequence[Scorer] = (),
) -> list[list[int]]:
    """Returns each utterance's symbols by alignment-length synchronous search.

    Saon et al. 2020, "Alignment-Length Synchronous Decoding for RNN Transducer". After i steps
    every hypothesis has made i steps through the lattice, so those of the same text are at the same
    node and are merged. With a beam that holds all texts the score is the probability of the text.
    A text has at most as many symbols as there are frames. The scores of `fusion`, as of a language
    model, are added by their weights where a symbol is written, and those of the end at the blank
    of the last frame. They depend on the text alone, so that merged alignments have the same. An
    utterance is done when no sum of the unfinished alignments could score more than its best
    finished text.
    """
    device = frame_BTJ.device
    highest = sum(scorer.weight * scorer.highest for scorer in fusion)
    searches = [_Search(frames, beam, highest, b) for b, frames in enumerate(frames_B.tolist())]
    y_NE, state = model.prediction.start(len(searches), device)
    written_NJ, fused = model.written(y_NE), [scorer.state for scorer in fusion]
    while active := [(b, each) for b, search in enumerate(searches) for each in search.active]:
        now = ((e.row, b, e.time, e.symbol, searches[b].ends(e)) for b, e in active)
        rows_N, b_N, t_N, symbols_N, ends_N = (
            torch.tensor(values, device=device) for values in zip(*now, strict=True)
        )
        before, written_NJ = state.rows(rows_N), written_NJ.index_select(0, rows_N)
        y_NE, after = model.prediction.step(before, symbols_N)
        writes_N = symbols_N != BLANK
        state = after.where(writes_N, before)
        written_NJ = torch.where(writes_N[:, None], model.written(y_NE), written_NJ)
        scores_NV = model.join(frame_BTJ[b_N, t_N], written_NJ).log_softmax(-1)
        for i, scorer in enumerate(fusion):
            more_N1V, fused[i] = scorer.step(fused[i].utterances(rows_N), symbols_N[:, None])
            more_NV = more_N1V[:, 0].clone()
            more_NV[:, BLANK].masked_fill_(~ends_N, 0.0)
            scores_NV = scores_NV + scorer.weight * more_NV
        scores_NV = scores_NV.cpu()
        first = 0
        for search in searches:
            count = len(search.active)
            if count:
                search.step(scores_NV[first : first + count], first)
            first += count
    return [search.result() for search in searches]
