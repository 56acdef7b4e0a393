"""Simulated systems on simulated test sets, whose true error rates are known.

An utterance has log-normal many symbols and a hardness, gamma of mean 1, times that of its speaker
where there are speakers. In proportion to both it has difficult spots, Poisson, the same for all
systems; each system fails at a spot with a chance of its own in each utterance (beta, the same in
all its runs), each run anew. To these come a run's own errors, Poisson at a rate that is the luck
of its training, gamma. So errors are over-dispersed, hard utterances are hard for all, runs of one
system are more alike than two systems, and the expected rate of a system is known exactly.

With the figures below, a run has 55 % of the utterances right, the variance of errors of an
utterance is 2.9 times their mean, two systems correlate by 0.75, a rate of 5 % on 130 utterances
has a standard error of 0.70 points and a difference 0.51. In six runs on AN4's test set (a seed
each, results/an4 at commit 2e77b77) these are 49 to 64 %, 2.5 to 3.7, 0.59 to 0.88, 0.61 to 0.94
and 0.34 to 0.66 points.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RATE = 0.05
OWN = 0.3
"""Share of its errors that are a run's own."""
FAILS = 0.6
"""Mean chance to fail at a difficult spot."""
FAILS_SPREAD = 6.0
"""Of that chance over utterances: the sum of the parameters of its beta."""
FAILS_SPREAD_SPEAKERS = 30.0
SYMBOLS = 20.0
SYMBOLS_SPREAD = 0.5
"""Standard deviation of the logarithm."""
HARDNESS = 1.2
HARDNESS_SPEAKERS = 0.1
"""Variances of hardness."""


@dataclass(frozen=True)
class Trial:
    symbols_U: Array
    speakers_U: list[int] | None
    errors: list[Array]
    """Of each system, errors_SU."""


@dataclass(frozen=True)
class World:
    """What all trials share."""

    utterances: int
    speakers: int = 0
    """None of them: each utterance is by another."""
    seeds: tuple[int, ...] = (3, 3)
    """Runs of each system."""
    luck: tuple[float, ...] = (0.1, 0.1)
    """Standard deviation of the rate over trainings of each system, over the rate."""
    shift: float = 0.0
    """By how much the rate of every system but the first is above `RATE`."""
    matched: float = 0.0
    """Correlation of the luck of runs with the same seed; needs equal luck."""

    @property
    def rates(self) -> list[float]:
        return [RATE + (self.shift if k else 0.0) for k in range(len(self.seeds))]

    def draw(self, generator: np.random.Generator) -> Trial:
        center = np.log(SYMBOLS) - SYMBOLS_SPREAD**2 / 2
        lengths_U = generator.lognormal(center, SYMBOLS_SPREAD, self.utterances)
        symbols_U = np.maximum(1.0, np.round(lengths_U))
        hardness_U = _gamma(generator, HARDNESS, self.utterances)
        speakers_U = None
        if self.speakers:
            speakers_U = generator.integers(0, self.speakers, self.utterances)
            hardness_U *= _gamma(generator, HARDNESS_SPEAKERS, self.speakers)[speakers_U]
        weight_U = symbols_U * hardness_U
        spots_U = generator.poisson(weight_U * RATE * (1 - OWN) / FAILS)
        luck = self._luck(generator)
        errors = []
        for k, seeds in enumerate(self.seeds):
            fails_U = self._fails(generator, speakers_U)
            own_S = RATE * OWN * luck[k] + self.rates[k] - RATE
            at_spots = generator.binomial(spots_U, fails_U, (seeds, self.utterances))
            errors.append(at_spots + generator.poisson(weight_U * own_S[:, None]) * 1.0)
        named = None if speakers_U is None else speakers_U.tolist()
        return Trial(symbols_U, named, errors)

    def _fails(
        self, generator: np.random.Generator, speakers_U: npt.NDArray[np.int64] | None
    ) -> Array:
        mean_U = np.full(self.utterances, FAILS)
        if speakers_U is not None:
            mean_U = _beta(generator, np.full(self.speakers, FAILS), FAILS_SPREAD_SPEAKERS)[
                speakers_U
            ]
        return _beta(generator, mean_U, FAILS_SPREAD)

    def _luck(self, generator: np.random.Generator) -> list[Array]:
        """Of each system, factors_S of mean 1 on the rate of a run's own errors."""
        common = _gamma_part(generator, self.luck[0] / OWN, self.matched, max(self.seeds))
        return [
            _gamma_part(generator, luck / OWN, 1 - self.matched, seeds) + common[:seeds]
            for luck, seeds in zip(self.luck, self.seeds, strict=True)
        ]


def _gamma(generator: np.random.Generator, variance: float, size: int) -> Array:
    """Of mean 1."""
    return generator.gamma(1 / variance, variance, size)


def _gamma_part(generator: np.random.Generator, deviation: float, share: float, size: int) -> Array:
    """Parts whose shares sum to 1 sum to a gamma of mean 1 with that standard deviation."""
    if not deviation or not share:
        return np.full(size, share)
    return generator.gamma(share / deviation**2, deviation**2, size)


def _beta(generator: np.random.Generator, mean: Array, spread: float) -> Array:
    return generator.beta(mean * spread, (1 - mean) * spread)
