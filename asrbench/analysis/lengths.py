"""Errors by length: error rates in bins, and whether a difference changes with length."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from asrbench.analysis.pairs import Pairs
from asrbench.analysis.subsets import (
    Errors,
    Speakers,
    SubsetDifference,
    SubsetRate,
    drawn_within,
    subset_differences,
    subset_rates,
)
from asrbench.base.formatting import points
from asrbench.stats.blocks import Floats
from asrbench.stats.bootstrap import REPLICATES, Difference, Interval
from asrbench.stats.exact import holm
from asrbench.stats.power import ALPHA
from asrbench.stats.verdicts import undecidable

BINS = 5
BIN_UTTERANCES = 20
"""Least average number of utterances per bin; fewer bins are made where there are fewer."""


@dataclass(frozen=True)
class LengthBin:
    """The utterances whose lengths are from `low` to `high`, both of which occur."""

    low: float
    high: float
    utterances: int
    n: int
    """Reference characters."""
    systems: dict[str, SubsetRate]
    """The rate of each system, by label."""
    differences: dict[str, SubsetDifference] = field(default_factory=dict)
    """The difference to the baseline of each system that has an interaction, by label."""


@dataclass(frozen=True)
class Interaction:
    """The change with length of a system's difference to the baseline.

    With errors e and e' of the two in an utterance of n characters and length x, it is the slope b
    of the line through d = (e - e') / n by least squares with the weights n:

        b = sum (x - m)(e - e') / sum n (x - m)**2,   m = sum n x / sum n.

    With these weights the line passes through the difference of the two CERs at the mean length m.
    Utterances without reference characters have no rate and are left out. Below zero, the system
    does better beside the baseline the longer the utterance is.
    """

    slope: float
    """CER per second, or per character."""
    interval: Interval
    """95 % interval over blocks and training seeds, as every difference of `stats.bootstrap`."""
    p: float
    holm_p: float
    """Holm's correction over the interactions of all systems with this measure of length."""
    short: float
    long: float
    """The line at the 10th and the 90th percentile of length: CER minus the baseline's."""
    words: str
    """The result in words."""


@dataclass(frozen=True)
class ByLength:
    """Error rates and interactions by one measure of length."""

    unit: str
    """`second` or `character`."""
    bins: tuple[LengthBin, ...]
    interactions: dict[str, Interaction]
    """The interaction with length of each system that does not stand apart, by label.

    Empty if the baseline is not trained, if all utterances are equally long, and if fewer than two
    blocks are left.
    """


def by_length(
    pairs: Pairs,
    lengths_U: Sequence[float] | npt.NDArray[Any],
    unit: str,
    baseline: str,
    speakers_U: Speakers = None,
    replicates: int = REPLICATES,
    bins: int = BINS,
    apart: Collection[str] = (),
) -> ByLength:
    """Returns the CER of all systems in quantile bins of a length, and the interactions with it.

    Systems that stand `apart`, because they are not trained or not comparable, have rates but no
    difference and no interaction. Raises `ValueError` if there are not as many lengths as
    utterances, or if one is not finite.
    """
    lengths = np.asarray(lengths_U, dtype=np.float64)
    if lengths.shape != pairs.symbols_U.shape:
        raise ValueError(f"{len(pairs.symbols_U)} utterances do not have {len(lengths)} lengths")
    if not np.isfinite(lengths).all():
        raise ValueError("a length is not finite")
    errors = {label: pairs.errors(label) for label in (baseline, *pairs.runs)}
    compared = {label: errors[label] for label in errors if label not in apart}
    upper = upper_ends(lengths, min(bins, max(1, len(lengths) // BIN_UTTERANCES)))
    bin_U = np.searchsorted(upper, lengths)
    return ByLength(
        unit,
        tuple(
            _bin(pairs, np.flatnonzero(bin_U == b), lengths, errors, speakers_U, replicates, apart)
            for b in range(len(upper))
        ),
        _interactions(pairs.symbols_U, lengths, unit, compared, speakers_U, replicates)
        if baseline in compared
        else {},
    )


def upper_ends(lengths: Floats, bins: int) -> Floats:
    """Returns the greatest length of each bin: quantiles that occur, each once.

    Equal lengths are always in the same bin, so bins can differ in size and can be fewer.
    """
    chances = np.arange(1, bins + 1) / bins
    return np.unique(np.quantile(lengths, chances, method="inverted_cdf"))


def _bin(
    pairs: Pairs,
    chosen: npt.NDArray[np.int64],
    lengths: Floats,
    errors: Errors,
    speakers_U: Speakers,
    replicates: int,
    apart: Collection[str],
) -> LengthBin:
    symbols_U = pairs.symbols_U[chosen]
    within = {label: errors_SU[:, chosen] for label, errors_SU in errors.items()}
    drawn = drawn_within(chosen, symbols_U, speakers_U, [*within.values()], replicates)
    rates = subset_rates(symbols_U, within, drawn)
    low, high = float(lengths[chosen].min()), float(lengths[chosen].max())
    differences = subset_differences(within, drawn, apart)
    return LengthBin(low, high, len(chosen), int(symbols_U.sum()), rates, differences)


def _interactions(
    symbols_U: npt.NDArray[np.int64],
    lengths: Floats,
    unit: str,
    errors: Errors,
    speakers_U: Speakers,
    replicates: int,
) -> dict[str, Interaction]:
    chosen = np.flatnonzero(symbols_U)
    n_U = symbols_U[chosen].astype(np.float64)
    if not len(chosen) or np.ptp(lengths[chosen]) == 0:
        return {}
    mean = float(np.average(lengths[chosen], weights=n_U))
    away_U = lengths[chosen] - mean
    # A slope is a ratio of sums over utterances, as a rate is, so it is drawn like one. Errors are
    # replaced by their residuals from the run's own CER; a replicate, whose mean length differs,
    # then needs no line of its own.
    products, rates = [], []
    for errors_SU in errors.values():
        within_SU = errors_SU[:, chosen]
        rates_S = within_SU.sum(axis=1) / n_U.sum()
        products.append(away_U * (within_SU - rates_S[:, None] * n_U))
        rates.append(float(rates_S.mean()))
    drawn = drawn_within(chosen, n_U * away_U**2, speakers_U, products, replicates)
    if drawn is None:
        return {}
    baseline, *labels = errors
    differences = [drawn.difference(k, 0) for k in range(1, len(errors))]
    adjusted = holm([difference.p for difference in differences])
    ends = np.quantile(lengths[chosen], [0.1, 0.9])
    found = {}
    for k, (label, difference) in enumerate(zip(labels, differences, strict=True), start=1):
        line = rates[k] - rates[0] + difference.delta * (ends - mean)
        holm_p = float(adjusted[k - 1])
        found[label] = Interaction(
            difference.delta,
            difference.interval,
            difference.p,
            holm_p,
            float(line[0]),
            float(line[1]),
            _words(label, baseline, unit, difference, holm_p)
            + _limits([len(errors[label]), len(errors[baseline])], speakers_U),
        )
    return found


def _words(label: str, baseline: str, unit: str, difference: Difference, holm_p: float) -> str:
    low, high = (points(end, digits=3) for end in difference.interval)
    figures = f"{points(difference.delta, digits=3)} points per {unit} ({low} to {high})"
    if holm_p > ALPHA:
        return f"no evidence that {label} minus {baseline} changes with length: {figures}"
    how = "better" if difference.delta < 0 else "worse"
    return f"{label} does {how} beside {baseline} the longer the utterance is: {figures}"


def _limits(seeds: Sequence[int], speakers_U: Speakers) -> str:
    """Returns why an interaction is no finding; empty if it is one."""
    verdict = undecidable(seeds, None if speakers_U is None else len(set(speakers_U)))
    if verdict is not None:
        return f" ({verdict})"
    return " (these models only)" if min(seeds) == 1 else ""
