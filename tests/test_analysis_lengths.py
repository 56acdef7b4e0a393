"""Errors by length: bins, and differences that grow with it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.analysis.lengths import BIN_UTTERANCES, by_length, upper_ends
from asrbench.analysis.pairs import Pairs
from asrbench.analysis.subsets import SubsetRate
from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import bootstrap

lengths = st.lists(st.integers(0, 12), min_size=1, max_size=40)


def texts_with(errors_U, symbols_U) -> list[str]:
    """Hypotheses with so many errors of references that are `aaa...`."""
    return ["b" * e + "a" * (n - e) for e, n in zip(errors_U, symbols_U, strict=True)]


def study(symbols_U, **errors) -> Pairs:
    """Systems by their errors_SU."""
    references = ["a" * n for n in symbols_U]
    systems = {
        label: [texts_with(errors_U, symbols_U) for errors_U in errors_SU]
        for label, errors_SU in errors.items()
    }
    return Pairs.of(references, systems)


# Bins


def test_bins_by_hand():
    """Two bins of 20: of 20 times 10 characters 1 is wrong and 2 in two runs, 3 / 400; of 20 times
    30 characters 12 in both, 12 / 600."""
    symbols_U = [10] * 20 + [30] * 20
    one, other = [0] * 40, [0] * 40
    one[0], other[1], one[20], other[39] = 1, 2, 12, 12
    short, long = by_length(
        study(symbols_U, a=[one, other]), symbols_U, "character", "a", replicates=200
    ).bins
    assert (short.low, short.high, short.utterances, short.n) == (10, 10, 20, 200)
    assert (long.low, long.high, long.utterances, long.n) == (30, 30, 20, 600)
    assert short.systems["a"].cer == pytest.approx(3 / 400)
    assert long.systems["a"].cer == pytest.approx(12 / 600)
    assert 3 / 400 in short.systems["a"].interval
    assert 0 < short.systems["a"].interval.low < 3 / 400


@pytest.mark.parametrize(
    ("lengths", "bins", "ends"),
    [
        ([1, 2, 3, 4, 5, 6], 3, [2, 4, 6]),
        ([6, 5, 4, 3, 2, 1], 3, [2, 4, 6]),
        # Equal ones stay together, and a bin that they fill takes the place of two.
        ([1, 1, 1, 1, 1, 2], 3, [1, 2]),
        ([7, 7, 7], 5, [7]),
        ([1, 2], 5, [1, 2]),
    ],
)
def test_ends_of_bins_by_hand(lengths, bins, ends):
    assert upper_ends(np.array(lengths, dtype=float), bins).tolist() == ends


@given(lengths, st.integers(1, 6))
def test_every_utterance_is_in_one_bin(lengths, bins):
    ends = upper_ends(np.array(lengths, dtype=float), bins)
    assert ends[-1] == max(lengths)
    assert set(ends) <= set(lengths)
    assert len(ends) <= bins
    assert (np.diff(ends) > 0).all()


def test_few_utterances_make_fewer_bins():
    for utterances, bins in ((BIN_UTTERANCES - 1, 1), (3 * BIN_UTTERANCES, 3), (200, 5)):
        symbols_U = list(range(1, utterances + 1))
        pairs = study(symbols_U, a=[[0] * utterances])
        assert len(by_length(pairs, symbols_U, "character", "a", replicates=20).bins) == bins


def test_bins_are_parts_of_the_whole():
    generator = np.random.default_rng(0)
    symbols_U = generator.integers(1, 40, 150)
    errors_SU = generator.binomial(symbols_U, 0.1, (3, 150))
    pairs = study(symbols_U, a=errors_SU)
    found = by_length(pairs, symbols_U, "character", "a", replicates=50)
    assert len(found.bins) == 5
    assert sum(each.utterances for each in found.bins) == 150
    assert sum(each.n for each in found.bins) == symbols_U.sum()
    errors = sum(each.systems["a"].cer * each.n for each in found.bins)
    assert errors == pytest.approx(errors_SU.sum() / 3)


def test_the_only_bin_has_the_interval_of_the_whole_test_set():
    """Whether of utterances or of speakers."""
    symbols_U, errors_SU = [5, 8, 4, 9], [[1, 0, 2, 3], [0, 0, 1, 4]]
    pairs = study(symbols_U, a=errors_SU)
    for speakers in (None, ["x", "y", "x", "z"]):
        found = by_length(pairs, symbols_U, "character", "a", speakers, replicates=500)
        whole = bootstrap(Blocks.of(symbols_U, speakers), [errors_SU], replicates=500).rate(0)
        assert found.bins[0].systems["a"].interval == whole.interval


def test_what_cannot_be_known_is_none():
    """One speaker has no interval; without a character there is no rate."""
    symbols_U = [0] * 20 + [3] * 20
    pairs = study(symbols_U, a=[[0] * 20 + [1] * 20])
    speakers = ["x"] * 20 + ["y"] * 20
    empty, full = by_length(pairs, symbols_U, "character", "a", speakers, 50).bins
    assert empty.systems == {"a": SubsetRate(None, None)}
    assert full.systems["a"].cer == pytest.approx(1 / 3)
    assert full.systems["a"].interval is None


# Interactions


def slope_of(pairs, lengths_U, label="b", **others):
    return by_length(pairs, lengths_U, "second", "a", **others).interactions[label]


def test_a_slope_by_hand():
    """Three of 10 characters, of 1, 2 and 3 seconds, with 0, 1 and 2 errors more: one of ten
    characters more for each second. At mean length it is the difference of the CERs, 1 / 10."""
    pairs = study([10] * 3, a=[[0, 0, 0]], b=[[0, 1, 2]])
    found = slope_of(pairs, [1, 2, 3], replicates=200)
    assert found.slope == pytest.approx(1 / 10)
    assert found.short == pytest.approx(1 / 10 - 0.8 / 10)
    assert found.long == pytest.approx(1 / 10 + 0.8 / 10)


counts = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9)), min_size=3)


@given(counts, st.lists(st.integers(1, 30), min_size=99, max_size=99))
def test_slopes_are_those_of_weighted_least_squares(counts, lengths):
    symbols_U = [n for n, _, _ in counts]
    one, other = ([min(row[i], row[0]) for row in counts] for i in (1, 2))
    lengths_U = lengths[: len(counts)]
    pairs = study(symbols_U, a=[one], b=[other])
    found = by_length(pairs, lengths_U, "second", "a", replicates=20).interactions
    if len(set(lengths_U)) == 1:
        assert found == {}
        return
    rates_U = (np.array(other) - one) / symbols_U
    slope, at_zero = np.polyfit(lengths_U, rates_U, 1, w=np.sqrt(symbols_U))
    ends = np.quantile(lengths_U, [0.1, 0.9])
    assert found["b"].slope == pytest.approx(slope, abs=1e-9)
    assert [found["b"].short, found["b"].long] == pytest.approx(at_zero + slope * ends, abs=1e-9)


def test_utterances_without_a_character_move_no_slope():
    pairs = Pairs.of(
        ["aaaa", "aaaa", ""], {"a": [["aaaa", "aaaa", ""]], "b": [["aaaa", "a", "xy"]]}
    )
    assert slope_of(pairs, [1, 2, 50], replicates=50).slope == pytest.approx(3 / 4)


def drawn(seed, growth, utterances=400, seeds=3):
    """Baseline `a` and `b`: CER 10 % of both at mean length, that of `b` changing by `growth` a
    second. Hard utterances are hard for both, and runs differ by their training."""
    generator = np.random.default_rng(seed)
    seconds_U = generator.gamma(3, 1.5, utterances) + 0.5
    symbols_U = np.maximum(1, generator.poisson(7 * seconds_U))
    hardness_U = generator.gamma(2, 1 / 2, utterances)

    def errors(growth):
        training_S = generator.normal(0, 0.003, seeds)
        rates_SU = (0.1 + growth * (seconds_U - 5) + training_S[:, None]) * hardness_U
        return generator.binomial(symbols_U, np.clip(rates_SU, 0, 1))

    return study(symbols_U, a=errors(0), b=errors(growth)), seconds_U


@pytest.mark.parametrize(("growth", "how"), [(-0.01, "better"), (0.01, "worse")])
def test_a_planted_interaction_is_found(growth, how):
    found = slope_of(*drawn(0, growth), replicates=1000)
    assert 0 not in found.interval
    assert growth in found.interval
    assert found.p == found.holm_p < 0.05
    assert found.words.startswith(f"b does {how} beside a the longer the utterance is: ")
    assert f"{100 * found.slope:+.3f} points per second" in found.words


@pytest.mark.parametrize("seeds", [1, 3])
def test_no_interaction_is_found_where_there_is_none(seeds):
    """In one of twenty test sets one is; in more than 8 of 60 with a chance of 3 in 1,000."""
    found = [slope_of(*drawn(at, 0, 150, seeds), replicates=400) for at in range(60)]
    wrong = [each for each in found if 0 not in each.interval]
    assert len(wrong) <= 8
    right = next(each for each in found if each not in wrong)
    assert right.words.startswith("no evidence that b minus a changes with length: ")


def test_a_difference_that_is_equal_at_all_lengths_has_no_slope():
    """One more of every ten characters wrong: the same slope, and as sure."""
    generator = np.random.default_rng(0)
    symbols_U = 10 * generator.integers(1, 5, 60)
    one, other = generator.binomial(symbols_U // 2, 0.2, (2, 3, 60))
    near = slope_of(study(symbols_U, a=one, b=other), symbols_U, replicates=200)
    far = slope_of(study(symbols_U, a=one, b=other + symbols_U // 10), symbols_U, replicates=200)
    assert far.short - near.short == pytest.approx(1 / 10)
    assert (far.slope, far.interval.low, far.interval.high) == pytest.approx(
        (near.slope, near.interval.low, near.interval.high)
    )


def test_a_family_is_corrected():
    """Two variants: the p-value of the surer one is doubled."""
    pairs, seconds_U = drawn(1, -0.004, 150)
    errors = {"a": pairs.errors("a"), "b": pairs.errors("b"), "c": pairs.errors("a")}
    both = by_length(study(pairs.symbols_U, **errors), seconds_U, "second", "a", None, 400)
    assert set(both.interactions) == {"b", "c"}
    assert both.interactions["b"].holm_p == pytest.approx(2 * both.interactions["b"].p)
    assert both.interactions["c"].slope == 0


def test_what_never_learned_is_in_the_bins_but_not_in_the_family():
    pairs, seconds_U = drawn(1, -0.004, 150)
    errors = {"a": pairs.errors("a"), "b": pairs.errors("b"), "c": [pairs.symbols_U]}
    three = study(pairs.symbols_U, **errors)
    found = by_length(three, seconds_U, "second", "a", replicates=400, apart=["c"])
    assert found.bins[0].systems["c"].cer == 1
    assert set(found.interactions) == {"b"}
    for each in found.bins:
        assert set(each.differences) == {"b"}
        difference = each.differences["b"]
        assert difference.delta == pytest.approx(each.systems["b"].cer - each.systems["a"].cer)
        assert difference.interval.low <= difference.delta <= difference.interval.high
    assert found.interactions["b"].holm_p == found.interactions["b"].p
    without = by_length(three, seconds_U, "second", "c", apart=["c"])
    assert not without.interactions
    assert not any(each.differences for each in without.bins)


def test_turning_systems_round_turns_the_slope():
    pairs, seconds_U = drawn(2, 0.01, 100)
    there = by_length(pairs, seconds_U, "second", "a", replicates=50).interactions["b"]
    back = by_length(pairs, seconds_U, "second", "b", replicates=50).interactions["a"]
    assert back.slope == pytest.approx(-there.slope)
    assert (back.short, back.long) == pytest.approx((-there.short, -there.long))


def test_order_of_utterances_moves_no_figure_but_what_is_drawn():
    pairs, seconds_U = drawn(3, 0.01, 100)
    order = np.random.default_rng(0).permutation(100)
    shuffled = Pairs.of(
        [pairs.references[u] for u in order],
        {
            label: [[pairs.hypotheses[pair_U[u]] for u in order] for pair_U in pair_SU]
            for label, pair_SU in pairs.runs.items()
        },
    )
    one, other = (
        by_length(each, at, "second", "a", replicates=30)
        for each, at in ((pairs, seconds_U), (shuffled, seconds_U[order]))
    )
    assert other.interactions["b"].slope == pytest.approx(one.interactions["b"].slope)
    for first, second in zip(one.bins, other.bins, strict=True):
        assert (first.low, first.high, first.n) == (second.low, second.high, second.n)
        assert first.systems["b"].cer == pytest.approx(second.systems["b"].cer)


def test_lengths_that_do_not_fit_are_refused():
    pairs = study([3, 3], a=[[0, 1]])
    with pytest.raises(ValueError, match="2 utterances do not have 1 lengths"):
        by_length(pairs, [1.0], "second", "a")
    with pytest.raises(ValueError, match="finite"):
        by_length(pairs, [1.0, float("nan")], "second", "a")
