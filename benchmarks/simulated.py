"""Simulated systems on simulated test sets, whose true error rates are known.

The number of symbols of an utterance is log-normal. Its hardness is gamma with mean 1, multiplied
by that of its speaker if there are speakers. The number of its difficult spots is Poisson,
proportional to both, and the same for all systems. Each run of a system fails at a spot
independently, with a probability that is beta for each system and utterance and the same in all
runs of the system. The own errors of a run are Poisson; their rate is gamma, and varies between
training seeds. So errors are over-dispersed, hard utterances are hard for all systems, two runs of
one system are more similar than two systems, and the expected rate of a system is known exactly.

With the figures below, a run has 55 % of the utterances right, the variance of the errors of an
utterance is 2.9 times their mean, two systems correlate by 0.75, and the standard errors on 130
utterances are 0.70 points for a rate of 5 % and 0.51 for a difference. In six runs on the test set
of AN4 (one seed each, results/an4 at commit 2e77b77) these are 49 to 64 %, 2.5 to 3.7, 0.59 to
0.88, 0.61 to 0.94 and 0.34 to 0.66 points.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RATE = 0.05
OWN = 0.3
"""Share of the errors of a run that are its own."""
FAILS = 0.6
"""Mean probability to fail at a difficult spot."""
FAILS_SPREAD = 6.0
"""Sum of the parameters of the beta distribution of that probability over utterances."""
FAILS_SPREAD_SPEAKERS = 30.0
SYMBOLS = 20.0
SYMBOLS_SPREAD = 0.5
"""Standard deviation of the logarithm of the number of symbols."""
HARDNESS = 1.2
HARDNESS_SPEAKERS = 0.1
"""Variances of hardness over utterances and over speakers."""


@dataclass(frozen=True)
class Trial:
    """One simulated test set and the errors of all systems on it."""

    symbols_U: Array
    speakers_U: list[int] | None
    errors: list[Array]
    """The errors_SU of each system."""


@dataclass(frozen=True)
class World:
    """The distribution that trials are drawn from."""

    utterances: int
    speakers: int = 0
    """Number of speakers; 0 if every utterance has a speaker of its own."""
    seeds: tuple[int, ...] = (3, 3)
    """Runs of each system."""
    training_sd: tuple[float, ...] = (0.1, 0.1)
    """Standard deviation of each system's rate between training seeds, divided by the rate."""
    shift: float = 0.0
    """The rate of every system but the first, minus that of the first."""
    matched: float = 0.0
    """Correlation between runs with the same seed; needs equal `training_sd`."""

    @property
    def rates(self) -> list[float]:
        """The true rates. The lower is always `RATE`."""
        first, others = RATE - min(0.0, self.shift), RATE + max(0.0, self.shift)
        return [others if k else first for k in range(len(self.seeds))]

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
        factors = self._training_factors(generator)
        errors = []
        for k, seeds in enumerate(self.seeds):
            fails_U = self._fails(generator, speakers_U)
            own_S = RATE * OWN * factors[k] + self.rates[k] - RATE
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

    def _training_factors(self, generator: np.random.Generator) -> list[Array]:
        """Draws for each system the factors_S, of mean 1, on the rate of a run's own errors."""
        common = _gamma_part(generator, self.training_sd[0] / OWN, self.matched, max(self.seeds))
        return [
            _gamma_part(generator, sd / OWN, 1 - self.matched, seeds) + common[:seeds]
            for sd, seeds in zip(self.training_sd, self.seeds, strict=True)
        ]


def _gamma(generator: np.random.Generator, variance: float, size: int) -> Array:
    """Draws gamma deviates of mean 1."""
    return generator.gamma(1 / variance, variance, size)


def _gamma_part(generator: np.random.Generator, deviation: float, share: float, size: int) -> Array:
    """Parts whose shares sum to 1 sum to a gamma of mean 1 with that standard deviation."""
    if not deviation or not share:
        return np.full(size, share)
    return generator.gamma(share / deviation**2, deviation**2, size)


def _beta(generator: np.random.Generator, mean: Array, spread: float) -> Array:
    return generator.beta(mean * spread, (1 - mean) * spread)
