"""One bootstrap of the test set for all systems at once, so that every difference is paired.

Each replicate draws the blocks of the test set with replacement and takes the corpus rate of every
system, errors over symbols, on the blocks it drew (Bisani & Ney 2004, ICASSP 1:409). The variance
between training seeds is added as a normal deviate with the variance that `asrbench.stats.variance`
estimates, and the sum is scaled from normal to Student's t by its degrees of freedom. With one run
and many blocks nothing is added or scaled: it is the plain percentile bootstrap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asrbench.stats.blocks import Blocks, Floats
from asrbench.stats.variance import TrainingVariance, Variance, bessel, student

REPLICATES = 10_000
CONFIDENCE = 0.95


class Scope(StrEnum):
    """The population that a figure generalises to."""

    MODELS = "these trained models"
    """Other utterances, the same trained models: training variance is not included."""
    TRAINING = "new training seeds"
    """Other utterances, and the same systems trained with other seeds."""


class Interval(NamedTuple):
    """A confidence interval, in JSON `[low, high]`."""

    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, float | int) and self.low <= value <= self.high

    @property
    def width(self) -> float:
        return self.high - self.low


@dataclass(frozen=True)
class Rate:
    """An error rate: errors over reference symbols, averaged over the runs of a system."""

    value: float
    interval: Interval
    scope: Scope
    variance: Variance


@dataclass(frozen=True)
class Difference:
    """The rate of one system minus that of another: below zero, the first makes fewer errors."""

    delta: float
    interval: Interval
    relative: float | None
    """`delta` divided by the rate of the other system; None if that is zero."""
    improvement_probability: float
    """Share of the replicates below zero (Bisani & Ney), with training variance and Student's t."""
    p: float
    """Two-sided p-value: twice the share of replicates on the far side of zero, each count plus one
    (Davison & Hinkley 1997, 4.2.5). An interval at confidence 1 - p just reaches zero."""
    scope: Scope
    variance: Variance


@dataclass(frozen=True)
class CriticalDifference:
    """One statement about all pairs: two systems whose rates differ by more than this differ.

    It is the 95 % quantile, over the replicates, of the range of all systems' deviations: Tukey's
    honest significant difference (1949) with a bootstrap in place of his distribution. If all
    systems are equal, not one pair is found different in 19 of 20 studies.
    """

    difference: float
    groups: tuple[tuple[int, ...], ...]
    """The largest sets of systems in which no two differ, the best first, as in the diagrams of
    Demšar (2006, JMLR 7:1). Systems are given by number and ordered by rate."""
    scope: Scope


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """The rates of several systems on one test set and on its bootstrap replicates."""

    blocks: Blocks
    rates_K: Floats
    training_K: tuple[TrainingVariance | None, ...]
    deviations_BK: Floats
    """Rates of the replicates minus the rates; they vary with the test set only."""
    normal_BK: Floats
    """Standard normal deviates, which training variance scales."""
    seed: int

    def rate(self, system: int, confidence: float = CONFIDENCE) -> Rate:
        """Returns the rate of one system. The lower end of its interval is at least zero."""
        scope = self._scope([system])
        variance, draws_B = self._drawn({system: 1.0}, scope)
        value = float(self.rates_K[system])
        interval = _interval(value + draws_B, confidence)
        return Rate(value, Interval(max(0.0, interval.low), interval.high), scope, variance)

    def difference(self, one: int, other: int, confidence: float = CONFIDENCE) -> Difference:
        """Returns the rate of `one` minus that of `other`.

        If either has a single run, training variance is unknown and the scope is these models.
        Runs of both systems with the same seed count as independent. This is conservative where
        they are correlated; pairing them by seed would leave half the degrees of freedom.
        """
        scope = self._scope([one, other])
        variance, draws_B = self._drawn({one: 1.0, other: -1.0}, scope)
        delta = float(self.rates_K[one] - self.rates_K[other])
        draws_B = delta + draws_B
        base = float(self.rates_K[other])
        tails = [np.count_nonzero(draws_B <= 0), np.count_nonzero(draws_B >= 0)]
        return Difference(
            delta,
            _interval(draws_B, confidence),
            delta / base if base else None,
            float(np.mean(draws_B < 0)),
            min(1.0, 2 * (int(min(tails)) + 1) / (len(draws_B) + 1)),
            scope,
            variance,
        )

    def critical(
        self, systems: Sequence[int] | None = None, confidence: float = CONFIDENCE
    ) -> CriticalDifference:
        """Returns the difference above which two of `systems`, or of all, count as different."""
        chosen = list(range(len(self.rates_K)) if systems is None else systems)
        if len(chosen) < 2:
            raise ValueError(f"found {len(chosen)} systems, a difference needs 2 or more")
        scope = self._scope(chosen)
        training = self._training(chosen, scope)
        # A deviation that all systems share changes no difference.
        deviations_BK = self._over_blocks(chosen)
        deviations_BK -= deviations_BK.mean(axis=1, keepdims=True)
        # Centring removes 1/K of the variance over blocks, but none of the training variance.
        over_blocks = float(deviations_BK.var(axis=0).sum()) * bessel(len(chosen))
        variance = Variance(over_blocks, self.blocks.count, training)
        draws_BK = deviations_BK + self._over_training(chosen, training)
        range_B = np.ptp(draws_BK, axis=1) * self._student(variance)
        difference = float(np.quantile(range_B, confidence, method="weibull"))
        return CriticalDifference(
            difference, indistinct_groups(self.rates_K, chosen, difference), scope
        )

    def _drawn(self, weights: dict[int, float], scope: Scope) -> tuple[Variance, Floats]:
        """Returns the variance of a weighted sum of rates, and its deviations_B."""
        systems, weights_K = list(weights), np.array([*weights.values()])
        training = self._training(systems, scope)
        deviations_B = self._over_blocks(systems) @ weights_K
        variance = Variance(float(deviations_B.var()), self.blocks.count, training)
        deviations_B += self._over_training(systems, training) @ weights_K
        return variance, deviations_B * self._student(variance)

    def _over_blocks(self, systems: Sequence[int]) -> Floats:
        scale = sqrt(bessel(self.blocks.count))
        return np.asarray(self.deviations_BK[:, systems] * scale)

    def _over_training(
        self, systems: Sequence[int], training: Sequence[TrainingVariance]
    ) -> Floats:
        scale_K = np.sqrt(np.array([each.variance for each in training] or [0.0]))
        return np.asarray(self.normal_BK[:, systems] * scale_K)

    def _scope(self, systems: Sequence[int]) -> Scope:
        once = any(self.training_K[system] is None for system in systems)
        return Scope.MODELS if once else Scope.TRAINING

    def _training(self, systems: Sequence[int], scope: Scope) -> tuple[TrainingVariance, ...]:
        if scope is Scope.MODELS:
            return ()
        found = (self.training_K[system] for system in systems)
        return tuple(each for each in found if each is not None)

    def _student(self, variance: Variance) -> Floats:
        # The same stream of its own for every question.
        generator = np.random.default_rng([self.seed, 1])
        return student(generator, len(self.deviations_BK), variance.freedom)


def bootstrap(
    blocks: Blocks,
    systems: Sequence[npt.ArrayLike],
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Bootstrap:
    """Draws the replicates. Each of `systems` is its errors_SU, one row per run."""
    errors_KSG = [blocks.summed(errors) for errors in systems]
    means_KG = np.stack([errors_SG.mean(axis=0) for errors_SG in errors_KSG])
    rates_K = means_KG.sum(axis=1) / blocks.symbols
    generator = np.random.default_rng([seed, 0])
    drawn = [
        counts_BG @ means_KG.T / (counts_BG @ blocks.symbols_G)[:, None]
        for counts_BG in blocks.drawn(generator, replicates)
    ]
    return Bootstrap(
        blocks,
        rates_K,
        tuple(TrainingVariance.of(blocks, errors_SG) for errors_SG in errors_KSG),
        np.concatenate(drawn) - rates_K,
        generator.standard_normal((replicates, len(rates_K))),
        seed,
    )


def _interval(draws_B: Floats, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    # Weibull quantiles have the tail (count + 1) / (replicates + 1), as the p-value has.
    low, high = np.quantile(draws_B, [tail, 1 - tail], method="weibull")
    return Interval(float(low), float(high))


def indistinct_groups(
    rates_K: Floats, systems: Sequence[int], difference: float
) -> tuple[tuple[int, ...], ...]:
    """Returns the largest sets of systems whose rates differ by `difference` at most."""
    order = sorted(systems, key=lambda system: rates_K[system])
    groups: list[tuple[int, ...]] = []
    covered = 0
    for start, first in enumerate(order):
        within = [k for k in order[start:] if rates_K[k] - rates_K[first] <= difference]
        # A set that ends where an earlier one ends is a part of that one.
        if start + len(within) > covered:
            covered = start + len(within)
            groups.append(tuple(within))
    return tuple(groups)
