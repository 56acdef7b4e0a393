"""Statistics of a prepared corpus: its size, texts, symbols, overlaps of splits, and loudness."""

from collections.abc import Iterable, Sequence
from itertools import combinations, compress

import numpy as np
import numpy.typing as npt

from asrbench.data.corpus import Corpus
from asrbench.data.loudness import decibels, is_off_centre, is_silent
from asrbench.data.split_reading import Integers, SplitReading
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.stages.corpus.records import (
    CorpusStatistics,
    Durations,
    Listed,
    LoudnessStatistics,
    Overlap,
    Percentiles,
    SplitStatistics,
    TextStatistics,
)
from asrbench.stages.corpus.symbols import FEW, most_frequent, unit_statistics
from asrbench.text.profiles import Side

MAX_BINS = 12
"""Largest number of bins of durations."""


def corpus_statistics(
    corpus: Corpus, side: Side, readings: Sequence[SplitReading]
) -> CorpusStatistics:
    """Returns all statistics of the splits that were read."""
    bins = duration_bins([reading.samples for reading in readings])
    return CorpusStatistics(
        folder=str(corpus.folder),
        name=corpus.name,
        fingerprint=corpus.fingerprint,
        text_profile=corpus.text_profile,
        side=side,
        bins_from_seconds=tuple((bins / SAMPLE_RATE_HZ).tolist()),
        splits={reading.name: _split(reading, bins) for reading in readings},
        units=unit_statistics(readings),
        overlaps=tuple(_overlap(held_out, other) for other, held_out in combinations(readings, 2)),
        rejected=corpus.rejected,
        remarks=corpus.remarks,
    )


def duration_bins(samples: Sequence[Integers]) -> Integers:
    """Returns the start of each bin of durations, in samples: at most `MAX_BINS` of equal width.

    The width is a round number of seconds. The last bin also holds the longest utterances, at most
    a hundredth of all.
    """
    lengths = np.concatenate(samples)
    usual = float(np.percentile(lengths, 99))
    milliseconds = (figure * 10**power for power in range(9) for figure in (1, 2, 5))
    width = next(
        width
        for each in milliseconds
        if usual < (MAX_BINS - 1) * (width := each * SAMPLE_RATE_HZ // 1000)
    )
    bins = min(int(lengths.max()) // width + 1, MAX_BINS)
    return np.arange(0, bins * width, width, dtype=np.int64)


def bin_counts(samples: Integers, bins: Integers) -> tuple[int, ...]:
    """Returns the number of utterances in each bin."""
    places = np.searchsorted(bins, samples, side="right") - 1
    return tuple(np.bincount(places, minlength=len(bins)).tolist())


def _split(reading: SplitReading, bins: Integers) -> SplitStatistics:
    seconds = reading.samples / SAMPLE_RATE_HZ
    utterances = len(seconds)
    return SplitStatistics(
        utterances=utterances,
        hours=float(seconds.sum()) / 3600,
        speakers=len(reading.speakers) or None,
        utterances_of_no_known_speaker=utterances - reading.speakers.total(),
        languages=dict(reading.languages.most_common()),
        channels=dict(reading.channels.most_common()),
        seconds=Durations(
            mean=float(seconds.mean()),
            median=float(np.median(seconds)),
            min=float(seconds.min()),
            max=float(seconds.max()),
            counts=bin_counts(reading.samples, bins),
        ),
        text=_text(reading, seconds),
        audio=_loudness(reading) if reading.measured else None,
    )


def _text(reading: SplitReading, seconds: npt.NDArray[np.float64]) -> TextStatistics:
    characters, words = int(reading.characters.sum()), int(reading.words.sum())
    lasting = seconds > 0
    return TextStatistics(
        characters=characters,
        words=words,
        characters_per_utterance=characters / len(seconds),
        words_per_utterance=words / len(seconds),
        characters_per_second=characters / float(seconds.sum()),
        rates=_percentiles(reading.characters[lasting] / seconds[lasting]),
        distinct=len(reading.texts),
        empty=sum(n for text, n in reading.texts.items() if not text.strip()),
    )


def _loudness(reading: SplitReading) -> LoudnessStatistics:
    loudness, silent = reading.loudness, is_silent(reading.loudness)
    audible = loudness[~silent]
    peaks = decibels(audible["peak"])
    return LoudnessStatistics(
        measured=len(loudness),
        rms_db=_percentiles(decibels(audible["rms"])),
        peak_db=_percentiles(peaks),
        max_peak_db=float(peaks.max()) if len(peaks) else None,
        clipped=_listed(compress(reading.measured, loudness["clipped"])),
        silent=_listed(compress(reading.measured, silent)),
        off_centre=_listed(compress(reading.measured, is_off_centre(loudness))),
        max_offset=float(np.abs(loudness["offset"]).max()),
    )


def _percentiles(values: npt.NDArray[np.float64]) -> Percentiles | None:
    """Returns the percentiles of `values`, or `None` if there are none."""
    return Percentiles(*np.percentile(values, (5, 50, 95)).tolist()) if len(values) else None


def _listed(names: Iterable[str]) -> Listed:
    found = tuple(names)
    return Listed(len(found), found[:FEW])


def _overlap(one: SplitReading, other: SplitReading) -> Overlap:
    shared = {text: n for text, n in one.texts.items() if text in other.texts}
    utterances = sum(shared.values()), sum(other.texts[text] for text in shared)
    speakers = sorted(one.speakers.keys() & other.speakers.keys())
    return Overlap(
        splits=(one.name, other.name),
        texts=len(shared),
        utterances=utterances,
        shares=(utterances[0] / len(one.samples), utterances[1] / len(other.samples)),
        most_frequent=most_frequent(shared),
        speakers=_listed(speakers) if one.speakers and other.speakers else None,
    )
