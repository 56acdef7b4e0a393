"""The ruler: error rates from strings, in one place, by a named profile."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jiwer

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
    characters = character_errors(references, hypotheses, profile)
    if not characters.n:
        raise UserError(
            f"{where}: found no character in the references under {PROFILES[profile]}; there is "
            f"no CER of them"
        )
    return Scores(
        str(PROFILES[profile]),
        characters,
        jamo_errors(references, hypotheses, profile),
        word_errors(references, hypotheses, profile),
        spaced_word_errors(references, hypotheses, profile),
    )


def character_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """Corpus-level character edits under `profile`; `.rate` is the CER."""
    return _counts(
        jiwer.process_characters,
        [counted(text, profile) for text in references],
        [counted(text, profile) for text in hypotheses],
    )


def jamo_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """As `character_errors`, each Hangul syllable as the two or three jamo it is composed of."""
    return _counts(
        jiwer.process_characters,
        ["".join(UNITS["jamo"].split(counted(text, profile))) for text in references],
        ["".join(UNITS["jamo"].split(counted(text, profile))) for text in hypotheses],
    )


def word_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """Corpus-level word edits; words are what white space separates, under any profile. `.rate` is
    the WER."""
    return _counts(
        jiwer.process_words,
        [worded(text, profile) for text in references],
        [worded(text, profile) for text in hypotheses],
    )


def spaced_word_errors(references: Texts, hypotheses: Texts, profile: str) -> ErrorCounts:
    """As `word_errors`, each hypothesis `spaced_like` its reference: an error of spacing alone is
    none. `.rate` is the sWER, as ESPnet's recipe for KsponSpeech defines it."""
    expected = [worded(text, profile) for text in references]
    found = [worded(text, profile) for text in hypotheses]
    return _counts(jiwer.process_words, expected, list(spaced_like(expected, found)))


# Under a profile


def counted(text: str, profile: str) -> str:
    """What `profile` counts of `text`, in normal form. Twice is the same as once."""
    text = worded(text, profile)
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
    one before it, as in ESPnet's recipe. Of several shortest alignments it is jiwer's.
    """
    alignments = jiwer.process_characters(
        [text.replace(" ", "") for text in references],
        [text.replace(" ", "") for text in hypotheses],
    ).alignments
    for reference, hypothesis, chunks in zip(references, hypotheses, alignments, strict=True):
        wanted, begins = _beginnings(reference), _beginnings(hypothesis)
        for chunk in chunks:
            if chunk.type == "equal":
                begins[chunk.hyp_start_idx : chunk.hyp_end_idx] = wanted[
                    chunk.ref_start_idx : chunk.ref_end_idx
                ]
        letters = hypothesis.replace(" ", "")
        yield normalise(
            "".join(f" {c}" if begin else c for c, begin in zip(letters, begins, strict=True))
        )


def _beginnings(text: str) -> list[bool]:
    """Of each character that is no space: whether a word begins with it."""
    return [i == 0 for word in text.split() for i in range(len(word))]


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


def _counts(process: Callable[..., Any], references: Texts, hypotheses: Texts) -> ErrorCounts:
    out = process(references, hypotheses)
    return ErrorCounts(
        out.substitutions,
        out.deletions,
        out.insertions,
        out.hits + out.substitutions + out.deletions,
    )
