"""Other intervals for a difference between systems of several runs, to hold the chosen one against.

Each takes the bootstrap of the systems, their errors_SG by block, and gives 95 % of the second's
rate minus the first's.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np
from scipy import stats

from asrbench.stats.blocks import Floats
from asrbench.stats.bootstrap import Bootstrap, Interval, bootstrap
from asrbench.stats.power import ALPHA
from asrbench.stats.variance import Luck, Variance

SEED = 2
Alternative = Callable[[Bootstrap, list[Floats]], Interval]


def chosen(boot: Bootstrap, errors: list[Floats]) -> Interval:
    return boot.difference(1, 0).interval


def over_blocks_only(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """As though the mean of the runs were one model: luck is left out."""
    return _again(boot, [system.mean(axis=0) for system in errors]).difference(1, 0).interval


def two_level(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Runs drawn with replacement, then blocks."""
    return _two_level(boot, errors, paired=False)


def two_level_paired(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """The same seeds drawn for both systems."""
    return _two_level(boot, errors, paired=True)


def over_seeds_only(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Student's t of the differences seed by seed; the test set is left out."""
    differences_S = _rates(boot, errors[1]) - _rates(boot, errors[0])
    seeds = len(differences_S)
    error = float(differences_S.std(ddof=1)) / sqrt(seeds)
    return _student(float(differences_S.mean()), error, seeds - 1)


def nothing_subtracted(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """As chosen, with the interaction counted twice."""
    variance = boot.difference(1, 0).variance
    lucks = tuple(Luck(luck.seeds, luck.seen, 0.0) for luck in variance.lucks)
    return _of(boot, Variance(variance.over_blocks, variance.blocks, lucks))


def seeds_paired(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """As chosen, with the luck of the differences seed by seed in place of that of each system."""
    luck = Luck.of(boot.blocks, errors[1] - errors[0])
    over_blocks = boot.difference(1, 0).variance.over_blocks
    return _of(boot, Variance(over_blocks, boot.blocks.count, (luck,) if luck else ()))


def students_summed(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Behrens and Fisher's: blocks drawn, and for each system a Student's t of its own luck."""
    generator = np.random.default_rng(SEED)
    draws_B = boot._deviations_BK @ [-1.0, 1.0] + boot.rates_K[1] - boot.rates_K[0]
    for luck in boot.difference(1, 0).variance.lucks:
        draws_B += sqrt(luck.variance) * generator.standard_t(luck.freedom, len(draws_B))
    return _quantiles(draws_B)


ALTERNATIVES: dict[str, Alternative] = {
    "chosen": chosen,
    "blocks resampled, luck left out": over_blocks_only,
    "seeds and blocks resampled": two_level,
    "the same, seeds paired": two_level_paired,
    "t over paired seeds, test set left out": over_seeds_only,
    "as chosen, nothing subtracted": nothing_subtracted,
    "as chosen, seeds paired": seeds_paired,
    "blocks resampled, a t of each system": students_summed,
}


def _two_level(boot: Bootstrap, errors: list[Floats], paired: bool) -> Interval:
    generator = np.random.default_rng(SEED)
    means = []
    chosen_BS = None
    for system in errors:
        runs = _again(boot, [*system])
        rates_BS = runs.rates_K + runs._deviations_BK
        if chosen_BS is None or not paired:
            chosen_BS = generator.integers(0, len(system), rates_BS.shape)
        means.append(np.take_along_axis(rates_BS, chosen_BS, axis=1).mean(axis=1))
    return _quantiles(means[1] - means[0])


def _again(boot: Bootstrap, errors: list[Floats]) -> Bootstrap:
    """The same replicates, of other systems."""
    summed = boot.blocks.of(boot.blocks.symbols_G)
    return bootstrap(summed, errors, len(boot._deviations_BK), boot._seed)


def _rates(boot: Bootstrap, errors_SG: Floats) -> Floats:
    return np.asarray(errors_SG.sum(axis=1) / boot.blocks.symbols)


def _of(boot: Bootstrap, variance: Variance) -> Interval:
    delta = float(boot.rates_K[1] - boot.rates_K[0])
    return _student(delta, variance.error, variance.freedom)


def _student(delta: float, error: float, freedom: float) -> Interval:
    reach = float(stats.t.ppf(1 - ALPHA / 2, freedom)) * error
    return Interval(delta - reach, delta + reach)


def _quantiles(draws_B: Floats) -> Interval:
    low, high = np.quantile(draws_B, [ALPHA / 2, 1 - ALPHA / 2])
    return Interval(float(low), float(high))
