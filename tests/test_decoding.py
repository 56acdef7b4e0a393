"""Greedy searches and CTC prefix scores against brute force: all paths, all strings.

B utterances, W hypotheses of each, T frames, V symbols with the blank.
"""

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scorers import (
    SEEDS,
    certain,
    random_log_probs,
    scorer,
    search_one,
    spellings,
    strings,
    table,
    unasked,
)
from torch import Tensor

from asrbench.models.searches.attention import attention_greedy
from asrbench.models.searches.ctc_greedy import collapse, ctc_greedy
from asrbench.models.searches.ctc_prefixes import ctc_prefixes
from asrbench.scoring.edit_counts import character_errors
from asrbench.text.tokenizer import BLANK, Tokenizer

# collapse and best path


@pytest.mark.parametrize(
    ("path", "string"),
    [("", ""), ("_", ""), ("aa_ab", "aab"), ("aaa", "a"), ("a_a", "aa"), ("_ab__ba_", "abba")],
)
def test_collapse_by_hand(path: str, string: str) -> None:
    assert collapse(["_ab".index(c) for c in path]) == ["_ab".index(c) for c in string]


@given(st.lists(st.integers(0, 3)))
@settings(deadline=None)
def test_collapse_keeps_first_frame_of_each_run_of_a_symbol(path: list[int]) -> None:
    expected = [
        index for t, index in enumerate(path) if index != BLANK and (t == 0 or path[t - 1] != index)
    ]
    assert collapse(path) == expected


@given(SEEDS, st.lists(st.integers(0, 12), min_size=1, max_size=5))
@settings(deadline=None)
def test_ctc_greedy_ignores_padding_and_batch_mates(seed: int, lengths: list[int]) -> None:
    log_probs_BTV = random_log_probs(seed, len(lengths), 12, 3)
    together = ctc_greedy(log_probs_BTV, torch.tensor(lengths))
    for log_probs_TV, length, hypothesis in zip(log_probs_BTV, lengths, together, strict=True):
        assert hypothesis == collapse(log_probs_TV[:length].argmax(dim=-1).tolist())
        alone = log_probs_TV[None, :length]
        assert ctc_greedy(alone, torch.tensor([length])) == [hypothesis]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=1, max_size=8))
@settings(deadline=None)
def test_perfect_recogniser_has_no_errors(spoken: list[tuple[int, int]]) -> None:
    """Symbols that last several frames are one symbol each: unmerged they would count as errors."""
    reference = "".join("abcde"[index] for index, _ in spoken)
    tokenizer = Tokenizer("char", tuple("abcde"))
    path: list[int] = []
    for index, frames in spoken:
        if path and path[-1] == index + 1:
            path.append(BLANK)
        path += [index + 1] * frames
    log_probs_TV = certain(path, len(tokenizer))
    [best_path] = ctc_greedy(log_probs_TV[None], torch.tensor([len(path)]))
    searched = search_one(unasked(), log_probs_TV, beam=2, ctc_weight=1, limit=len(path))
    hypotheses = [tokenizer.decode(best_path), tokenizer.decode(searched)]
    assert character_errors([reference] * 2, hypotheses, "verbatim").rate == 0


# attention, greedy


@given(SEEDS, st.lists(st.integers(0, 6), min_size=1, max_size=4))
@settings(deadline=None)
def test_attention_greedy_follows_the_best_symbol_within_limits(
    seed: int, limits: list[int]
) -> None:
    seeds = [seed + row for row in range(len(limits))]
    together = attention_greedy(table(seeds, 3), limits, "cpu")
    for own, limit, hypothesis in zip(seeds, limits, together, strict=True):
        expected: list[int] = []
        while len(expected) < limit:
            symbol = int(random_log_probs(hash((own, BLANK, *expected)) % 2**32, 3).argmax())
            if symbol == BLANK:
                break
            expected.append(symbol)
        assert hypothesis == expected
        assert attention_greedy(table([own], 3), [limit], "cpu") == [hypothesis]


def test_attention_greedy_asks_no_more_than_it_must() -> None:
    asked: list[tuple[int, tuple[int, ...]]] = []

    def log_probs(index: int, prefix: tuple[int, ...]) -> Tensor:
        """Utterance 0 says 1 for ever, utterance 1 ends after one symbol."""
        asked.append((index, prefix))
        return certain([1 if index == 0 else 2 if len(prefix) == 1 else BLANK], 3)[0]

    assert attention_greedy(scorer(log_probs, 2), [3, 9], "cpu") == [[1, 1, 1], [2]]
    assert [prefix for index, prefix in asked if index == 0] == [(0,), (0, 1), (0, 1, 1)]
    assert len(asked) == 6
    assert attention_greedy(scorer(log_probs, 2), [0, 0], "cpu") == [[], []]
    assert len(asked) == 6


# CTC prefix scores


def scores_of(log_probs_TV: Tensor, prefix: Sequence[int], padding: int = 0) -> Tensor:
    """(V,): CTC scores of what may follow `prefix`, of an utterance with frames of garbage."""
    frames, symbols = log_probs_TV.shape
    garbage_TV = random_log_probs(9, padding, symbols).to(log_probs_TV.dtype)
    step, state, *_ = ctc_prefixes(torch.cat([log_probs_TV, garbage_TV])[None], [frames])
    total = torch.zeros((), dtype=torch.float64)
    for last, symbol in pairwise([BLANK, *prefix, BLANK]):
        scores_11V, state = step(state, torch.tensor([[last]]))
        scores_V = total + scores_11V[0, 0]
        total = scores_V[symbol]
    return scores_V


@pytest.mark.parametrize(("frames", "symbols"), [(1, 2), (1, 4), (3, 3), (4, 4), (5, 3)])
@pytest.mark.parametrize("padding", [0, 3])
def test_ctc_prefix_scores_equal_sums_over_all_paths(
    frames: int, symbols: int, padding: int
) -> None:
    log_probs_TV = random_log_probs(padding, frames, symbols)
    totals = spellings(log_probs_TV)
    for prefix in strings(symbols, 3):
        if not any(string[: len(prefix)] == prefix for string in totals):
            continue  # scores are relative to a prefix that is possible
        probabilities_V = scores_of(log_probs_TV, prefix, padding).exp()
        assert probabilities_V[BLANK] == pytest.approx(totals.get(prefix, 0.0))
        for symbol in range(1, symbols):
            longer = (*prefix, symbol)
            begins = sum(p for string, p in totals.items() if string[: len(longer)] == longer)
            assert probabilities_V[symbol] == pytest.approx(begins)


def test_ctc_prefixes_side_by_side_are_each_alone() -> None:
    """Two utterances of 6 and 4 frames, four hypotheses of each, of which some repeat."""
    log_probs_BTV, lengths = random_log_probs(0, 2, 6, 4), [6, 4]
    step, state, *_ = ctc_prefixes(log_probs_BTV, lengths)
    _, state = step(state, torch.zeros(2, 1, dtype=torch.int64))
    _, state = step(state.hypotheses(torch.tensor([[0] * 3] * 2)), torch.tensor([[1, 2, 3]] * 2))
    rows_BW = torch.tensor([[2, 0, 0, 1], [1, 1, 2, 0]])
    symbols_BW = torch.tensor([[1, 1, 3, 2], [1, 3, 1, 1]])
    state = state.hypotheses(rows_BW)
    before_BW1 = state.own["score"][..., None]
    first_BWV, state = step(state, symbols_BW)
    assert (before_BW1 < 0).all()
    scores_BWV = first_BWV + state.own["score"][..., None]
    for b, length in enumerate(lengths):
        for row, symbol, found_V in zip(rows_BW[b], symbols_BW[b], scores_BWV[b], strict=True):
            alone_V = scores_of(log_probs_BTV[b, :length], [int(row) + 1, int(symbol)])
            torch.testing.assert_close(found_V, alone_V)


def test_ctc_scores_of_long_utterances_equal_ctc_loss() -> None:
    """1,500 frames, sharp posteriors: the running sums lose nothing that fp64 can keep."""
    log_probs_TV = random_log_probs(0, 1500, 30, sharpness=8.0).double()
    string = torch.randint(1, 30, (120,), generator=torch.Generator().manual_seed(1))
    string[50] = string[49]
    loss = torch.nn.functional.ctc_loss(
        log_probs_TV, string, torch.tensor(1500), torch.tensor(120), BLANK, reduction="sum"
    )
    assert scores_of(log_probs_TV, string.tolist())[BLANK].item() == pytest.approx(-loss.item())


def test_ctc_scores_of_certain_posteriors_are_numbers() -> None:
    """Probability 0 is -inf: it must not turn into NaN, nor let anything through."""
    log_probs_TV = certain([1, 1, BLANK, 1, 2], 4)
    assert scores_of(log_probs_TV, [1, 1, 2]).exp().tolist() == pytest.approx([1, 0, 0, 0])
    assert scores_of(log_probs_TV, [1, 1]).exp().tolist() == pytest.approx([0, 0, 1, 0])
    assert scores_of(log_probs_TV, [1, 1, 2], padding=4).exp().tolist() == pytest.approx(
        [1, 0, 0, 0]
    )


def test_no_frames_no_symbols() -> None:
    assert search_one(unasked(), torch.zeros(0, 3), beam=2, ctc_weight=0.3, limit=4) == []
    assert ctc_greedy(torch.zeros(2, 0, 3), torch.tensor([0, 0])) == [[], []]
