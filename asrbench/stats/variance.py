"""The variance components of an error rate: the test set, and training with another seed.

For run s of a system, the errors in block g have three parts: what the block does to the system in
every run (variance T), what the run does in every block (variance between training seeds, L), and
the rest, which belongs to this run in this block (interaction, I, summed over the blocks and
divided by N squared). With S runs the variance of the mean rate is

    T/G + L/S + I/S.

The errors of blocks averaged over seeds vary by T/G + I/S; the bootstrap over blocks sees this. The
rates of the runs vary by L + I, so their sample variance divided by S estimates L/S + I/S. Adding
the two, as a bootstrap of seeds and blocks does, would count I/S twice. I/S is therefore estimated
from the residual of each block after the means of its block and its run are taken out, and is
subtracted from the second term; the result is at least zero.

The sum has the degrees of freedom of Satterthwaite (1946, Biometrics Bulletin 2:110), and never
fewer than the component that has fewest: few seeds make heavy tails.

Of few runs, the estimate is often far too small by chance, and a small component has no weight in
Satterthwaite's formula, so that the few degrees of freedom behind it are lost. In a family of
systems the estimate of each is therefore at least what is typical of the family: the median over
its systems, relative to the squared rate. A median, because one system whose training is unsteady
must not hide the differences between the others. docs/statistics.md compares this with other
procedures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import pi, sqrt
from statistics import median

import numpy as np
import numpy.typing as npt

from asrbench.stats.blocks import Blocks, Floats


@dataclass(frozen=True)
class TrainingVariance:
    """The variance of one system's mean rate between training seeds, from at least two runs."""

    seeds: int
    between_runs: float
    """Sample variance of the rates of the runs, divided by their number: L/S + I/S."""
    interaction: float
    """I/S, which the bootstrap over blocks already contains."""
    systems: float = 1.0
    """Number of systems that the estimate rests on: above 1 if it is that of a family."""

    @classmethod
    def of(cls, blocks: Blocks, errors_SG: Floats) -> "TrainingVariance | None":
        """Estimates it from the errors of all runs. Returns None for a single run."""
        seeds = len(errors_SG)
        if seeds < 2:
            return None
        rates_S = errors_SG.sum(axis=1) / blocks.symbols
        residuals_SG = (errors_SG - rates_S[:, None] * blocks.symbols_G) / blocks.symbols
        interaction = residuals_SG.var(axis=0, ddof=1).sum() * bessel(blocks.count) / seeds
        return cls(seeds, float(rates_S.var(ddof=1) / seeds), float(interaction))

    @property
    def variance(self) -> float:
        """L/S, which is added to the variance over blocks."""
        return max(0.0, self.between_runs - self.interaction)

    @property
    def freedom(self) -> float:
        """Degrees of freedom."""
        return self.systems * (self.seeds - 1)

    def with_seeds(self, seeds: int) -> "TrainingVariance":
        """Returns the value expected from so many runs; the estimate of L stays at least zero."""
        share = self.seeds / seeds
        interaction = share * self.interaction
        between_runs = share * self.variance + interaction
        return replace(self, seeds=seeds, between_runs=between_runs, interaction=interaction)

    def on_test_sets(self, times: float) -> "TrainingVariance":
        """Returns the value expected on a test set so many times as large."""
        interaction = self.interaction / times
        return replace(self, between_runs=self.variance + interaction, interaction=interaction)


def at_least_typical(
    training_K: Sequence[TrainingVariance | None], rates_K: Floats
) -> tuple[TrainingVariance | None, ...]:
    """Raises each estimate that is smaller than what is typical of the family.

    An estimate from f degrees of freedom is a chi-square of its own median m_f times the true value
    over f, so the typical value is the median over the systems of L f / (m_f rate^2). It has 2/pi
    of the degrees of freedom of all systems together, the efficiency of a median. Systems with one
    run, or without errors, say nothing; without two that do, nothing is changed.
    """
    from scipy.special import gammaincinv  # takes 0.1 s, which `--replicates 0` need not spend

    known = [(each, rate) for each, rate in zip(training_K, rates_K.tolist(), strict=True) if each]
    relative = [
        each.variance
        * each.seeds
        / rate**2
        * each.freedom
        / (2 * gammaincinv(each.freedom / 2, 0.5))
        for each, rate in known
        if rate > 0
    ]
    if len(relative) < 2:
        return tuple(training_K)
    typical = float(median(relative))
    freedom = 2 / pi * sum(each.freedom for each, _ in known)

    def raised(each: TrainingVariance | None, rate: float) -> TrainingVariance | None:
        if each is None or (floor := typical * rate**2 / each.seeds) <= each.variance:
            return each
        systems = max(1.0, freedom / (each.seeds - 1))
        return replace(each, between_runs=floor + each.interaction, systems=systems)

    return tuple(map(raised, training_K, rates_K.tolist()))


@dataclass(frozen=True)
class Variance:
    """The variance of a rate, or of a difference of two rates, by component."""

    over_blocks: float
    """Variance over blocks of the mean over the runs at hand: T/G + I/S."""
    blocks: int
    """Number of blocks, G."""
    training: tuple[TrainingVariance, ...]
    """One per system; empty where training variance is not asked for or cannot be known."""
    kurtosis: float = 3.0
    """Of the blocks' contributions. A few blocks with many errors make it large, and then
    `over_blocks` is known less well than the number of blocks says."""

    @property
    def total(self) -> float:
        return self.over_blocks + sum(each.variance for each in self.training)

    @property
    def error(self) -> float:
        """The standard error."""
        return sqrt(self.total)

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom of `total`, at least those of every component."""
        return self._freedom(self.blocks - 1)

    @property
    def own_freedom(self) -> float:
        """The degrees of freedom with which `total` itself is estimated.

        The relative variance of the sample variance of G blocks is (kurtosis - 1) / G (Cramer 1946,
        27.4), which is that of 2 G / (kurtosis - 1) degrees of freedom.
        """
        known = 2 * self.blocks / max(1e-9, self.kurtosis - 1)
        return self._freedom(max(1.0, min(self.blocks - 1, known)))

    def _freedom(self, of_blocks: float) -> float:
        components = [(self.over_blocks, of_blocks)]
        components += [(each.between_runs, each.freedom) for each in self.training]
        below = sum(component**2 / freedom for component, freedom in components)
        least = min(freedom for _, freedom in components)
        return max(self.total**2 / below, least) if below else least

    def with_seeds(self, seeds: int) -> "Variance":
        """Returns the value expected from so many runs of each system."""
        training = tuple(each.with_seeds(seeds) for each in self.training)
        saved = sum(
            before.interaction - after.interaction
            for before, after in zip(self.training, training, strict=True)
        )
        return replace(self, over_blocks=max(0.0, self.over_blocks - saved), training=training)

    def scaled(self, factor: float) -> "Variance":
        """Returns the variance with every component multiplied by `factor`."""
        training = tuple(
            replace(
                each,
                between_runs=factor * each.between_runs,
                interaction=factor * each.interaction,
            )
            for each in self.training
        )
        return replace(self, over_blocks=factor * self.over_blocks, training=training)

    def on_test_sets(self, times: float) -> "Variance":
        """Returns the value expected on a test set so many times as large."""
        training = tuple(each.on_test_sets(times) for each in self.training)
        return replace(
            self,
            over_blocks=self.over_blocks / times,
            blocks=round(self.blocks * times),
            training=training,
        )


def bessel(count: int) -> float:
    """Returns the factor from the variance of `count` bootstrap draws to the unbiased estimate."""
    return count / (count - 1)


def student(generator: np.random.Generator, replicates: int, freedom: float) -> Floats:
    """Returns factors_B that turn normal deviates into Student's t with `freedom`."""
    chi2: npt.NDArray[np.float64] = generator.chisquare(freedom, replicates)
    return np.sqrt(freedom / chi2)
