"""What is in a prepared corpus: how much and how long, which symbols, what its splits share, how
loud it is.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, compress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asrbench.base.files import read_json
from asrbench.data.corpus import Corpus
from asrbench.data.loudness import decibels, is_off_centre, is_silent
from asrbench.data.reading import TRAIN, Integers, Reading
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.report.plots import corpus as plots_corpus
from asrbench.report.plots.corpus import Curves, Histograms
from asrbench.text.normal_form import is_hangul
from asrbench.text.profiles import Side
from asrbench.text.tokenizer import UNITS

FEW = 5
"""So many examples stand for all, the most frequent or the first."""
BINS = 12
"""Of durations, at most."""

# What it comes to. These are the objects of `asrbench corpus --json`, field by field.


@dataclass(frozen=True)
class Durations:
    """Seconds; `counts` are utterances in the bins of `Contents.bins_from_seconds`."""

    mean: float
    median: float
    min: float
    max: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Percentiles:
    p5: float
    p50: float
    p95: float


@dataclass(frozen=True)
class Texts:
    """Rates of a whole split; `rates` are of single utterances, in characters a second."""

    characters: int
    words: int
    characters_per_utterance: float
    words_per_utterance: float
    characters_per_second: float
    rates: Percentiles | None
    distinct: int
    """Texts that differ."""
    empty: int


@dataclass(frozen=True)
class Listed:
    """How many there are, and a few of them by id or name."""

    count: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class Loudness:
    """Levels in dBFS, of the utterances heard that are not silent: see `asrbench.data.loudness`."""

    heard: int
    rms_db: Percentiles | None
    peak_db: Percentiles | None
    max_peak_db: float | None
    clipped: Listed
    silent: Listed
    off_centre: Listed
    max_offset: float
    """The mean furthest from 0, without its sign, as a share of full scale."""


@dataclass(frozen=True)
class SplitContents:
    """`speakers` is nothing where none is known, `audio` where none was heard."""

    utterances: int
    hours: float
    speakers: int | None
    utterances_of_no_known_speaker: int
    languages: dict[str, int]
    channels: dict[str, int]
    seconds: Durations
    text: Texts
    audio: Loudness | None


@dataclass(frozen=True)
class Unknown:
    """What of a split the symbols of train cannot spell: how many symbols, how often they occur,
    which share of its text that is, in how many utterances; and the most frequent."""

    symbols: int
    occurrences: int
    share: float
    utterances: int
    most_frequent: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class UnitContents:
    """The symbols of train, for units that cut text alike; by split, what they do not cover."""

    units: tuple[str, ...]
    symbols: int
    once: int
    """Symbols that occur a single time."""
    unknown: dict[str, Unknown]


@dataclass(frozen=True)
class Overlap:
    """What two splits share. Utterances, and their shares, are those of either with a text that
    the other has too; `speakers` is nothing where those of one are not known."""

    splits: tuple[str, str]
    texts: int
    utterances: tuple[int, int]
    shares: tuple[float, float]
    most_frequent: tuple[tuple[str, int], ...]
    """Texts, and how often the first split has them."""
    speakers: Listed | None


@dataclass(frozen=True)
class Contents:
    folder: str
    name: str
    fingerprint: str
    text_profile: str
    side: str
    bins_from_seconds: tuple[float, ...]
    """Where each bin of durations begins; the last one has all that is longer."""
    splits: dict[str, SplitContents]
    units: tuple[UnitContents, ...]
    overlaps: tuple[Overlap, ...]
    rejected: dict[str, int]
    remarks: dict[str, int]


# Figures


def contents(corpus: Corpus, side: Side, readings: Sequence[Reading]) -> Contents:
    """Every figure of what was read."""
    about = read_json(corpus.folder / "corpus.json")
    bins = _bins([reading.samples for reading in readings])
    return Contents(
        folder=str(corpus.folder),
        name=corpus.name,
        fingerprint=corpus.fingerprint,
        text_profile=corpus.text_profile,
        side=side,
        bins_from_seconds=tuple((bins / SAMPLE_RATE_HZ).tolist()),
        splits={reading.name: _split(reading, bins) for reading in readings},
        units=_units(readings),
        overlaps=tuple(_overlap(held_out, other) for other, held_out in combinations(readings, 2)),
        # Folders that were prepared long ago say nothing of remarks.
        rejected=about.get("rejected", {}),
        remarks=about.get("remarks", {}),
    )


def _bins(samples: Sequence[Integers]) -> Integers:
    """Where bins begin, in samples: round seconds, at most `BINS`. The longest hundredth may all
    be in the last."""
    together = np.concatenate(samples)
    usual = float(np.percentile(together, 99))
    milliseconds = (figure * 10**power for power in range(9) for figure in (1, 2, 5))
    width = next(
        width
        for each in milliseconds
        if usual < (BINS - 1) * (width := each * SAMPLE_RATE_HZ // 1000)
    )
    bins = min(int(together.max()) // width + 1, BINS)
    return np.arange(0, bins * width, width, dtype=np.int64)


def _counts(samples: Integers, bins: Integers) -> tuple[int, ...]:
    places = np.searchsorted(bins, samples, side="right") - 1
    return tuple(np.bincount(places, minlength=len(bins)).tolist())


def _split(reading: Reading, bins: Integers) -> SplitContents:
    seconds = reading.samples / SAMPLE_RATE_HZ
    utterances = len(seconds)
    return SplitContents(
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
            counts=_counts(reading.samples, bins),
        ),
        text=_texts(reading, seconds),
        audio=_loudness(reading) if reading.heard else None,
    )


def _texts(reading: Reading, seconds: npt.NDArray[np.float64]) -> Texts:
    characters, words = int(reading.characters.sum()), int(reading.words.sum())
    lasting = seconds > 0
    return Texts(
        characters=characters,
        words=words,
        characters_per_utterance=characters / len(seconds),
        words_per_utterance=words / len(seconds),
        characters_per_second=characters / float(seconds.sum()),
        rates=_percentiles(reading.characters[lasting] / seconds[lasting]),
        distinct=len(reading.texts),
        empty=sum(n for text, n in reading.texts.items() if not text.strip()),
    )


def _loudness(reading: Reading) -> Loudness:
    levels, silent = reading.levels, is_silent(reading.levels)
    audible = levels[~silent]
    peaks = decibels(audible["peak"])
    return Loudness(
        heard=len(levels),
        rms_db=_percentiles(decibels(audible["rms"])),
        peak_db=_percentiles(peaks),
        max_peak_db=float(peaks.max()) if len(peaks) else None,
        clipped=_listed(compress(reading.heard, levels["clipped"])),
        silent=_listed(compress(reading.heard, silent)),
        off_centre=_listed(compress(reading.heard, is_off_centre(levels))),
        max_offset=float(np.abs(levels["offset"]).max()),
    )


def _percentiles(values: npt.NDArray[np.float64]) -> Percentiles | None:
    """Between two values by the distance to them; nothing of nothing."""
    return Percentiles(*np.percentile(values, (5, 50, 95)).tolist()) if len(values) else None


def _listed(names: Iterable[str]) -> Listed:
    found = tuple(names)
    return Listed(len(found), found[:FEW])


# Symbols


def _units(readings: Sequence[Reading]) -> tuple[UnitContents, ...]:
    """Nothing where there is no train to take a tokenizer from."""
    train = _train(readings)
    if train is None:
        return ()
    others = [reading for reading in readings if reading is not train]
    found = []
    for names, split in _spellings(train.symbols).items():
        tokenizer = _symbols(train, split)
        found.append(
            UnitContents(
                names,
                symbols=len(tokenizer),
                once=sum(n == 1 for n in tokenizer.values()),
                unknown={other.name: _unknown(other, split, tokenizer) for other in others},
            )
        )
    return tuple(found)


def _train(readings: Sequence[Reading]) -> Reading | None:
    return next((reading for reading in readings if reading.name == TRAIN), None)


def _spellings(characters: Mapping[str, int]) -> dict[tuple[str, ...], Callable[[str], list[str]]]:
    """Units that can spell these characters, under one key those that cut text alike; no
    subwords, which have to be learned first."""
    hangul = any(map(is_hangul, characters))
    names = defaultdict(list)
    for name, unit in UNITS.items():
        if name != "subword" and (hangul or not unit.needs_hangul):
            names[unit.split].append(name)
    return {tuple(alike): split for split, alike in names.items()}


def _symbols(reading: Reading, split: Callable[[str], list[str]]) -> Counter[str]:
    """How often each symbol occurs. In NFC a text falls into what its characters fall into."""
    counts = Counter[str]()
    for character, n in reading.symbols.items():
        for symbol in split(character):
            counts[symbol] += n
    return counts


def _unknown(
    reading: Reading, split: Callable[[str], list[str]], tokenizer: Mapping[str, int]
) -> Unknown:
    symbols = _symbols(reading, split)
    unknown = Counter({each: n for each, n in symbols.items() if each not in tokenizer})
    unspelled = {c for c in reading.symbols if not tokenizer.keys() >= set(split(c))}
    return Unknown(
        symbols=len(unknown),
        occurrences=unknown.total(),
        share=unknown.total() / max(symbols.total(), 1),
        utterances=sum(n for text, n in reading.texts.items() if not unspelled.isdisjoint(text)),
        most_frequent=_most_frequent(unknown),
    )


def _most_frequent(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:FEW])


# Between splits


def _overlap(one: Reading, other: Reading) -> Overlap:
    shared = {text: n for text, n in one.texts.items() if text in other.texts}
    utterances = sum(shared.values()), sum(other.texts[text] for text in shared)
    speakers = sorted(one.speakers.keys() & other.speakers.keys())
    return Overlap(
        splits=(one.name, other.name),
        texts=len(shared),
        utterances=utterances,
        shares=(utterances[0] / len(one.samples), utterances[1] / len(other.samples)),
        most_frequent=_most_frequent(shared),
        speakers=_listed(speakers) if one.speakers and other.speakers else None,
    )


# The picture


def draw(path: Path, found: Contents, readings: Sequence[Reading]) -> None:
    """Durations and levels by split, and how far the most frequent symbols of train go."""
    panels: list[Histograms | Curves] = [_durations(found, readings)]
    panels += [*_levels(readings), *_ranks(readings)]
    title = f"{found.name} ({found.fingerprint}), column '{found.side}'"
    plots_corpus.draw(path, panels, title=title)


def _durations(found: Contents, readings: Sequence[Reading]) -> Histograms:
    """In halves of the bins that are printed, and as far as these have an end."""
    bins, longest = found.bins_from_seconds, max(s.seconds.max for s in found.splits.values())
    width = bins[1] if len(bins) > 1 else longest
    longer = "; what is longer is in the last bin" if longest > bins[-1] + width else ""
    return Histograms(
        f"duration (s){longer}",
        edges=[place * width / 2 for place in range(2 * len(bins) + 1)],
        figures={reading.name: reading.samples / SAMPLE_RATE_HZ for reading in readings},
    )


def _levels(readings: Sequence[Reading]) -> list[Histograms]:
    """Of what was heard and is not silent, in steps of 2 dB."""
    levels = {r.name: decibels(r.levels["rms"][~is_silent(r.levels)]) for r in readings}
    if not any(len(figures) for figures in levels.values()):
        return []
    lowest = min(float(figures.min()) for figures in levels.values() if len(figures))
    edges = np.arange(2 * (lowest // 2), 1, 2).tolist()
    return [Histograms("RMS level (dBFS)", edges, levels)]


def _ranks(readings: Sequence[Reading]) -> list[Curves]:
    train = _train(readings)
    if train is None:
        return []
    units = _spellings(train.symbols)
    counts = {names: _symbols(train, split) for names, split in units.items()}
    occurrences = {
        f"{', '.join(names)}: {len(found):,} symbols": np.sort(list(found.values()))[::-1]
        for names, found in counts.items()
    }
    names, split = next(iter(units.items()))
    kept = [symbol for symbol, _ in counts[names].most_common()]
    left = {}
    for reading in readings:
        found = _symbols(reading, split)
        spelled = np.cumsum([found[symbol] for symbol in kept])
        left[reading.name] = 100 * (found.total() - spelled) / max(found.total(), 1)
    unspelled = f"text not spelled (%), by {names[0]}"
    return [
        Curves("rank of the symbol in train", "occurrences in train", occurrences),
        Curves("symbols kept, the most frequent of train", unspelled, left, percent=True),
    ]
