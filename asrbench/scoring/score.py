"""The ruler: error rates from strings, in one place, by a named profile."""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from asrbench.base.errors import UserError
from asrbench.text.normal_form import normalise, without_punctuation
from asrbench.text.profiles import PROFILES
from asrbench.text.tokenizer import UNITS

UNTRAINED_CER = 0.9
UNTRAINED_EMPTY = 0.9
"""A run at or above this CER, or with more than this share of empty hypotheses, never learned."""

Texts = Sequence[str]


@dataclass(frozen=True)
class ErrorCounts:
    """Edits of a minimum edit distance alignment over `n` reference symbols."""

    substitutions: int
    deletions: int
    insertions: int
    n: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors over reference symbols; above 1 when insertions abound.

        With no reference symbol at all: 0 without errors, infinite with any.
        """
        return _rate(self.errors, self.n)

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def _rate(errors: int, n: int) -> float:
    if n == 0:
        return float("inf") if errors else 0.0
    return errors / n


@dataclass(frozen=True, eq=False)
class Edits:
    """The fewest edits of each pair of texts, or of lists of words.

    How many is known much sooner than of which kind, and both only when asked for. Of several ways
    to have them it is RapidFuzz's, and so jiwer's. Raises `ValueError` for lists of different
    length.
    """

    references: Sequence[Sequence[str]]
    hypotheses: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        if len(self.references) != len(self.hypotheses):
            raise ValueError(
                f"{len(self.references)} references, {len(self.hypotheses)} hypotheses: lengths "
                f"must match"
            )

    @cached_property
    def n_U(self) -> npt.NDArray[np.int64]:
        return np.array([*map(len, self.references)], dtype=np.int64)

    @cached_property
    def errors_U(self) -> npt.NDArray[np.int64]:
        return np.array([*map(Levenshtein.distance, self.references, self.hypotheses)], np.int64)

    @property
    def rate(self) -> float:
        """As that of `ErrorCounts`, of all utterances together."""
        return _rate(int(self.errors_U.sum()), int(self.n_U.sum()))

    @cached_property
    def total(self) -> ErrorCounts:
        pairs = zip(self.references, self.hypotheses, strict=True)
        tags = [
            tag
            for reference, hypothesis in pairs
            if reference != hypothesis
            for tag, _, _ in Levenshtein.editops(reference, hypothesis).as_list()
        ]
        substitutions, deletions = tags.count("replace"), tags.count("delete")
        insertions = len(tags) - substitutions - deletions
        return ErrorCounts(substitutions, deletions, insertions, int(self.n_U.sum()))


@dataclass(frozen=True, eq=False)
class Forms:
    """Texts as a profile counts them, made once for however many they are held against."""

    worded: Texts
    """With the spaces that separate words."""
    characters: Texts

    @classmethod
    def of(cls, texts: Texts, profile: str) -> "Forms":
        with_spaces = [worded(text, profile) for text in texts]
        return cls(with_spaces, [_spelled(text, profile) for text in with_spaces])

    @cached_property
    def jamo(self) -> Texts:
        return [text.translate(_JAMO) for text in self.characters]

    @cached_property
    def words(self) -> Sequence[Sequence[str]]:
        return [text.split() for text in self.worded]

    @cached_property
    def letters(self) -> Texts:
        """What the words are made of, run together."""
        return [text.replace(" ", "") for text in self.worded]

    @cached_property
    def beginnings(self) -> list[bytes]:
        """For each of the `letters` 1 if a word begins with it, otherwise 0."""
        return [b"".join([_BEGINNING[len(word)] for word in words]) for words in self.words]


@dataclass(frozen=True, eq=False)
class Measures:
    """Edits of one run, utterance by utterance, of each kind that `Scores` has."""

    references: Forms
    hypotheses: Forms

    @property
    def characters(self) -> Edits:
        return Edits(self.references.characters, self.hypotheses.characters)

    @property
    def jamo(self) -> Edits:
        return Edits(self.references.jamo, self._passing.jamo)

    @property
    def words(self) -> Edits:
        return Edits(self.references.words, self._passing.words)

    @property
    def spaced_words(self) -> Edits:
        return Edits(self.references.words, spaced_like(self.references, self._passing))

    @property
    def _passing(self) -> Forms:
        """References are held against every run, hypotheses once: what is made of them here is not
        kept, of a hundred runs it would be a gigabyte."""
        return replace(self.hypotheses)

    def scores(self, profile: str) -> "Scores":
        """Of all utterances together."""
        each = (self.characters, self.jamo, self.words, self.spaced_words)
        return Scores(str(PROFILES[profile]), *(edits.total for edits in each))


@dataclass(frozen=True)
class Scores:
    """Of a whole split under one profile; each `.rate` is one of the error rates."""

    profile: str
    """Name and version."""
    characters: ErrorCounts
    """CER."""
    jamo: ErrorCounts
    """CER with each Hangul syllable as its jamo."""
    words: ErrorCounts
    """WER."""
    spaced_words: ErrorCounts
    """sWER: with the spacing of the reference; see `spaced_like`."""

    def plain(self) -> dict[str, Any]:
        """What `scores.json` holds of them."""
        return {
            "profile": self.profile,
            "cer": self.characters.rate,
            "characters": self.characters.plain(),
            "jer": self.jamo.rate,
            "jamo": self.jamo.plain(),
            "wer": self.words.rate,
            "words": self.words.plain(),
            "swer": self.spaced_words.rate,
            "spaced_words": self.spaced_words.plain(),
        }


def score(references: Texts, hypotheses: Texts, profile: str, where: object) -> Scores:
    """All error rates under `profile`. Raises `UserError` if nothing it counts is in the
    references; `where` is what that line begins with."""
    expected = Forms.of(references, profile)
    refuse_empty(expected, profile, where)
    return Measures(expected, Forms.of(hypotheses, profile)).scores(profile)


def refuse_empty(references: Forms, profile: str, where: object) -> None:
    """Raises `UserError` if there is no character in any of them."""
    if not any(references.characters):
        raise UserError(
            f"{where}: found no character in the references under {PROFILES[profile]}; there is "
            f"no CER of them"
        )


def character_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """Corpus-level character edits under `profile`; `.rate` is the CER."""
    return _measures(references, hypotheses, profile).characters.total


def jamo_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """As `character_errors`, each Hangul syllable as the two or three jamo it is composed of."""
    return _measures(references, hypotheses, profile).jamo.total


def word_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """Corpus-level word edits; words are what white space separates, under any profile. `.rate` is
    the WER."""
    return _measures(references, hypotheses, profile).words.total


def spaced_word_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """As `word_errors`, each hypothesis `spaced_like` its reference: an error of spacing alone is
    none. `.rate` is the sWER, as ESPnet's recipe for KsponSpeech defines it."""
    return _measures(references, hypotheses, profile).spaced_words.total


def _measures(references: Texts, hypotheses: Texts, profile: str) -> Measures:
    return Measures(Forms.of(references, profile), Forms.of(hypotheses, profile))


class _Jamo(dict[int, str]):
    """What `str.translate` puts for each character: the jamo of a Hangul syllable."""

    def __missing__(self, code: int) -> str:
        self[code] = "".join(UNITS["jamo"].split(chr(code)))
        return self[code]


_JAMO = _Jamo()


# Under a profile


def counted(text: str, profile: str) -> str:
    """What `profile` counts of `text`, in normal form. Twice is the same as once."""
    return _spelled(worded(text, profile), profile)


def _spelled(text: str, profile: str) -> str:
    """`text`, which is `worded`, without spaces if they do not count."""
    # Without the space between them, a letter and an accent may compose.
    return text if PROFILES[profile].spaces else normalise(text.replace(" ", ""))


def worded(text: str, profile: str) -> str:
    """As `counted`, but with the spaces that separate words, whether they count or not."""
    rules = PROFILES[profile]
    text = normalise(text.lower() if rules.lower else text)
    return text if rules.marks is None else without_punctuation(text, rules.marks)


def counts_symbol(symbol: str, profile: str) -> bool:
    """Whether anything is left of `symbol` within a text: false for what `profile` leaves out."""
    return counted(f"x{symbol}x", profile) != "xx"


def spaced_like(references: Forms, hypotheses: Forms) -> list[list[str]]:
    """The words of each hypothesis, begun where the reference begins them.

    Both sides are aligned by their letters with as few edits as possible. One that is aligned with
    its like begins a word if that does; one that is substituted or inserted begins a word if it
    did. So a word whose first letter is missing is joined to the one before it, as in ESPnet's
    recipe. Of several shortest alignments it is RapidFuzz's, and so jiwer's.
    """
    sides = zip(
        *(references.letters, references.beginnings, hypotheses.letters, hypotheses.beginnings),
        strict=True,
    )
    return [_spaced_like(*side) for side in sides]


def _spaced_like(expected: str, wanted: bytes, letters: str, begins: bytes) -> list[str]:
    marks = wanted
    if letters != expected:
        alignment: list[Any] = Levenshtein.opcodes(expected, letters).as_list()
        marks = b"".join(
            [
                wanted[start:end] if tag == "equal" else begins[place:stop]
                for tag, start, end, place, stop in alignment
            ]
        )
    starts = [0, *compress(range(len(marks)), marks)]
    words = map(letters.__getitem__, map(slice, starts, [*starts[1:], None]))
    # Without the space between them, a letter and an accent may compose.
    return unicodedata.normalize("NFC", " ".join(words)).split()


class _Beginning(dict[int, bytes]):
    """Of a word of so many letters, as in `Forms.beginnings`."""

    def __missing__(self, length: int) -> bytes:
        self[length] = b"\1" + bytes(length - 1)
        return self[length]


_BEGINNING = _Beginning()


# Diagnosis


def why_untrained(cer: float, references: Texts, hypotheses: Texts) -> str | None:
    """The diagnosis of a model that never learned, or None."""
    empty = sum(not text.strip() for text in hypotheses) / len(hypotheses)
    if empty > UNTRAINED_EMPTY:
        return f"{100 * empty:.0f} % of the hypotheses are empty"
    first = normalise(hypotheses[0])
    if all(normalise(text) == first for text in hypotheses) and len(set(references)) > 1:
        text = first if len(first) <= 20 else first[:20] + "..."
        return f"every hypothesis is {text!r}"
    return f"CER is {100 * UNTRAINED_CER:.0f} % or more" if cer >= UNTRAINED_CER else None
