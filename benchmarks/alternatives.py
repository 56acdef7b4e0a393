"""Other procedures for the interval of a difference, to compare the chosen one with.

Each takes the bootstrap and the errors_SG of two systems by block, and returns the 95 % interval of
the rate of the second minus that of the first.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np
from scipy import stats

from asrbench.stats.blocks import Blocks, Floats
from asrbench.stats.bootstrap import Bootstrap, Interval, bootstrap
from asrbench.stats.power import ALPHA
from asrbench.stats.variance import TrainingVariance, Variance, bessel, student

SEED = 2
Alternative = Callable[[Bootstrap, list[Floats]], Interval]


def chosen(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Returns the interval that `asrbench compare` prints."""
    return boot.difference(1, 0).interval


def over_blocks_only(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Treats the mean of the runs as one model, without training variance."""
    return _again(boot, [system.mean(axis=0) for system in errors]).difference(1, 0).interval


def two_level(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Draws runs with replacement, then blocks."""
    return _two_level(boot, errors, paired=False)


def two_level_paired(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Draws the same seeds for both systems, then blocks."""
    return _two_level(boot, errors, paired=True)


def over_seeds_only(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Applies Student's t to the differences seed by seed, without the variance of the test set."""
    differences_S = _rates(boot, errors[1]) - _rates(boot, errors[0])
    seeds = len(differences_S)
    error = float(differences_S.std(ddof=1)) / sqrt(seeds)
    return _student(float(differences_S.mean()), error, seeds - 1)


def nothing_subtracted(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Is as the chosen one, but counts the interaction twice."""
    variance = boot.difference(1, 0).variance
    training = tuple(
        TrainingVariance(each.seeds, each.between_runs, 0.0) for each in variance.training
    )
    return _of(boot, Variance(variance.over_blocks, variance.blocks, training))


def seeds_paired(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Is as the chosen one, but takes training variance from the differences seed by seed."""
    training = TrainingVariance.of(boot.blocks, errors[1] - errors[0])
    over_blocks = boot.difference(1, 0).variance.over_blocks
    return _of(boot, Variance(over_blocks, boot.blocks.count, (training,) if training else ()))


def students_summed(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Draws blocks, and a Student's t with each system's training variance (Behrens and Fisher)."""
    generator = np.random.default_rng(SEED)
    draws_B = boot.deviations_BK @ [-1.0, 1.0] + boot.rates_K[1] - boot.rates_K[0]
    for each in boot.difference(1, 0).variance.training:
        draws_B += sqrt(each.variance) * generator.standard_t(each.freedom, len(draws_B))
    return quantiles(draws_B)


def without_safeguards(boot: Bootstrap, errors: list[Floats]) -> Interval:
    """Is as the chosen one, without the three safeguards: of a family, of speakers, of a sign test.

    This was the rule of `asrbench compare` until study.json had version 2.
    """
    return quantiles(unguarded(boot, errors, {1: 1.0, 0: -1.0}))


def unguarded(boot: Bootstrap, errors: list[Floats], weights: dict[int, float]) -> Floats:
    """Returns the draws_B of a weighted sum of rates, without safeguards; `errors` are by block."""
    systems, weights_K = list(weights), np.array([*weights.values()])
    training = [TrainingVariance.of(boot.blocks, errors[k]) for k in systems]
    known = tuple(each for each in training if each is not None)
    known = known if len(known) == len(training) else ()
    draws_B = boot.deviations_BK[:, systems] @ weights_K * sqrt(bessel(boot.blocks.count))
    variance = Variance(float(draws_B.var()), boot.blocks.count, known)
    scales = [sqrt(each.variance) for each in known] or [0.0]
    draws_B += (boot.normal_BK[:, systems] * scales) @ weights_K
    generator = np.random.default_rng([boot.seed, 1])
    factors_B = student(generator, len(draws_B), variance.freedom)
    return np.asarray(boot.rates_K[systems] @ weights_K + draws_B * factors_B)


ALTERNATIVES: dict[str, Alternative] = {
    "chosen": chosen,
    "as chosen, no safeguards": without_safeguards,
    "blocks resampled, no training variance": over_blocks_only,
    "seeds and blocks resampled": two_level,
    "the same, seeds paired": two_level_paired,
    "t over paired seeds, no test-set variance": over_seeds_only,
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
        rates_BS = runs.rates_K + runs.deviations_BK
        if chosen_BS is None or not paired:
            chosen_BS = generator.integers(0, len(system), rates_BS.shape)
        means.append(np.take_along_axis(rates_BS, chosen_BS, axis=1).mean(axis=1))
    return quantiles(means[1] - means[0])


def _again(boot: Bootstrap, errors: list[Floats]) -> Bootstrap:
    """Draws the same replicates for other systems."""
    summed = Blocks.of(boot.blocks.symbols_G)
    return bootstrap(summed, errors, len(boot.deviations_BK), boot.seed)


def _rates(boot: Bootstrap, errors_SG: Floats) -> Floats:
    return np.asarray(errors_SG.sum(axis=1) / boot.blocks.symbols)


def _of(boot: Bootstrap, variance: Variance) -> Interval:
    delta = float(boot.rates_K[1] - boot.rates_K[0])
    return _student(delta, variance.error, variance.freedom)


def _student(delta: float, error: float, freedom: float) -> Interval:
    half = float(stats.t.ppf(1 - ALPHA / 2, freedom)) * error
    return Interval(delta - half, delta + half)


def quantiles(draws_B: Floats) -> Interval:
    low, high = np.quantile(draws_B, [ALPHA / 2, 1 - ALPHA / 2])
    return Interval(float(low), float(high))
