"""Beam searches against brute force over all strings, and against greedy search.

B utterances, W hypotheses of each, T frames, V symbols with the blank.
"""

import math
from collections.abc import Sequence
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scorers import (
    SEEDS,
    certain,
    endless,
    random_log_probs,
    score_of,
    scorer,
    search_one,
    spellings,
    strings,
    table,
    unasked,
)
from torch import Tensor

from asrbench.models.searches.attention import attention_beam, attention_greedy
from asrbench.models.searches.beam import COVERED, PLAIN, Ranking
from asrbench.models.searches.joint import joint_beam
from asrbench.models.searches.loop_guard import loop_guard
from asrbench.models.searches.state import Scorer, State
from asrbench.text.tokenizer import BLANK


def beam_of(
    decoder: Scorer, limits: Sequence[int], symbols: int, *, ranking: Ranking = PLAIN, **more: int
) -> list[list[int]]:
    """Attention beam search without a guard unless `repeats` asks for one."""
    keys = {"beam": 1000, "repeats": None, **more}
    return attention_beam(decoder, limits, symbols, "cpu", ranking=ranking, **keys)  # type: ignore[arg-type]


# Joint search


@given(SEEDS, st.integers(1, 5), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_ctc_alone_with_a_wide_beam_finds_the_most_probable_string(
    seed: int, frames: int, symbols: int
) -> None:
    log_probs_TV = random_log_probs(seed, frames, symbols)
    found = search_one(unasked(), log_probs_TV, beam=1000, ctc_weight=1, limit=frames)
    totals = spellings(log_probs_TV)
    assert totals[tuple(found)] == pytest.approx(max(totals.values()))


@given(SEEDS, st.integers(2, 5), st.integers(0, 8))
@settings(deadline=None)
def test_attention_alone_with_beam_one_is_greedy(seed: int, symbols: int, limit: int) -> None:
    decoder = table([seed], symbols)
    log_probs_TV = torch.full((3, symbols), math.nan)  # without weight, CTC is not looked at
    found = search_one(decoder, log_probs_TV, beam=1, ctc_weight=0, limit=limit)
    greedy = attention_greedy(decoder, [limit], "cpu")
    assert [found] == greedy
    assert beam_of(decoder, [limit], symbols, beam=1, ranking=Ranking(0.6)) == greedy


@given(SEEDS, st.integers(1, 5), st.integers(0, 3), st.sampled_from([0.0, 0.1, 0.3, 0.7, 0.95]))
@settings(max_examples=40, deadline=None)
def test_a_wide_beam_finds_the_best_of_all_strings(
    seed: int, frames: int, limit: int, weight: float
) -> None:
    symbols = 3
    log_probs_TV, decoder = random_log_probs(seed, frames, symbols), table([seed], symbols)
    totals = spellings(log_probs_TV)

    def score(string: tuple[int, ...]) -> float:
        ctc = math.log(totals[string]) if weight else 0.0
        return (1 - weight) * score_of(decoder, string) + weight * ctc

    candidates = [s for s in strings(symbols, limit) if s in totals or not weight]
    found = search_one(decoder, log_probs_TV, beam=1000, ctc_weight=weight, limit=limit)
    assert score(tuple(found)) == pytest.approx(max(map(score, candidates)))


@given(SEEDS, st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_utterances_together_are_each_alone(seed: int, lengths: list[int], beam: int) -> None:
    """Utterances that are done early are dropped from the batch, in any order."""
    symbols, seeds = 4, [seed + row for row in range(len(lengths))]
    log_probs_BTV = random_log_probs(seed, len(lengths), max(lengths), symbols)
    keys = {"beam": beam, "ctc_weight": 0.4}
    together = joint_beam(table(seeds, symbols), log_probs_BTV, lengths, **keys)  # type: ignore[arg-type]
    ranking = Ranking(0.7)
    more = {"ranking": ranking, "beam": beam, "repeats": 2}
    by_attention = beam_of(table(seeds, symbols), lengths, symbols, **more)  # type: ignore[arg-type]
    for own, log_probs_TV, length, *found in zip(
        seeds, log_probs_BTV, lengths, together, by_attention, strict=True
    ):
        decoder = table([own], symbols)
        alone = search_one(decoder, log_probs_TV[:length], limit=length, **keys)
        assert found == [alone, *beam_of(decoder, [length], symbols, **more)]  # type: ignore[arg-type]


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("limit", range(4))
@pytest.mark.parametrize("beam", [1, 3])
def test_limit_is_kept_where_the_decoder_would_never_end(
    weight: float, limit: int, beam: int
) -> None:
    log_probs_TV = certain([1, BLANK] * 5, 3)
    found = search_one(endless(3), log_probs_TV, beam=beam, ctc_weight=weight, limit=limit)
    assert found == [1] * limit


def test_what_ctc_rules_out_the_decoder_cannot_say() -> None:
    """One frame holds one symbol, and a letter twice needs a blank in between."""
    for frames, possible in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)]:
        posteriors_TV = random_log_probs(frames, frames, 2)
        found = search_one(endless(2), posteriors_TV, beam=5, ctc_weight=0.1, limit=9)
        assert found == [1] * possible


def test_where_no_hypothesis_can_end_the_best_active_one_is_returned() -> None:
    """CTC wants two symbols, the decoder forbids the second and the end."""
    log_probs_TV = certain([1, 2], 3)

    def log_probs(_: int, prefix: tuple[int, ...]) -> Tensor:
        return certain([1], 3)[0]

    found = search_one(scorer(log_probs), log_probs_TV, beam=3, ctc_weight=0.5, limit=4)
    assert found == [1]


def test_search_stops_once_nothing_can_do_better() -> None:
    calls = 0

    def log_probs(_: int, prefix: tuple[int, ...]) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.tensor([0.6, 0.4]).log()

    log_probs_TV = random_log_probs(0, 50, 2, sharpness=0.0)
    assert search_one(scorer(log_probs), log_probs_TV, beam=9, ctc_weight=0, limit=50) == []
    assert calls == 1


def test_each_scorer_is_asked_once_per_length_with_what_has_been_found() -> None:
    asked: list[Tensor] = []
    decoder = table([7, 8], 4)

    def step(state: State, symbols_BW: Tensor) -> tuple[Tensor, State]:
        asked.append(state.own["prefix"].new_tensor(state.own["prefix"].shape))
        return decoder.step(state, symbols_BW)

    joint_beam(
        decoder._replace(step=step), random_log_probs(7, 2, 12, 4), [12, 9], beam=3, ctc_weight=0.3
    )
    assert [int(shape[2]) for shape in asked] == list(range(len(asked)))
    assert [int(shape[1]) for shape in asked] == [1] + [3] * (len(asked) - 1)
    assert len(asked) > 2


# Shallow fusion


@given(SEEDS, st.integers(0, 3), st.sampled_from([0.2, 1.0]))
@settings(max_examples=20, deadline=None)
def test_fusion_adds_a_weighted_score_to_both_searches(
    seed: int, limit: int, weight: float
) -> None:
    symbols = 3
    log_probs_TV = random_log_probs(seed, 4, symbols)
    decoder, other = table([seed], symbols), table([seed + 1], symbols)._replace(weight=weight)
    totals = spellings(log_probs_TV)

    def score(string: tuple[int, ...], ctc_weight: float) -> float:
        ctc = math.log(totals[string]) if ctc_weight else 0.0
        fused = weight * score_of(other, string)
        return (1 - ctc_weight) * score_of(decoder, string) + ctc_weight * ctc + fused

    for ctc_weight in (0.0, 0.3):
        candidates = [s for s in strings(symbols, limit) if s in totals or not ctc_weight]
        best = max(score(string, ctc_weight) for string in candidates)
        keys = {"beam": 1000, "ctc_weight": ctc_weight, "limit": limit, "fusion": [other]}
        found = search_one(decoder, log_probs_TV, **keys)  # type: ignore[arg-type]
        assert score(tuple(found), ctc_weight) == pytest.approx(best)
    found_by_beam = beam_of(decoder, [limit], symbols, fusion=[other])  # type: ignore[arg-type]
    best = max(score(string, 0.0) for string in strings(symbols, limit))
    assert score(tuple(found_by_beam[0]), 0.0) == pytest.approx(best)


@given(SEEDS, st.integers(1, 3), st.sampled_from([0.5, 4.0]))
@settings(max_examples=20, deadline=None)
def test_a_bonus_for_each_symbol_does_not_stop_the_search_early(
    seed: int, limit: int, bonus: float
) -> None:
    """Scores then rise with the length, so that an ended hypothesis can still be beaten."""
    symbols = 3

    def log_probs(_: int, prefix: tuple[int, ...]) -> Tensor:
        return torch.tensor([0.0, 1.0, 1.0])

    length = scorer(log_probs, weight=bonus, highest=1.0)
    decoder = table([seed], symbols)
    found = beam_of(decoder, [limit], symbols, fusion=[length])  # type: ignore[arg-type]

    def score(string: Sequence[int]) -> float:
        return score_of(decoder, string) + bonus * len(string)

    assert score(found[0]) == pytest.approx(max(map(score, strings(symbols, limit))))


# Ranking


@given(SEEDS, st.integers(0, 3), st.sampled_from([0.3, 0.6, 1.0, 2.0]))
@settings(max_examples=40, deadline=None)
def test_length_normalisation_ranks_all_strings(seed: int, limit: int, exponent: float) -> None:
    """Wu et al. 2016, equation 14; |Y| counts the end."""
    symbols, decoder = 3, table([seed], 3)

    def rank(string: Sequence[int]) -> float:
        return score_of(decoder, string) / ((5 + len(string) + 1) / 6) ** exponent

    (found,) = beam_of(decoder, [limit], symbols, ranking=Ranking(exponent))
    assert rank(found) == pytest.approx(max(map(rank, strings(symbols, limit))))


@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.0])
def test_unlikely_ends_do_not_stop_a_search(exponent: float) -> None:
    """With fewer symbols than the beam has places, the end of every hypothesis is in the beam."""
    said = (BLANK, 1, 2, 3, 1, 1, 2, BLANK)

    def log_probs(_: int, prefix: tuple[int, ...]) -> Tensor:
        probabilities_V = torch.full((4,), 0.01)
        on_its_way = prefix == said[: len(prefix)]
        probabilities_V[said[len(prefix)] if on_its_way else BLANK] = 0.97
        return probabilities_V.log()

    found = beam_of(scorer(log_probs), [20], 4, beam=10, ranking=Ranking(exponent))
    assert found == [list(said[1:-1])]


def test_what_is_hopeless_is_not_followed_to_the_limit() -> None:
    """After each symbol the end is likely, and a longer hypothesis would be ranked higher only if
    its score were far above its own."""
    asked = []

    def log_probs(_: int, prefix: tuple[int, ...]) -> Tensor:
        asked.append(len(prefix))
        return torch.tensor([0.98, 0.02]).log()

    assert beam_of(scorer(log_probs), [500], 2, beam=4, ranking=Ranking(1.0)) == [[]]
    assert max(asked) < 5


def test_coverage_prefers_the_hypothesis_that_has_attended_to_all_frames() -> None:
    """Each symbol attends to a frame, and three equal frames of four are padding or attended to.

    The end after one symbol is the most probable, by 0.6 against 0.4 * 0.9; the penalty for the
    second frame, of which the end after one symbol sees a tenth, is beta * ln 0.1.
    """
    weights_UT = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])

    def step(state: State, symbols_BW: Tensor) -> tuple[Tensor, State]:
        u = int(state.own["length"].max())
        probabilities = [[0.0, 1.0], [0.6, 0.4], [0.9, 0.1]][u]
        scores_V = torch.tensor(probabilities).log()
        own = {
            "length": state.own["length"] + 1,
            COVERED: state.own[COVERED] + torch.cat([weights_UT[u], torch.zeros(1)]),
        }
        return scores_V.expand(*symbols_BW.shape, 2), State({}, own)

    start = {"length": torch.zeros(1, 1), COVERED: torch.tensor([[[0.0, 0.0, 1.0]]])}
    decoder = Scorer(step, State({}, start))
    gain = math.log(0.6) - math.log(0.4 * 0.9)
    for coverage, expected in ((0.0, [1]), (gain / math.log(10) - 0.01, [1])):
        assert beam_of(decoder, [2], 2, ranking=Ranking(0, coverage)) == [expected]
    above = gain / math.log(10) + 0.01
    assert beam_of(decoder, [2], 2, ranking=Ranking(0, above)) == [[1, 1]]


# Loops


@pytest.mark.parametrize(("repeats", "longest"), [(1, 3), (2, 2), (3, 2), (2, 4)])
def test_the_guard_forbids_exactly_the_symbol_that_repeats_too_often(
    repeats: int, longest: int
) -> None:
    """All strings of 7 symbols of two kinds."""
    for string in product((1, 2), repeat=7):
        step, state, *_ = loop_guard(1, 3, "cpu", repeats=repeats, longest=longest)
        said: list[int] = []
        for last, symbol in zip([BLANK, *string], [*string, BLANK], strict=True):
            scores_11V, state = step(state, torch.tensor([[last]]))
            for other in (1, 2):
                ends = [*said, other]
                copies = repeats + 1
                looped = any(
                    len(ends) >= copies * p and ends[-copies * p :] == ends[-p:] * copies
                    for p in range(1, longest + 1)
                )
                assert (scores_11V[0, 0, other] == -math.inf) == looped, (ends, repeats)
            assert scores_11V[0, 0, BLANK] == 0
            said.append(symbol)


def test_a_decoder_that_loops_is_stopped_by_the_guard() -> None:
    """It repeats 1 2 3 for ever; without a guard only the number of frames ends it."""

    def log_probs(_: int, prefix: tuple[int, ...]) -> Tensor:
        nearly = torch.full((4,), 1e-3)
        nearly[prefix[-1] % 3 + 1] = 1.0
        return nearly.log()

    free = beam_of(scorer(log_probs), [30], 4, beam=1)
    assert free == [[1, 2, 3] * 10]
    (guarded,) = beam_of(scorer(log_probs), [30], 4, beam=1, repeats=2)
    assert guarded[:6] == [1, 2, 3] * 2
    assert guarded[6:9] != [1, 2, 3]
