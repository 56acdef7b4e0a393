"""What a comparison could have shown, and what would settle it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asrbench.stats.blocks import Floats
from asrbench.stats.bootstrap import Difference
from asrbench.stats.variance import Variance

ALPHA = 0.05
POWER = 0.8
"""Chance of being shown at which a difference counts as one that could have been."""
MOST_SEEDS = 100
MOST_TEST_SETS = 100
"""Beyond these nothing is settled within reach."""


@dataclass(frozen=True)
class Outlook:
    """What would show a difference of the size observed, were it the true one, by `POWER`.

    Each on its own, the other staying as it is; None where it is out of reach."""

    seeds: int | None
    """Runs of each system in all. None too where single runs say nothing of luck."""
    utterances: int | None
    """Of the test set in all, of the same kind."""


def power(delta: float, variance: Variance, alpha: float = ALPHA) -> float:
    """Chance that a two-sided test at `alpha` shows a true difference of `delta`.

    With standard error e and f degrees of freedom of `variance`, Z normal and X chi-square with f:
    P(abs(Z + delta / e) > t_f(1 - alpha / 2) sqrt(X / f)), the noncentral t-test (Johnson, Kotz &
    Balakrishnan 1995, ch. 31).
    """
    if not variance.total:
        return 1.0 if delta else 0.0
    return _shown(delta / variance.error, _bounds(variance.freedom, alpha))


def smallest_difference(variance: Variance, alpha: float = ALPHA, wanted: float = POWER) -> float:
    """The true difference, above zero, that is shown with the chance `wanted`."""
    if not variance.total:
        return 0.0
    from scipy.optimize import brentq  # a tenth of a second that rates alone need not spend

    bounds = _bounds(variance.freedom, alpha)
    # Even the highest bound is passed by far.
    high = float(bounds[-1]) + 10
    shift = brentq(lambda shift: _shown(shift, bounds) - wanted, 0.0, high)
    return float(shift) * variance.error


def _bounds(freedom: float, alpha: float) -> Floats:
    """What a normal deviate must pass, at equally likely values of the estimate of its variance,
    rising: the middles of a thousandth each."""
    chances = (np.arange(1000) + 0.5) / 1000
    from scipy.special import gammaincinv, stdtrit  # as in `asrbench.stats.exact`

    # Quantiles of chi-squared and of Student's t, without all that `scipy.stats` has beside them.
    estimates = np.sqrt(2 * gammaincinv(freedom / 2, chances) / freedom)
    return np.asarray(stdtrit(freedom, 1 - alpha / 2) * estimates)


def _shown(shift: float, bounds: Floats) -> float:
    from scipy.special import ndtr

    # scipy's noncentral t has no value for some of these.
    return float(np.mean(ndtr(shift - bounds) + ndtr(-shift - bounds)))


def outlook(difference: Difference, utterances: int, alpha: float = ALPHA) -> Outlook:
    """How many seeds, or utterances where there are `utterances`, would settle `difference`."""
    variance = difference.variance

    def with_seeds(seeds: int) -> float:
        return power(difference.delta, variance.with_seeds(seeds), alpha)

    def with_hundredths(times: int) -> float:
        return power(difference.delta, variance.on_test_sets(times / 100), alpha)

    seeds = None
    if variance.lucks:
        least = max(luck.seeds for luck in variance.lucks)
        seeds = _least(with_seeds, least, MOST_SEEDS)
    hundredths = _least(with_hundredths, 100, 100 * MOST_TEST_SETS)
    return Outlook(seeds, None if hundredths is None else -(-utterances * hundredths // 100))


def _least(power_with: Callable[[int], float], low: int, high: int) -> int | None:
    """The least from `low` to `high` that gives `POWER`, which grows with it; None if none does."""
    if power_with(high) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power_with(middle) >= POWER else (middle + 1, high)
    return low
