"""What makes an error rate uncertain, taken apart: the test set, and the luck of training.

For run s of a system, errors in block g split into what the block is to the system in every run,
what the run is in every block (its luck, variance L), and the rest, which belongs to this run in
this block (I, summed over the blocks and divided by N squared). With S runs the mean rate varies by

    T/G + L/S + I/S.

The blocks of runs averaged over seeds vary by T/G + I/S, which the bootstrap over blocks sees. The
rates of the runs vary by L + I, so their sample variance over S sees L/S + I/S. Adding the two, as
a bootstrap of seeds and blocks does, counts I/S twice; so it is estimated from what is left of each
block after its run and its mean are taken out, and subtracted from the second, down to zero.

The sum has as many degrees of freedom as Satterthwaite (1946, Biometrics Bulletin 2:110) gives it,
and never fewer than its poorest part: few seeds make heavy tails. docs/statistics.md has what this
was held against, and how often each was right.
"""

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import numpy.typing as npt

from asrbench.stats.blocks import Blocks, Floats


@dataclass(frozen=True)
class Luck:
    """What training once more does to the mean rate of one system, from at least two runs."""

    seeds: int
    seen: float
    """Sample variance of the rates of the runs, over their number: L/S + I/S."""
    interaction: float
    """I/S, which the bootstrap over blocks has already."""

    @classmethod
    def of(cls, blocks: Blocks, errors_SG: Floats) -> "Luck | None":
        """None for a single run, which says nothing of luck."""
        seeds = len(errors_SG)
        if seeds < 2:
            return None
        rates_S = errors_SG.sum(axis=1) / blocks.symbols
        residuals_SG = (errors_SG - rates_S[:, None] * blocks.symbols_G) / blocks.symbols
        interaction = residuals_SG.var(axis=0, ddof=1).sum() * bessel(blocks.count) / seeds
        return cls(seeds, float(rates_S.var(ddof=1) / seeds), float(interaction))

    @property
    def variance(self) -> float:
        """L/S: what is to be added to the variance over blocks."""
        return max(0.0, self.seen - self.interaction)

    @property
    def freedom(self) -> int:
        return self.seeds - 1

    def with_seeds(self, seeds: int) -> "Luck":
        """As expected of so many runs; no luck that was not seen."""
        share = self.seeds / seeds
        interaction = share * self.interaction
        return Luck(seeds, share * self.variance + interaction, interaction)

    def on_test_sets(self, times: float) -> "Luck":
        """As expected of a test set so many times as large."""
        interaction = self.interaction / times
        return replace(self, seen=self.variance + interaction, interaction=interaction)


@dataclass(frozen=True)
class Variance:
    """Of a rate, or of a difference of two: its parts, their sum, and how well that is known."""

    over_blocks: float
    """Of the mean over the runs at hand: T/G + I/S."""
    blocks: int
    lucks: tuple[Luck, ...]
    """One a system; none where luck is not asked about or cannot be known."""

    @property
    def total(self) -> float:
        return self.over_blocks + sum(luck.variance for luck in self.lucks)

    @property
    def error(self) -> float:
        """Standard error."""
        return sqrt(self.total)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of `total`."""
        parts = [(self.over_blocks, self.blocks - 1)]
        parts += [(luck.seen, luck.freedom) for luck in self.lucks]
        below = sum(part**2 / freedom for part, freedom in parts)
        least = min(freedom for _, freedom in parts)
        return max(self.total**2 / below, least) if below else least

    def with_seeds(self, seeds: int) -> "Variance":
        """As expected of so many runs of each system."""
        lucks = tuple(luck.with_seeds(seeds) for luck in self.lucks)
        saved = sum(
            before.interaction - after.interaction
            for before, after in zip(self.lucks, lucks, strict=True)
        )
        return replace(self, over_blocks=max(0.0, self.over_blocks - saved), lucks=lucks)

    def on_test_sets(self, times: float) -> "Variance":
        """As expected of a test set so many times as large."""
        lucks = tuple(luck.on_test_sets(times) for luck in self.lucks)
        return Variance(self.over_blocks / times, round(self.blocks * times), lucks)


def bessel(count: int) -> float:
    """What turns the variance that a bootstrap of `count` draws has into that of the estimate."""
    return count / (count - 1)


def student(generator: np.random.Generator, replicates: int, freedom: float) -> Floats:
    """Factors_B that turn normal deviates into Student's t with `freedom`."""
    chi2: npt.NDArray[np.float64] = generator.chisquare(freedom, replicates)
    return np.sqrt(freedom / chi2)
