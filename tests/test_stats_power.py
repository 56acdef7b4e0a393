from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asrbench.stats.bootstrap import Difference, Interval, Scope
from asrbench.stats.power import MOST_SEEDS, POWER, power, sample_size, smallest_difference
from asrbench.stats.variance import TrainingVariance, Variance

alphas = st.floats(0.001, 0.2)
shifts = st.floats(0, 8)
variances = st.builds(
    lambda over_blocks, blocks, training, seeds: Variance(
        over_blocks,
        blocks,
        (TrainingVariance(seeds, 2 * training, training),) * 2 if seeds > 1 else (),
    ),
    st.floats(1e-6, 1e-3),
    st.integers(5, 3000),
    st.floats(0, 1e-3),
    st.integers(1, 12),
)


def difference(delta: float, variance: Variance) -> Difference:
    scope = Scope.TRAINING if variance.training else Scope.MODELS
    return Difference(delta, Interval(delta, delta), None, 0.5, 0.5, 100, scope, variance)


@given(st.integers(2, 3000), shifts, st.sampled_from([0.05, 0.01]))
def test_power_is_that_of_the_noncentral_t(freedom, shift, alpha):
    bound = stats.t.ppf(1 - alpha / 2, freedom)
    expected = stats.nct.sf(bound, freedom, shift) + stats.nct.cdf(-bound, freedom, shift)
    # scipy's has no value for some of these.
    if np.isfinite(expected):
        found = power(shift, Variance(1.0, freedom + 1, ()), alpha)
        assert found == pytest.approx(expected, abs=1e-3)


def test_power_is_how_often_a_t_test_shows_the_difference():
    """20,000 samples of 8 values with mean 1 and deviation 1: a standard error of 0.0035."""
    values = 1 + np.random.default_rng(0).standard_normal((20_000, 8))
    shown = np.mean(stats.ttest_1samp(values, 0, axis=1).pvalue < 0.05)
    assert power(1.0, Variance(1 / 8, 8, ())) == pytest.approx(shown, abs=0.011)


@given(variances, alphas)
def test_no_difference_is_shown_as_often_as_alpha_says(variance, alpha):
    assert power(0.0, variance, alpha) == pytest.approx(alpha, rel=0.1)


@given(variances, shifts, shifts)
def test_power_grows_with_the_difference(variance, one, other):
    less, more = (shift * variance.error for shift in sorted((one, other)))
    assert power(less, variance) <= power(more, variance) + 1e-12
    assert power(-less, variance) == pytest.approx(power(less, variance))


@given(variances, alphas)
def test_the_smallest_difference_has_just_the_power(variance, alpha):
    if smallest := smallest_difference(variance, alpha):
        assert power(smallest.value, variance, alpha) == pytest.approx(POWER, abs=1e-6)
        assert smallest.low < smallest.value < smallest.high


def test_the_smallest_difference_of_a_large_test_set_by_hand():
    """1.960 + 0.842 = 2.802 standard errors."""
    found = smallest_difference(Variance(0.01**2, 100_000, ()))
    assert found.value == pytest.approx(0.02802, rel=1e-3)
    assert found.high / found.low == pytest.approx(1, abs=0.02)


def test_the_range_of_the_smallest_difference_by_hand():
    """With 10 degrees of freedom 95 % of chi-square lie between 3.247 and 20.483: the standard
    error is known from 0.699 to 1.755 times what it seems."""
    found = smallest_difference(Variance(0.01**2, 11, ()))
    assert found.low / found.value == pytest.approx(sqrt(10 / 20.483), rel=1e-3)
    assert found.high / found.value == pytest.approx(sqrt(10 / 3.247), rel=1e-3)


def test_a_figure_whose_range_is_beyond_use_is_not_given():
    """With 2 degrees of freedom the standard error is known to a factor of 12."""
    assert smallest_difference(Variance(0.01**2, 3, ())) is None
    assert smallest_difference(Variance(0.01**2, 11, ())) is not None
    few = sample_size(difference(0.01, Variance(0.01**2, 5, ())), 100)
    assert (few.seeds, few.utterances) == (None, None)


def test_the_range_of_normal_blocks_holds_the_true_smallest_difference():
    """2,000 studies of 15 blocks; the standard error of the share is 0.5 %."""
    values = np.random.default_rng(0).standard_normal((2000, 15))
    true = smallest_difference(Variance(1 / 15, 15, ())).value
    found = [
        smallest_difference(Variance(float(v), 15, ())) for v in values.var(axis=1, ddof=1) / 15
    ]
    assert np.mean([each.low < true < each.high for each in found]) == pytest.approx(
        0.95, abs=0.015
    )


def test_a_few_bad_utterances_make_the_range_wider():
    """Of 100 blocks with kurtosis 11 the variance is known as of 20 normal ones."""
    normal, heavy = (Variance(0.01**2, 100, (), kurtosis=k) for k in (3.0, 11.0))
    assert heavy.own_freedom == pytest.approx(20)
    assert normal.own_freedom == 99
    assert heavy.freedom == 99
    wide, narrow = map(smallest_difference, (heavy, normal))
    assert wide.value == narrow.value
    assert wide.low < narrow.low < narrow.high < wide.high


def test_without_variance_everything_shows():
    nothing = Variance(0.0, 10, ())
    assert (power(0.1, nothing), power(0.0, nothing), smallest_difference(nothing)) == (1, 0, None)


# What would settle it


def test_utterances_by_hand():
    """One standard error is seen, 2.802 are wanted: 7.85 times the utterances."""
    found = sample_size(difference(0.01, Variance(0.01**2, 3000, ())), 3000)
    assert found.utterances.value == pytest.approx(3000 * 2.802**2, rel=0.01)
    assert found.utterances.low < found.utterances.value < found.utterances.high
    assert found.seeds is None


@given(variances, st.floats(0.3, 3))
def test_the_sample_size_is_the_least_that_suffices(variance, shift):
    seen = difference(shift * variance.error, variance)
    found = sample_size(seen, 500)
    if found.utterances is not None and found.utterances.value > 500:
        times = found.utterances.value / 500
        assert power(seen.delta, variance.on_test_sets(times)) >= POWER - 1e-9
        assert power(seen.delta, variance.on_test_sets(times - 0.02)) < POWER
    if found.seeds is not None and found.seeds.value > variance.training[0].seeds:
        assert power(seen.delta, variance.with_seeds(found.seeds.value)) >= POWER
        assert power(seen.delta, variance.with_seeds(found.seeds.value - 1)) < POWER


def test_seeds_do_not_help_a_small_test_set_nor_utterances_few_seeds():
    steady = TrainingVariance(3, 1e-8, 0.0)
    small = sample_size(difference(0.01, Variance(0.01**2, 130, (steady, steady))), 130)
    assert small.seeds is None
    assert small.utterances is not None
    # As well known as the training variance of 20 systems.
    varied = TrainingVariance(3, 0.01**2, 0.0, systems=20.0)
    few = sample_size(difference(0.01, Variance(1e-8, 130, (varied, varied))), 130)
    assert few.utterances is None
    # 2.802 standard errors of sqrt(2) times 0.01 sqrt(3 / S): S near 48.
    assert few.seeds.value == pytest.approx(2 * 3 * 2.802**2, abs=2)


def test_nothing_within_reach():
    variance = Variance(1.0, 100, (TrainingVariance(2, 1.0, 0.0),) * 2)
    found = sample_size(difference(sqrt(1 / MOST_SEEDS) / 100, variance), 100)
    assert (found.seeds, found.utterances) == (None, None)
