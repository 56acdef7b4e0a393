"""The ruler: CER and WER from strings, in one place, by a named profile."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jiwer

from asrbench.text import normalise

UNTRAINED_CER = 0.9
UNTRAINED_EMPTY = 0.9
"""A run at or above this CER, or with more than this share of empty hypotheses, never learned."""


@dataclass(frozen=True)
class Profile:
    """What is done to both sides before their characters are counted, and how to say so."""

    normal: Callable[[str], str]
    words: str


PROFILES = {
    "verbatim": Profile(normalise, "NFC, spaces and punctuation counted"),
    "nospace": Profile(
        lambda text: normalise(text).replace(" ", ""),
        "NFC, spaces left out, punctuation counted",
    ),
}


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


def character_errors(
    references: Sequence[str], hypotheses: Sequence[str], profile: str
) -> ErrorCounts:
    """Corpus-level character edits under `profile`; `.rate` is the CER."""
    normal = PROFILES[profile].normal
    return _counts(
        jiwer.process_characters,
        [normal(text) for text in references],
        [normal(text) for text in hypotheses],
    )


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCounts:
    """Corpus-level word edits; words are what white space separates. `.rate` is the WER."""
    return _counts(
        jiwer.process_words,
        [normalise(text) for text in references],
        [normalise(text) for text in hypotheses],
    )


def why_untrained(cer: float, references: Sequence[str], hypotheses: Sequence[str]) -> str | None:
    """The diagnosis of a model that never learned, or None."""
    texts = [normalise(text) for text in hypotheses]
    empty = texts.count("") / len(texts)
    if empty > UNTRAINED_EMPTY:
        return f"{100 * empty:.0f} % of the hypotheses are empty"
    if len(set(texts)) == 1 and len(set(references)) > 1:
        text = texts[0] if len(texts[0]) <= 20 else texts[0][:20] + "..."
        return f"every hypothesis is {text!r}"
    return f"CER is {100 * UNTRAINED_CER:.0f} % or more" if cer >= UNTRAINED_CER else None


def _counts(
    process: Callable[..., Any], references: Iterable[str], hypotheses: Iterable[str]
) -> ErrorCounts:
    out = process(list(references), list(hypotheses))
    return ErrorCounts(
        out.substitutions,
        out.deletions,
        out.insertions,
        out.hits + out.substitutions + out.deletions,
    )
