"""Reads the texts and the loudness of every split, for the statistics of `asrbench corpus`.

Texts are read in NFC, as the tokenizer of a model reads them, with their spaces. Audio is read one
utterance at a time.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from asrbench.base.errors import pick
from asrbench.base.reporting import Reporter
from asrbench.data.corpus import Corpus, Split
from asrbench.data.loudness import LOUDNESS_DTYPE, measure_loudness
from asrbench.text.normal_form import nfc
from asrbench.text.profiles import Side

TRAIN = "train"
REPORT_EVERY = 500
"""Utterances between two reports of progress."""

Integers = npt.NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True)
class SplitReading:
    """The texts, the lengths and the loudness of one split."""

    name: str
    samples: Integers
    """Length of each utterance, in samples at 16 kHz."""
    characters: Integers
    """Characters of each utterance."""
    words: Integers
    """Words of each utterance."""
    texts: Counter[str]
    """Number of utterances with each text."""
    symbols: Counter[str]
    """Number of occurrences of each character."""
    speakers: Counter[str]
    """Number of utterances of each known speaker."""
    languages: Counter[str]
    """Number of utterances in each known language."""
    channels: Counter[str]
    """Number of utterances on each known channel."""
    measured: tuple[str, ...]
    """Ids of the utterances whose audio was read."""
    loudness: npt.NDArray[np.void]
    """Loudness of each measured utterance, of type `LOUDNESS_DTYPE`."""


def read_splits(
    corpus: Corpus, side: Side, recordings: int | None, reporter: Reporter
) -> list[SplitReading]:
    """Reads every split, train first, and measures at most `recordings` of each, evenly spaced.

    `None` measures all recordings. Raises `UserError` if a split has no such side.
    """
    splits = {name: corpus.split(name) for name in corpus.split_names}
    for name, split in splits.items():
        pick(f"{corpus.folder}: --side of {name}", side, split.sides)
    names = sorted(splits, key=lambda name: (name != TRAIN, name))
    return [_read(name, splits[name].on(side), recordings, reporter) for name in names]


def _read(name: str, split: Split, recordings: int | None, reporter: Reporter) -> SplitReading:
    texts, symbols = Counter[str](), Counter[str]()
    characters, words = (np.zeros(len(split), dtype=np.int64) for _ in range(2))
    for i, text in enumerate(_with_progress(split.texts, f"{name}: texts", reporter)):
        text = nfc(text)
        texts[text] += 1
        symbols.update(text)
        characters[i], words[i] = len(text), len(text.split())
    chosen = evenly_spaced(len(split), len(split) if recordings is None else recordings)
    loudness = np.zeros(len(chosen), dtype=LOUDNESS_DTYPE)
    for place, i in enumerate(_with_progress(chosen, f"{name}: audio", reporter)):
        loudness[place] = measure_loudness(split.audio(i))
    return SplitReading(
        name,
        split.samples,
        characters,
        words,
        texts,
        symbols,
        speakers=_known(split.column("speaker")),
        languages=_known(split.column("language")),
        channels=_known(split.column("channel")),
        measured=tuple(split.ids[i] for i in chosen),
        loudness=loudness,
    )


def evenly_spaced(count: int, chosen: int) -> list[int]:
    """Returns `chosen` of `count` indices, or all of them, at even distances.

    A corpus is ordered by speaker, so every speaker gets a share.
    """
    chosen = min(count, chosen)
    return [i * count // chosen for i in range(chosen)]


def _with_progress(items: Sequence[T], task: str, reporter: Reporter) -> Iterator[T]:
    """Yields `items` and reports the progress now and then."""
    for done, item in enumerate(items):
        if done % REPORT_EVERY == 0:
            reporter.progress(task, done, len(items))
        yield item


def _known(column: Sequence[str | None]) -> Counter[str]:
    """Counts the values that are not `None`."""
    return Counter(each for each in column if each is not None)
