"""The statistics of a prepared corpus, as frozen records.

`asrbench corpus --json` prints a `CorpusStatistics` field by field.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Durations:
    """Durations of the utterances of a split, in seconds."""

    mean: float
    median: float
    min: float
    max: float
    counts: tuple[int, ...]
    """Number of utterances in each bin of `CorpusStatistics.bins_from_seconds`."""


@dataclass(frozen=True)
class Percentiles:
    """The 5th, 50th and 95th percentile, interpolated linearly."""

    p5: float
    p50: float
    p95: float


@dataclass(frozen=True)
class TextStatistics:
    """Texts of a split. Characters are counted in NFC, with spaces."""

    characters: int
    words: int
    characters_per_utterance: float
    words_per_utterance: float
    characters_per_second: float
    rates: Percentiles | None
    """Characters per second of single utterances."""
    distinct: int
    """Number of different texts."""
    empty: int
    """Number of utterances without text."""


@dataclass(frozen=True)
class Listed:
    """The number of ids or names, and the first few of them."""

    count: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class LoudnessStatistics:
    """Loudness in dBFS of the measured utterances that are not silent.

    `asrbench.data.loudness` says what is clipped, silent and off centre.
    """

    measured: int
    rms_db: Percentiles | None
    peak_db: Percentiles | None
    max_peak_db: float | None
    clipped: Listed
    silent: Listed
    off_centre: Listed
    max_offset: float
    """Largest absolute mean of a recording, as a share of full scale."""


@dataclass(frozen=True)
class SplitStatistics:
    """Statistics of one split."""

    utterances: int
    hours: float
    speakers: int | None
    """`None` if no speaker is known."""
    utterances_of_no_known_speaker: int
    languages: dict[str, int]
    channels: dict[str, int]
    seconds: Durations
    text: TextStatistics
    audio: LoudnessStatistics | None
    """`None` if no recording was measured."""


@dataclass(frozen=True)
class UnknownSymbols:
    """Symbols of a split that do not occur in train."""

    symbols: int
    """Number of different symbols."""
    occurrences: int
    share: float
    """Share of the occurrences in the text of the split."""
    utterances: int
    """Number of utterances with such a symbol."""
    most_frequent: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class UnitStatistics:
    """Symbols of train for one tokenizer unit, and the symbols of other splits that it lacks."""

    units: tuple[str, ...]
    """Names of the units; several if they cut this text alike."""
    symbols: int
    once: int
    """Number of symbols that occur only once."""
    unknown: dict[str, UnknownSymbols]
    """The symbols that train lacks, for each other split."""


@dataclass(frozen=True)
class Overlap:
    """Texts and speakers that two splits share."""

    splits: tuple[str, str]
    texts: int
    """Number of shared texts."""
    utterances: tuple[int, int]
    """Number of utterances of each split with a shared text."""
    shares: tuple[float, float]
    """Share of those utterances in each split."""
    most_frequent: tuple[tuple[str, int], ...]
    """Shared texts, with the number of utterances of the first split."""
    speakers: Listed | None
    """`None` if the speakers of one split are unknown."""


@dataclass(frozen=True)
class CorpusStatistics:
    """Statistics of a prepared corpus."""

    folder: str
    name: str
    fingerprint: str
    text_profile: str
    side: str
    """The column of the texts."""
    bins_from_seconds: tuple[float, ...]
    """Start of each bin of durations. The last bin has no end."""
    splits: dict[str, SplitStatistics]
    units: tuple[UnitStatistics, ...]
    """Empty if there is no split `train`."""
    overlaps: tuple[Overlap, ...]
    rejected: dict[str, int]
    remarks: dict[str, int]
