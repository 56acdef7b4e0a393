from fractions import Fraction
from itertools import product
from math import comb, lcm

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asrbench.stats.blocks import Blocks
from asrbench.stats.exact import exchange_blocks, holm, mcnemar

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def utterances(count: int) -> Blocks:
    return Blocks.of([10] * count)


# Blocks exchanged


@st.composite
def seeded_pairs(draw):
    count = draw(st.integers(2, 7))
    row = st.lists(st.integers(0, 6), min_size=count, max_size=count)
    return [draw(st.lists(row, min_size=1, max_size=3)) for _ in range(2)]


@given(seeded_pairs())
def test_exchanging_blocks_is_going_through_all_ways(pair):
    """Brute force over every way to swap, in whole numbers."""
    one, other = (np.array(system) for system in pair)
    common = lcm(len(one), len(other))
    sums = [system.sum(axis=0) * (common // len(system)) for system in (one, other)]
    differences = (sums[0] - sums[1]).tolist()
    seen = abs(sum(differences))
    ways = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in product([1, -1], repeat=len(differences))
    ]
    expected = Fraction(sum(way >= seen for way in ways), len(ways))
    found = exchange_blocks(utterances(one.shape[1]), one, other)
    assert found.p == pytest.approx(float(expected), abs=1e-12)
    assert found.least <= found.p + 1e-12


def test_six_of_six_utterances_better_by_hand():
    """2 of 64 ways have all on one side."""
    found = exchange_blocks(utterances(8), [0] * 8, [1, 2, 1, 3, 1, 1, 0, 0])
    assert found.p == pytest.approx(2 / 64)
    assert found.least == 2 / 64
    assert found.exchanged == "utterances"


def test_speakers_are_exchanged_with_all_they_said():
    """Three of three speakers better: 2 of 8 ways."""
    blocks = Blocks.of([10] * 6, ["a", "b", "c"] * 2)
    found = exchange_blocks(blocks, [0] * 6, [1, 2, 3, 4, 5, 6])
    assert (found.p, found.exchanged) == (pytest.approx(2 / 8), "speakers")


def test_many_utterances_agree_with_drawn_swaps():
    """50,000 draws: a standard error below 0.0023."""
    generator = np.random.default_rng(0)
    one, other = generator.poisson(0.8, (2, 700)), generator.poisson(0.8, (1, 700))
    differences = one.sum(axis=0) - 2 * other[0]
    signs = generator.integers(0, 2, (50_000, 700)) * 2 - 1
    drawn = np.mean(np.abs(signs @ differences) >= abs(differences.sum()))
    assert 0.01 < drawn < 0.99
    assert exchange_blocks(utterances(700), one, other).p == pytest.approx(drawn, abs=0.01)


def test_a_large_difference_over_thousands_of_utterances_has_a_p_above_zero():
    found = exchange_blocks(utterances(3000), [0] * 3000, [3] * 3000)
    assert 0 <= found.p < 1e-12


def test_equals_have_nothing_to_exchange():
    assert exchange_blocks(utterances(4), [1, 0, 2, 0], [1, 0, 2, 0]).p == 1


# Runs exchanged


# McNemar


def test_mcnemar_by_hand():
    """One alone has 1 right, the other alone 5: 2 (1 + 6) / 2**6 = 14 / 64."""
    one = [True, True, False] + [False] * 5
    other = [False, True, False] + [True] * 5
    found = mcnemar(one, other)
    assert (found.only_one, found.only_other) == (1, 5)
    assert found.p == pytest.approx(14 / 64)


@given(st.integers(0, 12), st.integers(0, 12))
def test_mcnemar_is_a_fair_coin(only_one, only_other):
    both = only_one + only_other
    tail = sum(comb(both, k) for k in range(min(only_one, only_other) + 1))
    one = [True] * only_one + [False] * only_other
    found = mcnemar(one, [not right for right in one])
    assert found.p == pytest.approx(min(1.0, float(Fraction(2 * tail, 2**both))))


def test_many_utterances_agree_with_mcnemars_chi_square():
    """(abs(b - c) - 1)**2 / (b + c), with one degree of freedom."""
    one = [True] * 460 + [False] * 540
    p = float(stats.chi2.sf((80 - 1) ** 2 / 1000, 1))
    assert mcnemar(one, [not right for right in one]).p == pytest.approx(p, rel=0.02)


def test_mcnemar_of_different_test_sets_is_refused():
    with pytest.raises(ValueError, match="utterances"):
        mcnemar([True], [True, False])


# Families


def test_holm_by_hand():
    """Of 0.005, 0.01, 0.03 and 0.04: four times the first, three times the second, twice the
    third, and the fourth is no less than that."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_stops_at_one():
    assert holm([0.5, 0.6, 0.9]) == pytest.approx([1, 1, 1])
    assert holm([]).tolist() == []


@given(p_values)
def test_holm_lies_between_none_and_bonferroni(p):
    adjusted = holm(p)
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= np.minimum(1, len(p) * np.array(p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


@given(p_values, st.randoms())
def test_holm_does_not_care_for_order(p, random):
    order = list(range(len(p)))
    random.shuffle(order)
    assert holm([p[i] for i in order]).tolist() == pytest.approx(holm(p)[order].tolist())
