"""How other tools and papers compare speech recognisers, beside `asrbench compare`.

Each takes a simulated study and returns a p-value for every system but the first, which is the
baseline.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from simulated import Array, Trial

from asrbench.stats.blocks import Blocks, Floats
from asrbench.stats.bootstrap import bootstrap

REPLICATES = 1000
Procedure = Callable[[Trial], list[float]]


def first_runs(trial: Trial) -> list[float]:
    """Compares one run of each system by a paired bootstrap over utterances.

    This is Kaldi's `compute-wer-bootci` and kaldialign's `bootstrap_wer_ci` (Bisani & Ney 2004).
    They are for two files of hypotheses, and know no seeds, no speakers and no family.
    """
    return _paired_bootstrap(trial, [errors[0] for errors in trial.errors])


def best_runs(trial: Trial) -> list[float]:
    """Does so with the best run of each system, as a table of best results does."""
    return _paired_bootstrap(
        trial, [errors[errors.sum(axis=1).argmin()] for errors in trial.errors]
    )


def welch(trial: Trial) -> list[float]:
    """Applies Welch's t-test to the rates of the seeds, without the test set."""
    rates = [errors.sum(axis=1) / trial.symbols_U.sum() for errors in trial.errors]
    return [float(stats.ttest_ind(rates[0], each, equal_var=False).pvalue) for each in rates[1:]]


OTHER_TOOLS: dict[str, Procedure] = {
    "one seed, paired bootstrap over utterances (Kaldi, kaldialign)": first_runs,
    "best seed of each, paired bootstrap over utterances": best_runs,
    "all seeds, Welch's t-test over seeds (scipy)": welch,
}


def two_sided(draws_B: Floats) -> float:
    """Returns the p-value of the draws of a difference."""
    least = min(np.count_nonzero(draws_B <= 0), np.count_nonzero(draws_B >= 0))
    return min(1.0, 2 * (int(least) + 1) / (len(draws_B) + 1))


def _paired_bootstrap(trial: Trial, errors: Sequence[Array]) -> list[float]:
    drawn = bootstrap(Blocks.of(trial.symbols_U), errors, REPLICATES)
    rates_BK = drawn.rates_K + drawn.deviations_BK
    return [two_sided(rates_BK[:, k] - rates_BK[:, 0]) for k in range(1, len(errors))]
