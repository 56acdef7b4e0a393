"""Decoders without a model and sums over all paths, for every test that searches.

B utterances, W hypotheses of each, T frames, V symbols with the blank, U symbols of a prefix with
the start symbol.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from asrbench.models.searches.ctc_greedy import collapse
from asrbench.models.searches.fusion import Fusion
from asrbench.models.searches.joint import joint_beam
from asrbench.models.searches.state import Scorer, State
from asrbench.text.ngram_lm import LmSource, NgramLm, SymbolLm
from asrbench.text.ngram_training import trained_arpa
from asrbench.text.tokenizer import BLANK, Tokenizer

SEEDS = st.integers(0, 2**32)
TOKENIZER = Tokenizer("char", (" ", "a", "b"))


def random_log_probs(seed: int, *shape: int, sharpness: float = 2.0) -> Tensor:
    logits = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return (sharpness * logits).log_softmax(dim=-1)


def certain(path: Sequence[int], symbols: int) -> Tensor:
    """Log posteriors (T, V) that leave no doubt about the path."""
    return torch.nn.functional.one_hot(torch.tensor(path), symbols).double().log()


def strings(symbols: int, longest: int) -> list[tuple[int, ...]]:
    """Every string of up to `longest` symbols, none of which is the blank."""
    return [
        string
        for length in range(longest + 1)
        for string in product(range(1, symbols), repeat=length)
    ]


def spellings(log_probs_TV: Tensor) -> dict[tuple[int, ...], float]:
    """Probability of every string: the sum over all paths that collapse to it."""
    frames, symbols = log_probs_TV.shape
    rows = log_probs_TV.double().exp().tolist()
    totals: dict[tuple[int, ...], float] = {}
    for path in product(range(symbols), repeat=frames):
        string = tuple(collapse(path))
        probability = math.prod(row[i] for row, i in zip(rows, path, strict=True))
        totals[string] = totals.get(string, 0.0) + probability
    return totals


def hypotheses_of(state: State, symbols_BW: Tensor) -> Tensor:
    """The prefixes of a scorer that keeps them in its state, with the symbols read now."""
    return torch.cat([state.own["prefix"], symbols_BW[..., None]], dim=-1)


def scorer(
    log_probs: Callable[[int, tuple[int, ...]], Tensor], batch: int = 1, **more: float
) -> Scorer:
    """What is said of a prefix (with the start symbol) of an utterance, as a scorer of a batch."""

    def step(state: State, symbols_BW: Tensor) -> tuple[Tensor, State]:
        prefixes_BWU = hypotheses_of(state, symbols_BW)
        rows = [
            torch.stack([log_probs(int(seed), tuple(prefix)) for prefix in prefixes_WU.tolist()])
            for seed, prefixes_WU in zip(state.shared["seed"], prefixes_BWU, strict=True)
        ]
        return torch.stack(rows), State(state.shared, {"prefix": prefixes_BWU})

    none_B1U = torch.zeros(batch, 1, 0, dtype=torch.int64)
    return Scorer(step, State({"seed": torch.arange(batch)}, {"prefix": none_B1U}), **more)


def table(seeds: Sequence[int], symbols: int) -> Scorer:
    """A decoder without a model: what it says is drawn from a hash of the prefix and the seed."""

    def log_probs(index: int, prefix: tuple[int, ...]) -> Tensor:
        return random_log_probs(hash((seeds[index], *prefix)) % 2**32, symbols)

    return scorer(log_probs, len(seeds))


def endless(symbols: int, batch: int = 1) -> Scorer:
    """A decoder that says symbol 1 for ever."""
    return scorer(lambda *_: certain([1], symbols)[0], batch)


def unasked() -> Scorer:
    def step(state: State, symbols_BW: Tensor) -> tuple[Tensor, State]:
        pytest.fail("the decoder has no weight")

    return Scorer(step, State({}, {}))


def score_of(decoder: Scorer, string: Sequence[int], index: int = 0) -> float:
    """Log probability of the whole string and its end."""
    state, total = decoder.state.utterances(torch.tensor([index])), 0.0
    for last, symbol in pairwise([BLANK, *string, BLANK]):
        log_probs_11V, state = decoder.step(state, torch.tensor([[last]]))
        total += log_probs_11V[0, 0, symbol].item()
    return total


def trigrams(folder: Path) -> SymbolLm:
    """A language model of the symbols of `TOKENIZER`, by way of a file in `folder`."""
    texts = ["ab ba", "abba", "a b", "bab a", "ba ab", "aa", "b"]
    source = LmSource(TOKENIZER.digest, "char", 3, "f1")
    path = folder / "3.arpa"
    path.write_text(trained_arpa(texts, 3, source))
    return SymbolLm(NgramLm.read(path), TOKENIZER)


def prior(fusion: Fusion, string: Sequence[int]) -> float:
    """What language model and bonus add to the score of a whole text."""
    total = fusion.length_bonus * len(string)
    if fusion.lm is not None:
        words = [int(fusion.lm.word_V[symbol]) for symbol in string]
        total += fusion.lm_weight * fusion.lm.lm.score(words)
    return total


def search_one(decoder: Scorer, log_probs_TV: Tensor, *, limit: int, **settings: Any) -> list[int]:
    """Joint search of one utterance."""
    (found,) = joint_beam(
        decoder, log_probs_TV[None], [len(log_probs_TV)], limits=[limit], **settings
    )
    return found
