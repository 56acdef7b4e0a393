"""Errors by length: error rates in bins, and whether a difference grows with it."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asrbench.analysis.pairs import Pairs
from asrbench.stats.blocks import Blocks, Floats
from asrbench.stats.bootstrap import REPLICATES, Bootstrap, Interval, bootstrap
from asrbench.stats.exact import holm
from asrbench.stats.power import ALPHA

BINS = 5
BIN_UTTERANCES = 20
"""Fewer bins are made rather than bins of fewer on average."""

Errors = Mapping[str, npt.NDArray[np.int64]]
"""errors_SU of each system, by label, the baseline first."""


@dataclass(frozen=True)
class BinRate:
    """Of one system in one bin."""

    cer: float | None
    """Errors over reference characters, mean over runs; None without such characters."""
    interval: Interval | None
    """At 95 %; None if fewer than two utterances, or speakers, are in the bin."""

    def plain(self) -> dict[str, Any]:
        return {"cer": self.cer, "interval": _ends(self.interval)}


@dataclass(frozen=True)
class Bin:
    """Utterances whose lengths are from `low` to `high`, each of which one of them has."""

    low: float
    high: float
    utterances: int
    n: int
    """Reference characters."""
    rates: dict[str, BinRate]
    """By the label of the system."""

    def plain(self) -> dict[str, Any]:
        return {
            "low": self.low,
            "high": self.high,
            "utterances": self.utterances,
            "n": self.n,
            "systems": {label: rate.plain() for label, rate in self.rates.items()},
        }


@dataclass(frozen=True)
class Interaction:
    """How the difference of a system to the baseline changes with length.

    With errors e and e' of the two in an utterance of n characters and length x, it is the slope b
    of the line through d = (e - e') / n by least squares weighted with n:

        b = sum (x - m)(e - e') / sum n (x - m)**2,   m = sum n x / sum n.

    Weighted so, the line passes at the mean length m through the difference of the two CERs.
    Utterances without reference characters have no rate and no part in it. Below zero: the longer
    the utterance, the better the system does beside the baseline.
    """

    slope: float
    """CER per second, or per character."""
    interval: Interval
    """At 95 %: blocks and luck of training as in every difference of `stats.bootstrap`."""
    p: float
    holm_p: float
    """Over the interactions of all systems with this length."""
    short: float
    long: float
    """The line at the tenth and the ninetieth percentile of length: CER minus the baseline's."""
    words: str

    def plain(self) -> dict[str, Any]:
        return {
            "slope": self.slope,
            "interval": _ends(self.interval),
            "p": self.p,
            "holm_p": self.holm_p,
            "short": self.short,
            "long": self.long,
            "words": self.words,
        }


@dataclass(frozen=True)
class ByLength:
    """Under one measure of length."""

    unit: str
    """`second` or `character`."""
    bins: tuple[Bin, ...]
    interactions: dict[str, Interaction]
    """By label, without the baseline and what never learned; empty if that is the baseline, where
    all are equally long, and if one block is left."""

    def plain(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "bins": [each.plain() for each in self.bins],
            "interactions": {label: each.plain() for label, each in self.interactions.items()},
        }


def by_length(
    pairs: Pairs,
    lengths_U: Sequence[float] | npt.NDArray[Any],
    unit: str,
    baseline: str,
    speakers_U: Sequence[Hashable] | None = None,
    replicates: int = REPLICATES,
    bins: int = BINS,
    untrained: Collection[str] = (),
) -> ByLength:
    """CER of all systems in quantile bins of a length, and their interactions with it: of those
    that are not `untrained`, with a baseline that is not."""
    lengths = np.asarray(lengths_U, dtype=np.float64)
    if lengths.shape != pairs.symbols_U.shape:
        raise ValueError(f"{len(pairs.symbols_U)} utterances do not have {len(lengths)} lengths")
    if not np.isfinite(lengths).all():
        raise ValueError("a length is not finite")
    errors = {label: pairs.errors(label) for label in (baseline, *pairs.runs)}
    trained = {label: errors[label] for label in errors if label not in untrained}
    upper = upper_ends(lengths, min(bins, max(1, len(lengths) // BIN_UTTERANCES)))
    bin_U = np.searchsorted(upper, lengths)
    return ByLength(
        unit,
        tuple(
            _bin(pairs, np.flatnonzero(bin_U == b), lengths, errors, speakers_U, replicates)
            for b in range(len(upper))
        ),
        _interactions(pairs.symbols_U, lengths, unit, trained, speakers_U, replicates)
        if baseline in trained
        else {},
    )


def upper_ends(lengths: Floats, bins: int) -> Floats:
    """The greatest length of each bin: quantiles that occur, each once. Equal lengths are never
    parted, so bins need not be equally full and can be fewer."""
    chances = np.arange(1, bins + 1) / bins
    return np.unique(np.quantile(lengths, chances, method="inverted_cdf"))


def _bin(
    pairs: Pairs,
    chosen: npt.NDArray[np.int64],
    lengths: Floats,
    errors: Errors,
    speakers_U: Sequence[Hashable] | None,
    replicates: int,
) -> Bin:
    symbols_U = pairs.symbols_U[chosen]
    n = int(symbols_U.sum())
    inside = [errors_SU[:, chosen] for errors_SU in errors.values()]
    drawn = _drawn(symbols_U, _of(chosen, speakers_U), inside, replicates)
    rates = {}
    for k, (label, errors_SU) in enumerate(zip(errors, inside, strict=True)):
        cer = float(errors_SU.sum(axis=1).mean()) / n if n else None
        rates[label] = BinRate(cer, None if drawn is None else drawn.rate(k).interval)
    low, high = float(lengths[chosen].min()), float(lengths[chosen].max())
    return Bin(low, high, len(chosen), n, rates)


def _interactions(
    symbols_U: npt.NDArray[np.int64],
    lengths: Floats,
    unit: str,
    errors: Errors,
    speakers_U: Sequence[Hashable] | None,
    replicates: int,
) -> dict[str, Interaction]:
    chosen = np.flatnonzero(symbols_U)
    n_U = symbols_U[chosen].astype(np.float64)
    if not len(chosen) or np.ptp(lengths[chosen]) == 0:
        return {}
    mean = float(np.average(lengths[chosen], weights=n_U))
    away_U = lengths[chosen] - mean
    # A slope is a ratio of sums over utterances, as a rate is, so it is drawn like one. What the
    # run's own CER leaves unexplained stands for its errors: then a replicate, in which the
    # lengths have another mean, needs no other line.
    products, rates = [], []
    for errors_SU in errors.values():
        inside_SU = errors_SU[:, chosen]
        rates_S = inside_SU.sum(axis=1) / n_U.sum()
        products.append(away_U * (inside_SU - rates_S[:, None] * n_U))
        rates.append(float(rates_S.mean()))
    drawn = _drawn(n_U * away_U**2, _of(chosen, speakers_U), products, replicates)
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
            _words(label, baseline, unit, difference.delta, difference.interval, holm_p),
        )
    return found


def _words(
    label: str, baseline: str, unit: str, slope: float, interval: Interval, holm_p: float
) -> str:
    slope, low, high = (100 * rate for rate in (slope, interval.low, interval.high))
    figures = f"{slope:+.3f} points per {unit} ({low:+.3f} to {high:+.3f})"
    if holm_p > ALPHA:
        return f"no evidence that length matters to {label} minus {baseline}: {figures}"
    how = "better" if slope < 0 else "worse"
    return f"the longer the utterance, the {how} {label} does beside {baseline}: {figures}"


def _drawn(
    weights_U: npt.NDArray[Any],
    speakers_U: Sequence[Hashable] | None,
    systems: Sequence[npt.NDArray[Any]],
    replicates: int,
) -> Bootstrap | None:
    """None if there are not two blocks to draw from, or nothing to divide by."""
    blocks = len(weights_U) if speakers_U is None else len(set(speakers_U))
    if blocks < 2 or not weights_U.sum():
        return None
    return bootstrap(Blocks.of(weights_U, speakers_U), systems, replicates)


def _of(
    chosen: npt.NDArray[np.int64], speakers_U: Sequence[Hashable] | None
) -> list[Hashable] | None:
    return None if speakers_U is None else [speakers_U[u] for u in chosen.tolist()]


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
