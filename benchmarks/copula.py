"""Simulated systems of another make than those of `simulated.py`, to check the statistics twice.

The errors of a run in an utterance are negative binomial: their mean is the utterance's symbols
times the rate of the run, their variance is the mean plus the squared mean times `DISPERSION`. A
Gaussian copula (Sklar 1959; Song 2000, Scand. J. Statist. 27:305) makes them dependent. The normal
deviate of a run in an utterance is the sum of independent parts: of the utterance, of its speaker,
of the system with that utterance and with that speaker, and of the run alone. `SHARES` has their
variances. Nothing but the lengths of the utterances is drawn as in `simulated.py`.

With these figures, a run has 60 % of the utterances right, the variance of the errors of an
utterance is 3.9 times their mean, two systems correlate by 0.75, and two runs of one by 0.9.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import ndtr
from simulated import RATE, SYMBOLS, SYMBOLS_SPREAD, Array, Trial, World

DISPERSION = 2.0
SHARES = {"utterance": 0.75, "speaker": 0.05, "system": 0.1, "system_speaker": 0.03, "run": 0.07}
"""Variances of the parts of the normal deviate, which sum to 1."""


@dataclass(frozen=True)
class CopulaWorld:
    """The distribution that trials are drawn from; fields are those of `simulated.World`."""

    utterances: int
    speakers: int = 0
    seeds: tuple[int, ...] = (3, 3)
    training_sd: tuple[float, ...] = (0.1, 0.1)
    shift: float = 0.0
    skew: bool = False
    """Training fails partly in one run of five, instead of varying normally: the rate of such a
    run is higher by two standard deviations, that of the others lower by half of one."""
    alike: float = 0.0
    """Share of the deviate in which all systems differ that is taken away, so that at 1 all runs
    with the same rate make the same errors."""

    @property
    def rates(self) -> list[float]:
        """The true rates. The lower is always `RATE`."""
        first, others = RATE - min(0.0, self.shift), RATE + max(0.0, self.shift)
        return [others if k else first for k in range(len(self.seeds))]

    @classmethod
    def twin(cls, world: World) -> "CopulaWorld":
        """Returns the world of this make that has the sizes and rates of `world`."""
        return cls(world.utterances, world.speakers, world.seeds, world.training_sd, world.shift)

    def draw(self, generator: np.random.Generator) -> Trial:
        center = np.log(SYMBOLS) - SYMBOLS_SPREAD**2 / 2
        lengths_U = generator.lognormal(center, SYMBOLS_SPREAD, self.utterances)
        symbols_U = np.maximum(1.0, np.round(lengths_U))
        speakers_U = np.arange(self.utterances)
        if self.speakers:
            speakers_U = generator.integers(0, self.speakers, self.utterances)
        common = self._part(generator, "utterance") + self._part(generator, "speaker")[speakers_U]
        errors = []
        for k, seeds in enumerate(self.seeds):
            own_U = self._part(generator, "system")
            own_U = own_U + self._part(generator, "system_speaker")[speakers_U]
            run_SU = self._part(generator, "run", seeds)
            kept = 1 - self.alike
            deviates_SU = sqrt(1 - kept * _OWN) * common / sqrt(1 - _OWN)
            deviates_SU = deviates_SU + sqrt(kept) * (own_U + run_SU)
            rates_S = self.rates[k] * self._training_factors(generator, k)
            errors.append(_negative_binomial(ndtr(deviates_SU), rates_S[:, None] * symbols_U))
        return Trial(symbols_U, speakers_U.tolist() if self.speakers else None, errors)

    def _part(self, generator: np.random.Generator, name: str, rows: int | None = None) -> Array:
        size = self.utterances if rows is None else (rows, self.utterances)
        return sqrt(SHARES[name]) * generator.standard_normal(size)

    def _training_factors(self, generator: np.random.Generator, system: int) -> Array:
        """Draws the factors_S, of mean 1, on the rate of each run."""
        seeds, deviation = self.seeds[system], self.training_sd[system]
        if self.skew:
            return 1 + deviation * np.where(generator.random(seeds) < 0.2, 2.0, -0.5)
        return np.maximum(0.0, 1 + deviation * generator.standard_normal(seeds))


_OWN = SHARES["system"] + SHARES["system_speaker"] + SHARES["run"]


def _negative_binomial(chance: Array, mean: Array) -> Array:
    """Returns the quantiles at `chance`; both arguments broadcast to the same shape."""
    size = 1 / DISPERSION
    failure = mean / (mean + size)
    mass = np.broadcast_to((1 - failure) ** size, chance.shape).copy()
    below, counts = mass.copy(), np.zeros(chance.shape)
    number = 0
    while (above := chance > below).any():
        counts += above
        mass *= failure * (number + size) / (number + 1)
        below += mass
        number += 1
        if number > 10_000:
            raise ValueError("found a chance of 1, which has no quantile")
    return counts
