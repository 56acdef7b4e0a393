"""CTC prefix beam search against brute force: all paths of all strings, with and without an LM.

B utterances, T frames, V symbols with the blank.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scorers import SEEDS, certain, prior, random_log_probs, spellings, trigrams
from torch import Tensor

import asrbench.models.searches.prefix_beam as module
from asrbench.models.searches.ctc_greedy import ctc_greedy
from asrbench.models.searches.fusion import Fusion
from asrbench.models.searches.prefix_beam import prefix_beam
from asrbench.text.ngram_lm import SymbolLm

EVERY = 1000
"""A beam with room for every string of the tests."""


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> SymbolLm:
    return trigrams(tmp_path_factory.mktemp("lm"))


def found(log_probs_TV: Tensor, beam: int, fusion: Fusion | None = None) -> tuple[int, ...]:
    (symbols,) = prefix_beam(log_probs_TV[None], [len(log_probs_TV)], beam=beam, fusion=fusion)
    return tuple(symbols)


def brute_force(log_probs_TV: Tensor, fusion: Fusion) -> dict[tuple[int, ...], float]:
    """The score of every string that some path spells."""
    return {
        string: math.log(probability) + prior(fusion, string)
        for string, probability in spellings(log_probs_TV).items()
        if probability > 0
    }


# Exact where the beam has room


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 5), st.floats(0.3, 3))
def test_with_room_for_all_it_finds_the_best_string_over_all_alignments(
    seed: int, frames: int, sharpness: float
) -> None:
    log_probs_TV = random_log_probs(seed, frames, 4, sharpness=sharpness).double()
    scores = brute_force(log_probs_TV, Fusion())
    assert scores[found(log_probs_TV, EVERY)] == pytest.approx(max(scores.values()))


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 5), st.floats(0, 2), st.floats(-1, 2))
def test_with_a_language_model_too(
    lm: SymbolLm, seed: int, frames: int, weight: float, bonus: float
) -> None:
    log_probs_TV = random_log_probs(seed, frames, 4, sharpness=1.0).double()
    fusion = Fusion(lm, weight, bonus)
    scores = brute_force(log_probs_TV, fusion)
    assert scores[found(log_probs_TV, EVERY, fusion)] == pytest.approx(max(scores.values()))


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_every_kept_prefix_has_the_sum_over_all_its_alignments(lm: SymbolLm, seed: int) -> None:
    log_probs_TV = random_log_probs(seed, 4, 4).double()
    fusion = Fusion(lm, 0.5, 0.3)
    search = module._Search(fusion, 1, EVERY)
    for row_V in log_probs_TV.numpy():
        search.frame(row_V[None])
    beams = search.beams
    kept = {
        tuple(search._spelt(number)): float(total)
        for number, total in zip(beams.number_BN[0], beams.total_BN[0], strict=True)
        if total > -math.inf
    }
    expected = {s: math.log(p) for s, p in spellings(log_probs_TV).items() if p > 0}
    assert kept == pytest.approx(expected)


# Smaller beams


def reference_beam(log_probs_TV: Tensor, beam: int, fusion: Fusion) -> tuple[int, ...]:
    """The same search with dictionaries of prefixes, symbol by symbol, as the paper writes it."""
    kept = {(): (0.0, -math.inf)}

    def add(*values: float) -> float:
        return float(torch.tensor(values, dtype=torch.float64).logsumexp(0))

    def score(item: tuple[tuple[int, ...], tuple[float, float]]) -> float:
        string, (blank, symbol) = item
        total = add(blank, symbol) + fusion.length_bonus * len(string)
        if fusion.lm is not None:
            state = fusion.lm.start
            for each in string:
                total += fusion.lm_weight * fusion.lm.log_probs(state)[each]
                state = fusion.lm.next(state, each)
        return total

    for row in log_probs_TV.double().tolist():
        new: dict[tuple[int, ...], tuple[float, float]] = {}
        for string, (blank, symbol) in kept.items():
            total = add(blank, symbol)
            old = new.get(string, (-math.inf, -math.inf))
            stay = symbol + row[string[-1]] if string else -math.inf
            new[string] = (add(old[0], total + row[0]), add(old[1], stay))
            for each in range(1, len(row)):
                longer = (*string, each)
                before = blank if string[-1:] == (each,) else total
                old = new.get(longer, (-math.inf, -math.inf))
                new[longer] = (old[0], add(old[1], before + row[each]))
        kept = dict(sorted(new.items(), key=score, reverse=True)[:beam])

    def whole(string: tuple[int, ...]) -> float:
        return add(*kept[string]) + prior(fusion, string)

    return max(kept, key=whole)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 12), st.integers(1, 6), st.sampled_from([0.0, 0.7]), st.booleans())
def test_a_small_beam_keeps_what_the_paper_keeps(
    lm: SymbolLm, seed: int, frames: int, beam: int, bonus: float, fused: bool
) -> None:
    log_probs_TV = random_log_probs(seed, frames, 4, sharpness=1.5).double()
    fusion = Fusion(lm, 0.6, bonus) if fused else Fusion(length_bonus=bonus)
    assert found(log_probs_TV, beam, fusion) == reference_beam(log_probs_TV, beam, fusion)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 20))
def test_a_beam_of_one_is_the_best_path_if_every_frame_is_sure(seed: int, frames: int) -> None:
    """Sure: its most probable symbol has more than the square root of 1/2. Many frames repeat."""
    generator = torch.Generator().manual_seed(seed)
    best_T = torch.randint(0, 3, (frames,), generator=generator)
    most_T1 = 0.708 + 0.29 * torch.rand(frames, 1, generator=generator).double() ** 3
    others_TV = torch.rand(frames, 4, generator=generator).double()
    others_TV[torch.arange(frames), best_T] = 0
    probs_TV = others_TV / others_TV.sum(1, keepdim=True) * (1 - most_T1)
    probs_TV[torch.arange(frames), best_T] = most_T1[:, 0]
    log_probs_TV = probs_TV.log()
    greedy = ctc_greedy(log_probs_TV[None], torch.tensor([frames]))
    assert [list(found(log_probs_TV, 1))] == greedy


def test_a_beam_of_one_is_not_the_best_path_otherwise() -> None:
    """The blank and the repetition of `a` together outweigh `b`, the most probable symbol."""
    log_probs_TV = torch.tensor([[0.0, 1.0, 0.0], [0.3, 0.3, 0.4]]).log()
    assert found(log_probs_TV, 1) == (1,)
    assert ctc_greedy(log_probs_TV[None], torch.tensor([2])) == [[1, 2]]


def test_alignments_are_summed() -> None:
    """`a` has 0.64 of two frames; the best path is two blanks, 0.36."""
    log_probs_TV = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()
    assert found(log_probs_TV, 2) == (1,)
    assert found(log_probs_TV, 1) == ()


# Batches and edges


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.lists(st.integers(0, 12), min_size=1, max_size=5), st.integers(1, 8))
def test_batch_mates_and_padding_change_nothing(
    lm: SymbolLm, seed: int, lengths: list[int], beam: int
) -> None:
    log_probs_BTV = random_log_probs(seed, len(lengths), 14, 4)
    fusion = Fusion(lm, 0.5, 0.5)
    together = prefix_beam(log_probs_BTV, lengths, beam=beam, fusion=fusion)
    for log_probs_TV, length, symbols in zip(log_probs_BTV, lengths, together, strict=True):
        assert tuple(symbols) == found(log_probs_TV[:length], beam, fusion)


@given(st.lists(st.integers(0, 3), max_size=12))
def test_certain_frames_leave_no_choice(path: list[int]) -> None:
    """Log probabilities of -inf: no other string is possible, whatever the beam."""
    log_probs_TV = certain([*path, 0], 4)
    greedy = ctc_greedy(log_probs_TV[None], torch.tensor([len(path) + 1]))
    assert [list(found(log_probs_TV, beam)) for beam in (1, 5)] == greedy * 2


def test_nothing_to_decode() -> None:
    assert prefix_beam(torch.zeros(0, 0, 3), [], beam=2) == []
    assert prefix_beam(random_log_probs(1, 2, 5, 3), [0, 0], beam=2) == [[], []]


def test_the_language_model_decides_between_equal_sounds(lm: SymbolLm) -> None:
    """After `a` its texts have `b` more often than `a`; a weight of 0 leaves it to the sounds."""
    probs_TV = torch.tensor(
        [[0.02, 0.0, 0.97, 0.01], [0.98, 0.0, 0.01, 0.01], [0.0, 0.0, 0.51, 0.49]]
    )
    sounds = found(probs_TV.log(), 10)
    assert sounds == (2, 2)
    assert found(probs_TV.log(), 10, Fusion(lm, 0.0)) == sounds
    assert found(probs_TV.log(), 10, Fusion(lm, 1.0)) == (2, 3)


def test_probabilities_that_were_dropped_are_computed_again(
    lm: SymbolLm, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_probs_BTV = random_log_probs(4, 3, 30, 4, sharpness=1.0)
    fusion = Fusion(lm, 0.8, 0.8)
    before = prefix_beam(log_probs_BTV, [30, 20, 25], beam=8, fusion=fusion)
    monkeypatch.setattr("asrbench.models.searches.fusion.MOST_BYTES", 100)
    assert prefix_beam(log_probs_BTV, [30, 20, 25], beam=8, fusion=fusion) == before
