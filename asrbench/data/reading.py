"""What `asrbench corpus` reads of a prepared corpus, split by split, for its figures.

Texts are taken in NFC, as the tokenizer of a model is, with their spaces. Of the audio only one
utterance at a time is held.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from asrbench.base.errors import pick
from asrbench.base.reporting import Reporter
from asrbench.data.corpus import Corpus, Split
from asrbench.data.loudness import LEVELS, level
from asrbench.text.profiles import Side

TRAIN = "train"
TOLD = 500
"""Utterances between two reports of progress."""

Integers = npt.NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """One split, read."""

    name: str
    samples: Integers
    """Of each utterance, at 16 kHz; the next two likewise."""
    characters: Integers
    words: Integers
    texts: Counter[str]
    """How many utterances say each."""
    symbols: Counter[str]
    """How often each character occurs."""
    speakers: Counter[str]
    """Utterances of each that is known; the next two likewise."""
    languages: Counter[str]
    channels: Counter[str]
    heard: tuple[str, ...]
    """Ids of the utterances whose audio was read."""
    levels: npt.NDArray[np.void]
    """Theirs, of `LEVELS`."""


def read(corpus: Corpus, side: Side, hear: int | None, reporter: Reporter) -> list[Reading]:
    """Every split of `corpus`, train first, with the levels of at most `hear` utterances of each,
    evenly spaced; of all if it is nothing. Raises `UserError` where a split has no such side."""
    splits = {name: corpus.split(name) for name in corpus.split_names}
    for name, split in splits.items():
        pick(f"{corpus.folder}: --side of {name}", side, split.sides)
    names = sorted(splits, key=lambda name: (name != TRAIN, name))
    return [_reading(name, splits[name].on(side), hear, reporter) for name in names]


def _reading(name: str, split: Split, hear: int | None, reporter: Reporter) -> Reading:
    texts, symbols = Counter[str](), Counter[str]()
    characters, words = (np.zeros(len(split), dtype=np.int64) for _ in range(2))
    for i, text in enumerate(_told(split.texts, f"{name}: texts", reporter)):
        text = unicodedata.normalize("NFC", text)
        texts[text] += 1
        symbols.update(text)
        characters[i], words[i] = len(text), len(text.split())
    chosen = _evenly(len(split), len(split) if hear is None else hear)
    levels = np.zeros(len(chosen), dtype=LEVELS)
    for place, i in enumerate(_told(chosen, f"{name}: audio", reporter)):
        levels[place] = level(split.audio(i))
    return Reading(
        name,
        split.samples,
        characters,
        words,
        texts,
        symbols,
        speakers=_known(split.column("speaker")),
        languages=_known(split.column("language")),
        channels=_known(split.column("channel")),
        heard=tuple(split.ids[i] for i in chosen),
        levels=levels,
    )


def _told(items: Sequence[T], task: str, reporter: Reporter) -> Iterator[T]:
    """`items`, telling now and then how far it is."""
    for done, item in enumerate(items):
        if done % TOLD == 0:
            reporter.progress(task, done, len(items))
        yield item


def _evenly(count: int, chosen: int) -> list[int]:
    """`chosen` of `count` indices, or all: corpora go speaker by speaker, and so each has its
    share."""
    chosen = min(count, chosen)
    return [i * count // chosen for i in range(chosen)]


def _known(column: Sequence[str | None]) -> Counter[str]:
    return Counter(each for each in column if each is not None)
