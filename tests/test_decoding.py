"""Decoders against brute force: all paths, all strings.

B utterances, T frames, V symbols with the blank, N hypotheses, U symbols of a prefix.
"""

import math
from collections.abc import Sequence
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asrbench.models.searches.attention import Step, attention_greedy
from asrbench.models.searches.ctc_greedy import collapse, ctc_greedy
from asrbench.models.searches.ctc_prefixes import CtcPrefixes
from asrbench.models.searches.joint import joint_beam
from asrbench.scoring.edit_counts import character_errors
from asrbench.text.tokenizer import BLANK, Tokenizer

SEEDS = st.integers(0, 2**32)


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


def table_step(seeds: Sequence[int], symbols: int) -> Step:
    """A decoder without a model: what row n says is drawn from a hash of its prefix and its seed.

    One seed is for hypotheses of one utterance, several are for a batch.
    """

    def step(prefixes_NU: Tensor) -> Tensor:
        own = list(seeds) * len(prefixes_NU) if len(seeds) == 1 else seeds
        rows = [
            random_log_probs(hash((seed, *prefix)) % 2**32, symbols)
            for seed, prefix in zip(own, prefixes_NU.tolist(), strict=True)
        ]
        return torch.stack(rows)

    return step


def endless(symbols: int) -> Step:
    """A decoder that says symbol 1 for ever."""
    return lambda prefixes_NU: certain([1] * len(prefixes_NU), symbols)


def attention_score(step: Step, string: Sequence[int]) -> float:
    """Log probability of the whole string and its end."""
    prefix, total = [BLANK], 0.0
    for symbol in [*string, BLANK]:
        total += step(torch.tensor([prefix]))[0, symbol].item()
        prefix.append(symbol)
    return total


# collapse and best path


@pytest.mark.parametrize(
    ("path", "string"),
    [("", ""), ("_", ""), ("aa_ab", "aab"), ("aaa", "a"), ("a_a", "aa"), ("_ab__ba_", "abba")],
)
def test_collapse_by_hand(path: str, string: str) -> None:
    assert collapse(["_ab".index(c) for c in path]) == ["_ab".index(c) for c in string]


@given(st.lists(st.integers(0, 3)))
def test_collapse_keeps_first_frame_of_each_run_of_a_symbol(path: list[int]) -> None:
    expected = [
        index for t, index in enumerate(path) if index != BLANK and (t == 0 or path[t - 1] != index)
    ]
    assert collapse(path) == expected


@given(SEEDS, st.lists(st.integers(0, 12), min_size=1, max_size=5))
def test_ctc_greedy_ignores_padding_and_batch_mates(seed: int, lengths: list[int]) -> None:
    log_probs_BTV = random_log_probs(seed, len(lengths), 12, 3)
    together = ctc_greedy(log_probs_BTV, torch.tensor(lengths))
    for log_probs_TV, length, hypothesis in zip(log_probs_BTV, lengths, together, strict=True):
        assert hypothesis == collapse(log_probs_TV[:length].argmax(dim=-1).tolist())
        alone = log_probs_TV[None, :length]
        assert ctc_greedy(alone, torch.tensor([length])) == [hypothesis]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=1, max_size=8))
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
    searched = joint_beam(
        table_step([0], len(tokenizer)), log_probs_TV, beam=2, ctc_weight=1, limit=len(path)
    )
    hypotheses = [tokenizer.decode(best_path), tokenizer.decode(searched)]
    assert character_errors([reference] * 2, hypotheses, "verbatim").rate == 0


# attention, greedy


@given(SEEDS, st.lists(st.integers(0, 6), min_size=1, max_size=4))
def test_attention_greedy_follows_the_best_symbol_within_limits(
    seed: int, limits: list[int]
) -> None:
    seeds = [seed + row for row in range(len(limits))]
    together = attention_greedy(table_step(seeds, 3), len(limits), limits, "cpu")
    for own, limit, hypothesis in zip(seeds, limits, together, strict=True):
        step, expected = table_step([own], 3), [BLANK]
        while len(expected) <= limit:
            symbol = int(step(torch.tensor([expected])).argmax())
            if symbol == BLANK:
                break
            expected.append(symbol)
        assert hypothesis == expected[1:]
        assert attention_greedy(step, 1, [limit], "cpu") == [hypothesis]


def test_attention_greedy_asks_no_more_than_it_must() -> None:
    asked: list[tuple[int, ...]] = []

    def step(prefixes_NU: Tensor) -> Tensor:
        """Row 0 says 1 for ever, row 1 ends after one symbol."""
        asked.append(tuple(prefixes_NU.shape))
        return certain([1, 2 if prefixes_NU.shape[1] == 1 else BLANK], 3)

    assert attention_greedy(step, 2, [3, 9], "cpu") == [[1, 1, 1], [2]]
    assert asked == [(2, 1), (2, 2), (2, 3)]
    assert attention_greedy(step, 2, [0, 0], "cpu") == [[], []]
    assert len(asked) == 3


# CTC prefix scores


def scores_of(log_probs_TV: Tensor, prefix: Sequence[int]) -> Tensor:
    """(V,): CTC scores of what may follow `prefix`."""
    prefixes = CtcPrefixes.start(log_probs_TV)
    for symbol in prefix:
        prefixes = prefixes.extended(torch.tensor([0]), torch.tensor([symbol]))
    return prefixes.scores()[0]


@pytest.mark.parametrize(("frames", "symbols"), [(1, 2), (1, 4), (3, 3), (4, 4), (5, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_ctc_prefix_scores_equal_sums_over_all_paths(frames: int, symbols: int, seed: int) -> None:
    log_probs_TV = random_log_probs(seed, frames, symbols)
    totals = spellings(log_probs_TV)
    for prefix in strings(symbols, 3):
        probabilities_V = scores_of(log_probs_TV, prefix).exp()
        assert probabilities_V[BLANK] == pytest.approx(totals.get(prefix, 0.0))
        for symbol in range(1, symbols):
            longer = (*prefix, symbol)
            begins = sum(p for string, p in totals.items() if string[: len(longer)] == longer)
            assert probabilities_V[symbol] == pytest.approx(begins)


def test_ctc_prefixes_side_by_side_are_each_alone() -> None:
    log_probs_TV = random_log_probs(0, 6, 4)
    firsts = CtcPrefixes.start(log_probs_TV).extended(
        torch.tensor([0, 0, 0]), torch.tensor([1, 2, 3])
    )
    seconds = firsts.extended(torch.tensor([2, 0, 0, 1]), torch.tensor([1, 1, 3, 2]))
    alone_NV = torch.stack([scores_of(log_probs_TV, p) for p in [(3, 1), (1, 1), (1, 3), (2, 2)]])
    torch.testing.assert_close(seconds.scores(), alone_NV)


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
    assert scores_of(log_probs_TV, [3]).exp().tolist() == pytest.approx([0, 0, 0, 0])


# Joint beam search


@given(SEEDS, st.integers(1, 5), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_ctc_alone_with_a_wide_beam_finds_the_most_probable_string(
    seed: int, frames: int, symbols: int
) -> None:
    log_probs_TV = random_log_probs(seed, frames, symbols)

    def step(prefixes_NU: Tensor) -> Tensor:
        pytest.fail("the decoder has no weight")

    found = joint_beam(step, log_probs_TV, beam=1000, ctc_weight=1, limit=frames)
    totals = spellings(log_probs_TV)
    assert totals[tuple(found)] == pytest.approx(max(totals.values()))


@given(SEEDS, st.integers(2, 5), st.integers(0, 8))
@settings(deadline=None)
def test_attention_alone_with_beam_one_is_greedy(seed: int, symbols: int, limit: int) -> None:
    step = table_step([seed], symbols)
    log_probs_TV = torch.full((3, symbols), math.nan)  # without weight, CTC is not looked at
    found = joint_beam(step, log_probs_TV, beam=1, ctc_weight=0, limit=limit)
    assert [found] == attention_greedy(step, 1, [limit], "cpu")


@given(SEEDS, st.integers(1, 5), st.integers(0, 3), st.sampled_from([0.0, 0.1, 0.3, 0.7, 0.95]))
@settings(max_examples=40, deadline=None)
def test_a_wide_beam_finds_the_best_of_all_strings(
    seed: int, frames: int, limit: int, weight: float
) -> None:
    symbols = 3
    log_probs_TV, step = random_log_probs(seed, frames, symbols), table_step([seed], symbols)
    totals = spellings(log_probs_TV)

    def score(string: tuple[int, ...]) -> float:
        ctc = math.log(totals[string]) if weight else 0.0
        return (1 - weight) * attention_score(step, string) + weight * ctc

    candidates = [s for s in strings(symbols, limit) if s in totals or not weight]
    found = joint_beam(step, log_probs_TV, beam=1000, ctc_weight=weight, limit=limit)
    assert score(tuple(found)) == pytest.approx(max(map(score, candidates)))


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("limit", range(4))
@pytest.mark.parametrize("beam", [1, 3])
def test_limit_is_kept_where_the_decoder_would_never_end(
    weight: float, limit: int, beam: int
) -> None:
    step = endless(symbols=3)
    log_probs_TV = certain([1, BLANK] * 5, 3)
    found = joint_beam(step, log_probs_TV, beam=beam, ctc_weight=weight, limit=limit)
    assert found == [1] * limit


def test_what_ctc_rules_out_the_decoder_cannot_say() -> None:
    """One frame holds one symbol, and a letter twice needs a blank in between."""
    for frames, possible in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)]:
        posteriors_TV = random_log_probs(frames, frames, 2)
        found = joint_beam(endless(2), posteriors_TV, beam=5, ctc_weight=0.1, limit=9)
        assert found == [1] * possible


def test_joint_search_asks_once_per_length_with_live_prefixes_only() -> None:
    asked: list[Tensor] = []
    decoder = table_step([7], 4)

    def step(prefixes_NU: Tensor) -> Tensor:
        asked.append(prefixes_NU)
        return decoder(prefixes_NU)

    joint_beam(step, random_log_probs(7, 12, 4), beam=3, ctc_weight=0.3, limit=6)
    assert [prefixes.shape[1] for prefixes in asked] == list(range(1, len(asked) + 1))
    assert len(asked) > 2
    for prefixes_NU in asked:
        assert prefixes_NU.dtype == torch.int64
        assert len(prefixes_NU) <= 3
        assert (prefixes_NU[:, 0] == BLANK).all()
        assert (prefixes_NU[:, 1:] != BLANK).all()


def test_search_stops_once_nothing_can_do_better() -> None:
    calls = 0

    def step(prefixes_NU: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.tensor([0.6, 0.4]).log().expand(len(prefixes_NU), -1)

    found = joint_beam(
        step, random_log_probs(0, 50, 2, sharpness=0.0), beam=9, ctc_weight=0, limit=50
    )
    assert found == []
    assert calls == 1


def test_no_frames_no_symbols() -> None:
    assert joint_beam(endless(3), torch.zeros(0, 3), beam=2, ctc_weight=0.3, limit=4) == []
    assert ctc_greedy(torch.zeros(2, 0, 3), torch.tensor([0, 0])) == [[], []]
