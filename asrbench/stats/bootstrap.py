"""One bootstrap of the test set for all systems at once, so that every difference is paired.

Each replicate draws the blocks of the test set with replacement and takes the corpus rate of every
system, errors over symbols, on what it drew (Bisani & Ney 2004, ICASSP 1:409). What training luck
adds is drawn beside it, normal with the variance that `asrbench.stats.variance` finds, and both are
stretched from normal to Student's t by the degrees of freedom of their sum. With one run and many
blocks nothing is added or stretched: the plain percentile bootstrap is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt

import numpy as np
import numpy.typing as npt

from asrbench.stats.blocks import Blocks, Floats
from asrbench.stats.variance import Luck, Variance, bessel, student

REPLICATES = 10_000
CONFIDENCE = 0.95


class Scope(StrEnum):
    """What a figure speaks of."""

    MODELS = "these trained models"
    """On other utterances; luck of training is not in it."""
    TRAINING = "training anew"
    """On other utterances, trained with other seeds."""


@dataclass(frozen=True)
class Interval:
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        return self.high - self.low


@dataclass(frozen=True)
class Rate:
    """An error rate: the mean over runs of errors over symbols."""

    value: float
    interval: Interval
    scope: Scope
    variance: Variance


@dataclass(frozen=True)
class Difference:
    """Of one system to another, its rate minus theirs: below zero is fewer errors."""

    delta: float
    interval: Interval
    relative: float | None
    """`delta` over their rate; None if that is zero."""
    improvement_probability: float
    """Share of the replicates below zero: Bisani & Ney's with luck, and Student's t, in it."""
    p: float
    """Two-sided. Twice the share of replicates on the far side of zero, each count plus one
    (Davison & Hinkley 1997, 4.2.5): 1 - p is the widest confidence without zero in the interval."""
    scope: Scope
    variance: Variance


@dataclass(frozen=True)
class Critical:
    """One statement about all pairs: two systems further apart than `difference` differ.

    The 95 % quantile of the range of all systems' deviations over the replicates, which is Tukey's
    honest significant difference (1949) with a bootstrap in place of his distribution: in 19 of 20
    test sets and trainings not one pair of equals is told apart.
    """

    difference: float
    groups: tuple[tuple[int, ...], ...]
    """The largest sets of systems no two of which are told apart, the best first, as in the
    diagrams of Demšar (2006, JMLR 7:1): numbers of systems, by rate."""
    scope: Scope


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Systems on one test set, and their rates on its replicates."""

    blocks: Blocks
    rates_K: Floats
    lucks_K: tuple[Luck | None, ...]
    _deviations_BK: Floats
    """Rates of the replicates minus the rates: of the test set only."""
    _normal_BK: Floats
    """What luck is drawn from."""
    _seed: int

    def rate(self, system: int, confidence: float = CONFIDENCE) -> Rate:
        """The rate of one system. Its interval stops at zero, as rates do."""
        scope = self._scope([system])
        variance, draws_B = self._drawn({system: 1.0}, scope)
        value = float(self.rates_K[system])
        interval = _interval(value + draws_B, confidence)
        return Rate(value, Interval(max(0.0, interval.low), interval.high), scope, variance)

    def difference(self, one: int, other: int, confidence: float = CONFIDENCE) -> Difference:
        """The rate of `one` minus that of `other`.

        If either was trained once, luck cannot be told from merit: then it speaks of these models.
        Runs of both systems with the same seed count as independent, which is cautious where they
        are alike: pairing them by seed would leave half the degrees of freedom.
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
    ) -> Critical:
        """How far apart any two of `systems`, or of all, must be to count as different."""
        chosen = list(range(len(self.rates_K)) if systems is None else systems)
        if len(chosen) < 2:
            raise ValueError(f"{len(chosen)} systems have no difference")
        scope = self._scope(chosen)
        lucks = self._lucks(chosen, scope)
        # What moves all systems alike moves no difference.
        deviations_BK = self._over_blocks(chosen)
        deviations_BK -= deviations_BK.mean(axis=1, keepdims=True)
        # Centring takes 1/K of it, which luck keeps.
        over_blocks = float(deviations_BK.var(axis=0).sum()) * bessel(len(chosen))
        variance = Variance(over_blocks, self.blocks.count, lucks)
        draws_BK = deviations_BK + self._over_luck(chosen, lucks)
        range_B = np.ptp(draws_BK, axis=1) * self._student(variance)
        difference = float(np.quantile(range_B, confidence, method="weibull"))
        return Critical(difference, _groups(self.rates_K, chosen, difference), scope)

    def _drawn(self, weights: dict[int, float], scope: Scope) -> tuple[Variance, Floats]:
        """Variance of the weighted sum of the rates of some systems, and its deviations_B."""
        systems, weights_K = list(weights), np.array([*weights.values()])
        lucks = self._lucks(systems, scope)
        deviations_B = self._over_blocks(systems) @ weights_K
        variance = Variance(float(deviations_B.var()), self.blocks.count, lucks)
        deviations_B += self._over_luck(systems, lucks) @ weights_K
        return variance, deviations_B * self._student(variance)

    def _over_blocks(self, systems: Sequence[int]) -> Floats:
        scale = sqrt(bessel(self.blocks.count))
        return np.asarray(self._deviations_BK[:, systems] * scale)

    def _over_luck(self, systems: Sequence[int], lucks: Sequence[Luck]) -> Floats:
        scale_K = np.sqrt(np.array([luck.variance for luck in lucks] or [0.0]))
        return np.asarray(self._normal_BK[:, systems] * scale_K)

    def _scope(self, systems: Sequence[int]) -> Scope:
        once = any(self.lucks_K[system] is None for system in systems)
        return Scope.MODELS if once else Scope.TRAINING

    def _lucks(self, systems: Sequence[int], scope: Scope) -> tuple[Luck, ...]:
        if scope is Scope.MODELS:
            return ()
        return tuple(luck for system in systems if (luck := self.lucks_K[system]) is not None)

    def _student(self, variance: Variance) -> Floats:
        # A stream of its own, and the same for every question.
        generator = np.random.default_rng([self._seed, 1])
        return student(generator, len(self._deviations_BK), variance.freedom)


def bootstrap(
    blocks: Blocks,
    systems: Sequence[npt.ArrayLike],
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Bootstrap:
    """Draws the replicates of `systems`, each its errors_SU: one row a run, as many as it has."""
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
        tuple(Luck.of(blocks, errors_SG) for errors_SG in errors_KSG),
        np.concatenate(drawn) - rates_K,
        generator.standard_normal((replicates, len(rates_K))),
        seed,
    )


def _interval(draws_B: Floats, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    # The quantiles at which (count + 1) / (replicates + 1) is the tail, as in the p-value.
    low, high = np.quantile(draws_B, [tail, 1 - tail], method="weibull")
    return Interval(float(low), float(high))


def _groups(
    rates_K: Floats, systems: Sequence[int], difference: float
) -> tuple[tuple[int, ...], ...]:
    order = sorted(systems, key=lambda system: rates_K[system])
    groups: list[tuple[int, ...]] = []
    reached = 0
    for start, first in enumerate(order):
        within = [k for k in order[start:] if rates_K[k] - rates_K[first] <= difference]
        # A set that ends where an earlier one did is a part of it.
        if start + len(within) > reached:
            reached = start + len(within)
            groups.append(tuple(within))
    return tuple(groups)
