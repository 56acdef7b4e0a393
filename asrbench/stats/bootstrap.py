"""One bootstrap of the test set for all systems at once, so that every difference is paired.

Each replicate draws the blocks of the test set with replacement and takes the corpus rate of every
system, errors over symbols, on the blocks it drew (Bisani & Ney 2004, ICASSP 1:409). Two variances
that the replicates do not have are added as normal deviates: the variance between training seeds
that `asrbench.stats.variance` estimates, and, where speakers are drawn and their variance comes out
below that of independent utterances, what is missing to it. Errors of one speaker are correlated,
so this happens by chance only, with few speakers. The sum is scaled from normal to Student's t by
its degrees of freedom. With one run and many blocks nothing is added or scaled: it is the plain
percentile bootstrap.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asrbench.stats.blocks import Blocks, Floats
from asrbench.stats.variance import (
    TrainingVariance,
    Variance,
    at_least_typical,
    bessel,
    student,
)

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
    interval: Interval | None
    """Student's t interval of the logarithm of the rate, which is less skewed than the rate; None
    without an error."""
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
    (Davison & Hinkley 1997, 4.2.5), but no less than a sign test of all `utterances_differing`
    could give. An interval at confidence 1 - p just reaches zero."""
    utterances_differing: int
    """Utterances in which the two systems have different numbers of errors, averaged over runs."""
    scope: Scope
    variance: Variance


@dataclass(frozen=True)
class Equivalence:
    """Whether the true difference of two systems is smaller than a margin, either way."""

    margin: float
    interval: Interval
    """Interval of the difference at 1 - 2 alpha, 90 %: within the margin where p is alpha."""
    p: float
    """The larger p-value of two one-sided tests (Schuirmann 1987, J. Pharmacokinet. Biopharm.
    15:657): of a difference below minus the margin, and of one above the margin."""


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
    errors_KU: Floats
    """Errors per utterance, averaged over the runs of each system."""
    training_K: tuple[TrainingVariance | None, ...]
    deviations_BK: Floats
    """Rates of the replicates minus the rates; they vary with the test set only."""
    normal_BK: Floats
    """Standard normal deviates, which training variance scales."""
    missing_BK: Floats
    """Standard normal deviates, which the variance scales that few speakers do not show."""
    seed: int

    def rate(self, system: int, confidence: float = CONFIDENCE) -> Rate:
        """Returns the rate of one system."""
        from scipy.special import stdtrit  # see `asrbench.stats.exact`

        variance, _ = self._drawn({system: 1.0})
        value = float(self.rates_K[system])
        interval = None
        if value:
            relative = (
                float(stdtrit(variance.freedom, (1 + confidence) / 2)) * variance.error / value
            )
            # Beyond this the bounds say nothing, and would no longer be finite.
            relative = min(relative, 50.0)
            interval = Interval(value * exp(-relative), value * exp(relative))
        return Rate(value, interval, self._scope([system]), variance)

    def difference(self, one: int, other: int, confidence: float = CONFIDENCE) -> Difference:
        """Returns the rate of `one` minus that of `other`.

        If either has a single run, training variance is unknown and the scope is these models.
        Runs of both systems with the same seed count as independent. This is conservative where
        they are correlated; pairing them by seed would leave half the degrees of freedom.
        """
        variance, draws_B = self._drawn({one: 1.0, other: -1.0})
        delta = float(self.rates_K[one] - self.rates_K[other])
        differing = int(np.count_nonzero(self.errors_KU[one] != self.errors_KU[other]))
        # Under exchange of the two systems each utterance that differs has either sign.
        least = 2.0 ** (1 - differing) if differing else 1.0
        draws_B = delta + _widened(draws_B, delta, least)
        base = float(self.rates_K[other])
        tails = [np.count_nonzero(draws_B <= 0), np.count_nonzero(draws_B >= 0)]
        p = min(1.0, 2 * (int(min(tails)) + 1) / (len(draws_B) + 1))
        return Difference(
            delta,
            _interval(draws_B, confidence),
            delta / base if base else None,
            float(np.mean(draws_B < 0)),
            max(p, least),
            differing,
            self._scope([one, other]),
            variance,
        )

    def equivalence(
        self, one: int, other: int, margin: float, alpha: float = 1 - CONFIDENCE
    ) -> Equivalence:
        """Tests whether two rates differ by less than `margin`, a rate above zero."""
        _, draws_B = self._drawn({one: 1.0, other: -1.0})
        draws_B += float(self.rates_K[one] - self.rates_K[other])
        beyond = max(np.count_nonzero(draws_B <= -margin), np.count_nonzero(draws_B >= margin))
        p = (int(beyond) + 1) / (len(draws_B) + 1)
        return Equivalence(margin, _interval(draws_B, 1 - 2 * alpha), p)

    def critical(
        self, systems: Sequence[int] | None = None, confidence: float = CONFIDENCE
    ) -> CriticalDifference:
        """Returns the difference above which two of `systems`, or of all, count as different."""
        chosen = list(range(len(self.rates_K)) if systems is None else systems)
        if len(chosen) < 2:
            raise ValueError(f"found {len(chosen)} systems, a difference needs 2 or more")
        scope = self._scope(chosen)
        training = self._training(chosen)
        # A deviation that all systems share changes no difference.
        centred_KK = np.eye(len(chosen)) - 1 / len(chosen)
        draws_BK, variances_K = self._over_blocks(chosen, centred_KK)
        # Centring removes 1/K of the variance over blocks, but none of the training variance.
        over_blocks = float(variances_K.sum()) * bessel(len(chosen))
        variance = Variance(over_blocks, self.blocks.count, training)
        draws_BK += self._over_training(chosen, training)
        range_B = np.ptp(draws_BK, axis=1) * self._student(variance)
        difference = float(np.quantile(range_B, confidence, method="weibull"))
        return CriticalDifference(
            difference, indistinct_groups(self.rates_K, chosen, difference), scope
        )

    def _drawn(self, weights: dict[int, float]) -> tuple[Variance, Floats]:
        """Returns the variance of a weighted sum of rates, and its deviations_B."""
        systems, weights_K = list(weights), np.array([*weights.values()])
        training = self._training(systems)
        draws_B1, variances_1 = self._over_blocks(systems, weights_K[:, None])
        kurtosis = self._kurtosis(systems, weights_K)
        variance = Variance(float(variances_1[0]), self.blocks.count, training, kurtosis)
        draws_B = draws_B1[:, 0] + self._over_training(systems, training) @ weights_K
        return variance, draws_B * self._student(variance)

    def _over_blocks(self, systems: Sequence[int], weights_KC: Floats) -> tuple[Floats, Floats]:
        """Returns the deviations_BC of weighted sums of rates over the test set, and variances_C.

        If the variance over speakers is below that over utterances, the rest is added.
        """
        blocks = self.blocks
        draws_BC = self.deviations_BK[:, systems] @ weights_KC * sqrt(bessel(blocks.count))
        found_C = draws_BC.var(axis=0)
        if blocks.kind == "utterances":
            return draws_BC, found_C
        errors_CU = weights_KC.T @ self.errors_KU[systems]
        errors_CG = blocks.summed(errors_CU)
        missing_C = _linearised(errors_CU, blocks.symbols_U)
        missing_C -= _linearised(errors_CG, blocks.symbols_G)
        missing_C = np.maximum(0.0, missing_C)
        unit_KC = weights_KC / np.linalg.norm(weights_KC, axis=0)
        draws_BC += self.missing_BK[:, systems] @ unit_KC * np.sqrt(missing_C)
        return draws_BC, found_C + missing_C

    def _kurtosis(self, systems: Sequence[int], weights_K: Floats) -> float:
        """Returns the kurtosis of the blocks' contributions to a weighted sum of rates."""
        blocks = self.blocks
        errors_G = blocks.summed(weights_K @ self.errors_KU[systems])[0]
        squares_G = np.square(errors_G - errors_G.sum() / blocks.symbols * blocks.symbols_G)
        mean = float(squares_G.mean())
        return float(np.square(squares_G).mean()) / mean**2 if mean else 3.0

    def _over_training(
        self, systems: Sequence[int], training: Sequence[TrainingVariance]
    ) -> Floats:
        scale_K = np.sqrt(np.array([each.variance for each in training] or [0.0]))
        return np.asarray(self.normal_BK[:, systems] * scale_K)

    def _scope(self, systems: Sequence[int]) -> Scope:
        once = any(self.training_K[system] is None for system in systems)
        return Scope.MODELS if once else Scope.TRAINING

    def _training(self, systems: Sequence[int]) -> tuple[TrainingVariance, ...]:
        found = [self.training_K[system] for system in systems]
        known = tuple(each for each in found if each is not None)
        return known if len(known) == len(found) else ()

    def _student(self, variance: Variance) -> Floats:
        # The same stream of its own for every question.
        generator = np.random.default_rng([self.seed, 1])
        return student(generator, len(self.deviations_BK), variance.freedom)


def bootstrap(
    blocks: Blocks,
    systems: Sequence[npt.ArrayLike],
    replicates: int = REPLICATES,
    seed: int = 0,
    family: Collection[int] = (),
) -> Bootstrap:
    """Draws the replicates. Each of `systems` is its errors_SU, one row per run.

    The training variance of each system in `family`, by number, is at least what is typical of
    them.
    """
    errors_KU = np.stack([blocks.of_utterances(errors).mean(axis=0) for errors in systems])
    errors_KSG = [blocks.summed(errors) for errors in systems]
    means_KG = np.stack([errors_SG.mean(axis=0) for errors_SG in errors_KSG])
    rates_K = means_KG.sum(axis=1) / blocks.symbols
    training = [TrainingVariance.of(blocks, errors_SG) for errors_SG in errors_KSG]
    chosen = sorted(family)
    typical = at_least_typical([training[k] for k in chosen], rates_K[chosen])
    for k, each in zip(chosen, typical, strict=True):
        training[k] = each
    generator = np.random.default_rng([seed, 0])
    drawn = [
        counts_BG @ means_KG.T / (counts_BG @ blocks.symbols_G)[:, None]
        for counts_BG in blocks.drawn(generator, replicates)
    ]
    shape = (replicates, len(rates_K))
    return Bootstrap(
        blocks,
        rates_K,
        errors_KU,
        tuple(training),
        np.concatenate(drawn) - rates_K,
        generator.standard_normal(shape),
        generator.standard_normal(shape),
        seed,
    )


def _linearised(errors_CX: Floats, symbols_X: Floats) -> Floats:
    """Returns the variances_C of ratios of sums over independent X (Cochran 1977, eq. 6.13)."""
    total = symbols_X.sum()
    rates_C1 = errors_CX.sum(axis=1, keepdims=True) / total
    squares_CX = np.square((errors_CX - rates_C1 * symbols_X) / total)
    return np.asarray(squares_CX.sum(axis=1) * bessel(len(symbols_X)))


def _widened(deviations_B: Floats, delta: float, least: float) -> Floats:
    """Returns deviations that are wide enough for a two-sided p-value of `least` or more."""
    towards_zero_B = -np.sign(delta) * deviations_B
    # Half of the deviations are on the other side, whatever their width.
    bound = float(np.quantile(towards_zero_B, 1 - min(least, 0.5) / 2, method="weibull"))
    return deviations_B * (abs(delta) / bound) if 0 < bound < abs(delta) else deviations_B


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
