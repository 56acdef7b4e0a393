"""The ruler: error rates from strings, in one place, by a named profile."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from asrbench.errors import UserError
from asrbench.profiles import PROFILES
from asrbench.text import UNITS, normalise, without_punctuation

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
        if self.n == 0:
            return float("inf") if self.errors else 0.0
        return self.errors / self.n

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Edits:
    """Edits of each utterance, as `ErrorCounts` has them of all."""

    substitutions_U: npt.NDArray[np.int64]
    deletions_U: npt.NDArray[np.int64]
    insertions_U: npt.NDArray[np.int64]
    n_U: npt.NDArray[np.int64]

    @property
    def errors_U(self) -> npt.NDArray[np.int64]:
        return self.substitutions_U + self.deletions_U + self.insertions_U

    @property
    def total(self) -> ErrorCounts:
        each = (self.substitutions_U, self.deletions_U, self.insertions_U, self.n_U)
        return ErrorCounts(*(int(counts_U.sum()) for counts_U in each))


@dataclass(frozen=True)
class Forms:
    """Texts as a profile counts them, made once for however many they are held against."""

    worded: Texts
    """With the spaces that separate words."""
    characters: Texts
    jamo: Texts
    words: Sequence[Sequence[str]]

    @classmethod
    def of(cls, texts: Texts, profile: str) -> "Forms":
        with_spaces = [worded(text, profile) for text in texts]
        characters = [_spelled(text, profile) for text in with_spaces]
        jamo = [text.translate(_JAMO) for text in characters]
        return cls(with_spaces, characters, jamo, [text.split() for text in with_spaces])


@dataclass(frozen=True)
class Measures:
    """Edits of one run, utterance by utterance, of each kind that `Scores` has."""

    characters: Edits
    jamo: Edits
    words: Edits
    spaced_words: Edits

    @classmethod
    def of(cls, references: Forms, hypotheses: Forms) -> "Measures":
        spaced = spaced_like(references.worded, hypotheses.worded)
        return cls(
            edits(references.characters, hypotheses.characters),
            edits(references.jamo, hypotheses.jamo),
            edits(references.words, hypotheses.words),
            edits(references.words, [text.split() for text in spaced]),
        )

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
    return Measures.of(expected, Forms.of(hypotheses, profile)).scores(profile)


def refuse_empty(references: Forms, profile: str, where: object) -> None:
    """Raises `UserError` if there is no character in any of them."""
    if not any(references.characters):
        raise UserError(
            f"{where}: found no character in the references under {PROFILES[profile]}; there is "
            f"no CER of them"
        )


def character_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """Corpus-level character edits under `profile`; `.rate` is the CER."""
    expected, found = Forms.of(references, profile), Forms.of(hypotheses, profile)
    return edits(expected.characters, found.characters).total


def jamo_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """As `character_errors`, each Hangul syllable as the two or three jamo it is composed of."""
    expected, found = Forms.of(references, profile), Forms.of(hypotheses, profile)
    return edits(expected.jamo, found.jamo).total


def word_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """Corpus-level word edits; words are what white space separates, under any profile. `.rate` is
    the WER."""
    expected, found = Forms.of(references, profile), Forms.of(hypotheses, profile)
    return edits(expected.words, found.words).total


def spaced_word_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """As `word_errors`, each hypothesis `spaced_like` its reference: an error of spacing alone is
    none. `.rate` is the sWER, as ESPnet's recipe for KsponSpeech defines it."""
    expected, found = Forms.of(references, profile), Forms.of(hypotheses, profile)
    spaced = spaced_like(expected.worded, found.worded)
    return edits(expected.words, [text.split() for text in spaced]).total


def edits(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> Edits:
    """The fewest edits of each pair of texts, or lists of words. Of several ways to have them it is
    RapidFuzz's, and so jiwer's. Raises `ValueError` for lists of different length."""
    if len(references) != len(hypotheses):
        raise ValueError(
            f"{len(references)} references, {len(hypotheses)} hypotheses: lengths must match"
        )
    none = (0, 0, 0)
    counts_U3 = [
        none if reference == hypothesis else _edits(reference, hypothesis)
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]
    counts_3U = np.array(counts_U3, dtype=np.int64).reshape(-1, 3).T
    n_U = np.array([*map(len, references)], dtype=np.int64)
    return Edits(counts_3U[0], counts_3U[1], counts_3U[2], n_U)


def _edits(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int, int]:
    """Substitutions, deletions and insertions."""
    tags = [tag for tag, _, _ in Levenshtein.editops(reference, hypothesis).as_list()]
    substitutions, deletions = tags.count("replace"), tags.count("delete")
    return substitutions, deletions, len(tags) - substitutions - deletions


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


def spaced_like(references: Texts, hypotheses: Texts) -> Iterator[str]:
    """Each hypothesis with its words begun where the reference begins them.

    Both sides are aligned by their characters, spaces left out, with as few edits as possible. A
    character that is aligned with its like begins a word if that does; one that is substituted or
    inserted begins a word if it did. So a word whose first character is missing is joined to the
    one before it, as in ESPnet's recipe. Of several shortest alignments it is RapidFuzz's,
    and so jiwer's.
    """
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        if reference == hypothesis:
            yield hypothesis
            continue
        letters = hypothesis.replace(" ", "")
        wanted, begins = _beginnings(reference), _beginnings(hypothesis)
        alignment: list[Any] = Levenshtein.opcodes(reference.replace(" ", ""), letters).as_list()
        marks = "".join(
            [
                wanted[start:end] if tag == "equal" else begins[place:stop]
                for tag, start, end, place, stop in alignment
            ]
        )
        words, end = [], 0
        for mark in _WORD.findall(marks):
            words.append(letters[end : end + len(mark)])
            end += len(mark)
        yield normalise(" ".join(words))


_WORD = re.compile(".0*")


def _beginnings(text: str) -> str:
    """For each character that is no space 1 if a word begins with it, otherwise 0."""
    return "".join("1" + "0" * (len(word) - 1) for word in text.split())


# Diagnosis


def why_untrained(cer: float, references: Texts, hypotheses: Texts) -> str | None:
    """The diagnosis of a model that never learned, or None."""
    texts = [normalise(text) for text in hypotheses]
    empty = texts.count("") / len(texts)
    if empty > UNTRAINED_EMPTY:
        return f"{100 * empty:.0f} % of the hypotheses are empty"
    if len(set(texts)) == 1 and len(set(references)) > 1:
        text = texts[0] if len(texts[0]) <= 20 else texts[0][:20] + "..."
        return f"every hypothesis is {text!r}"
    return f"CER is {100 * UNTRAINED_CER:.0f} % or more" if cer >= UNTRAINED_CER else None
