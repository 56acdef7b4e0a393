"""The picture of a corpus: histograms of durations and loudness, and curves of its symbols."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asrbench.data.loudness import decibels, is_silent
from asrbench.data.split_reading import SplitReading
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.report.plots import corpus as plots
from asrbench.report.plots.corpus import Curves, Histograms
from asrbench.stages.corpus.records import CorpusStatistics
from asrbench.stages.corpus.symbols import symbol_counts, train_of, units_of


def draw(path: Path, statistics: CorpusStatistics, readings: Sequence[SplitReading]) -> None:
    """Draws durations and loudness by split, and how much the most frequent symbols cover."""
    panels: list[Histograms | Curves] = [_durations(statistics, readings)]
    panels += [*_loudness(readings), *_symbols(readings)]
    title = f"{statistics.name} ({statistics.fingerprint}), column '{statistics.side}'"
    plots.draw(path, panels, title=title)


def _durations(statistics: CorpusStatistics, readings: Sequence[SplitReading]) -> Histograms:
    """Returns the histogram of durations, with bins half as wide as those that are printed."""
    bins = statistics.bins_from_seconds
    longest = max(split.seconds.max for split in statistics.splits.values())
    width = bins[1] if len(bins) > 1 else longest
    longer = "; the last bin has all that is longer" if longest > bins[-1] + width else ""
    return Histograms(
        f"duration (s){longer}",
        edges=[place * width / 2 for place in range(2 * len(bins) + 1)],
        figures={reading.name: reading.samples / SAMPLE_RATE_HZ for reading in readings},
    )


def _loudness(readings: Sequence[SplitReading]) -> list[Histograms]:
    """Returns the histogram of RMS loudness in steps of 2 dB, or nothing if all is silent."""
    loudness = {r.name: decibels(r.loudness["rms"][~is_silent(r.loudness)]) for r in readings}
    if not any(len(figures) for figures in loudness.values()):
        return []
    lowest = min(float(figures.min()) for figures in loudness.values() if len(figures))
    edges = np.arange(2 * (lowest // 2), 1, 2).tolist()
    return [Histograms("RMS loudness (dBFS)", edges, loudness)]


def _symbols(readings: Sequence[SplitReading]) -> list[Curves]:
    """Returns the curves of symbols by frequency in train, or nothing without train."""
    train = train_of(readings)
    if train is None:
        return []
    units = units_of(train.symbols)
    counts = {names: symbol_counts(train, cut) for names, cut in units.items()}
    occurrences = {
        f"{', '.join(names)}: {len(found):,} symbols": np.sort(list(found.values()))[::-1]
        for names, found in counts.items()
    }
    names, cut = next(iter(units.items()))
    kept = [symbol for symbol, _ in counts[names].most_common()]
    left = {}
    for reading in readings:
        found = symbol_counts(reading, cut)
        spelled = np.cumsum([found[symbol] for symbol in kept])
        left[reading.name] = 100 * (found.total() - spelled) / max(found.total(), 1)
    return [
        Curves("rank of the symbol in train", "occurrences in train", occurrences),
        Curves(
            "most frequent symbols of train that are kept",
            f"text not spelled (%), by {names[0]}",
            left,
            percent=True,
        ),
    ]
