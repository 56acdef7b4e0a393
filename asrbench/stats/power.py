"""The power of a comparison: the differences it can detect, now and with more seeds or data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asrbench.stats.blocks import Floats
from asrbench.stats.bootstrap import Difference
from asrbench.stats.variance import Variance

ALPHA = 0.05
POWER = 0.8
"""A study can detect the differences that it shows with at least this probability."""
MOST_SEEDS = 100
MOST_TEST_SETS = 100
"""No more seeds or data than these are suggested."""


CONFIDENCE = 0.95
"""Of the ranges of planning figures. In simulations these hold the true figure in about 90 of 100
studies, because the training variance of few seeds is skewed (docs/statistics.md)."""
WIDEST = 5.0
"""A planning figure whose range ends at more than so many times its beginning is of no use."""


class Estimate(NamedTuple):
    """A planning figure and its range, in JSON `[value, low, high]`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SampleSize:
    """The seeds, or the utterances, with which a study detects the difference it observed.

    "Detects" means: shows it with probability `POWER`, if it is the true difference. Each number
    holds if the other stays as it is.
    """

    seeds: Estimate | None
    """Total runs of each system. None if the range is wider than `WIDEST`, if `MOST_SEEDS` are too
    few, or if a system has one run, because its training variance is then unknown."""
    utterances: Estimate | None
    """Total utterances of a test set of the same kind. None if the range is wider than `WIDEST`, or
    if `MOST_TEST_SETS` times as many are too few."""


def power(delta: float, variance: Variance, alpha: float = ALPHA) -> float:
    """Returns the probability that a two-sided test at `alpha` detects a true difference `delta`.

    With standard error e and f degrees of freedom of `variance`, Z normal and X chi-square with f:
    P(abs(Z + delta / e) > t_f(1 - alpha / 2) sqrt(X / f)), the noncentral t-test (Johnson, Kotz &
    Balakrishnan 1995, ch. 31).
    """
    if not variance.total:
        return 1.0 if delta else 0.0
    return _shown(delta / variance.error, _bounds(variance.freedom, alpha))


def smallest_difference(
    variance: Variance, alpha: float = ALPHA, wanted: float = POWER
) -> Estimate | None:
    """Returns the true difference, above zero, that is detected with the probability `wanted`.

    None without variance, or if the range is wider than `WIDEST`.
    """
    if not variance.total:
        return None
    from scipy.optimize import brentq  # takes 0.1 s, which `--replicates 0` need not spend

    bounds = _bounds(variance.freedom, alpha)
    # At this shift the difference is detected with certainty.
    high = float(bounds[-1]) + 10
    shift = brentq(lambda shift: _shown(shift, bounds) - wanted, 0.0, high)
    errors = (each.error for each in (variance, *_range(variance)))
    return _useful(*(float(shift) * error for error in errors))


def _range(variance: Variance) -> tuple[Variance, Variance]:
    """Returns the ends of the confidence interval of a variance, from chi-square."""
    from scipy.special import gammaincinv

    freedom = variance.own_freedom
    ends = (0.5 + CONFIDENCE / 2, 0.5 - CONFIDENCE / 2)
    low, high = (freedom / (2 * float(gammaincinv(freedom / 2, end))) for end in ends)
    return variance.scaled(low), variance.scaled(high)


def _useful(value: float | None, low: float | None, high: float | None) -> Estimate | None:
    if value is None or low is None or high is None or high > WIDEST * low:
        return None
    return Estimate(value, low, high)


def _bounds(freedom: float, alpha: float) -> Floats:
    """Returns 1000 bounds that a normal deviate must exceed, in rising order, one for each equally
    likely value of the estimate of its variance (the middle of each thousandth)."""
    chances = (np.arange(1000) + 0.5) / 1000
    from scipy.special import gammaincinv, stdtrit  # see `asrbench.stats.exact`

    # Quantiles of chi-squared and Student's t without importing `scipy.stats`, which is slow.
    estimates = np.sqrt(2 * gammaincinv(freedom / 2, chances) / freedom)
    return np.asarray(stdtrit(freedom, 1 - alpha / 2) * estimates)


def _shown(shift: float, bounds: Floats) -> float:
    from scipy.special import ndtr

    # scipy's noncentral t distribution returns nan for some of these.
    return float(np.mean(ndtr(shift - bounds) + ndtr(-shift - bounds)))


def sample_size(difference: Difference, utterances: int, alpha: float = ALPHA) -> SampleSize:
    """Returns the seeds, or the utterances (`utterances` now), that would detect `difference`."""
    delta, variance = difference.delta, difference.variance
    variances = (variance, *_range(variance))
    seeds = None
    if variance.training:
        seeds = _useful(*(_seeds(delta, each, alpha) for each in variances))
    times = [_times(delta, each, alpha) for each in variances]
    return SampleSize(
        seeds, _useful(*(None if each is None else utterances * each for each in times))
    )


def _seeds(delta: float, variance: Variance, alpha: float) -> int | None:
    """Returns the seeds of each system with which `delta` is detected."""
    least = max(each.seeds for each in variance.training)
    return _least(lambda seeds: power(delta, variance.with_seeds(seeds), alpha), least, MOST_SEEDS)


def _times(delta: float, variance: Variance, alpha: float) -> float | None:
    """Returns how many times as many utterances would detect `delta`, in steps of a hundredth."""
    hundredths = _least(
        lambda times: power(delta, variance.on_test_sets(times / 100), alpha),
        100,
        100 * MOST_TEST_SETS,
    )
    return None if hundredths is None else hundredths / 100


def _least(power_with: Callable[[int], float], low: int, high: int) -> int | None:
    """Returns the least number from `low` to `high` with at least `POWER`; None if `high` has less.

    The power must rise with the number.
    """
    if power_with(high) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power_with(middle) >= POWER else (middle + 1, high)
    return low
