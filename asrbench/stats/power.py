"""The power of a comparison: the differences it can detect, now and with more seeds or data."""

from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class SampleSize:
    """The seeds, or the utterances, with which a study detects the difference it observed.

    "Detects" means: shows it with probability `POWER`, if it is the true difference. Each number
    holds if the other stays as it is.
    """

    seeds: int | None
    """Total runs of each system. None if `MOST_SEEDS` are too few, or if a system has one run,
    because its training variance is then unknown."""
    utterances: int | None
    """Total utterances of a test set of the same kind. None if `MOST_TEST_SETS` times as many are
    too few."""


def power(delta: float, variance: Variance, alpha: float = ALPHA) -> float:
    """Returns the probability that a two-sided test at `alpha` detects a true difference `delta`.

    With standard error e and f degrees of freedom of `variance`, Z normal and X chi-square with f:
    P(abs(Z + delta / e) > t_f(1 - alpha / 2) sqrt(X / f)), the noncentral t-test (Johnson, Kotz &
    Balakrishnan 1995, ch. 31).
    """
    if not variance.total:
        return 1.0 if delta else 0.0
    return _shown(delta / variance.error, _bounds(variance.freedom, alpha))


def smallest_difference(variance: Variance, alpha: float = ALPHA, wanted: float = POWER) -> float:
    """Returns the true difference, above zero, that is detected with the probability `wanted`."""
    if not variance.total:
        return 0.0
    from scipy.optimize import brentq  # takes 0.1 s, which `--replicates 0` need not spend

    bounds = _bounds(variance.freedom, alpha)
    # At this shift the difference is detected with certainty.
    high = float(bounds[-1]) + 10
    shift = brentq(lambda shift: _shown(shift, bounds) - wanted, 0.0, high)
    return float(shift) * variance.error


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
    variance = difference.variance

    def with_seeds(seeds: int) -> float:
        return power(difference.delta, variance.with_seeds(seeds), alpha)

    def with_hundredths(times: int) -> float:
        return power(difference.delta, variance.on_test_sets(times / 100), alpha)

    seeds = None
    if variance.training:
        least = max(each.seeds for each in variance.training)
        seeds = _least(with_seeds, least, MOST_SEEDS)
    hundredths = _least(with_hundredths, 100, 100 * MOST_TEST_SETS)
    return SampleSize(seeds, None if hundredths is None else -(-utterances * hundredths // 100))


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
