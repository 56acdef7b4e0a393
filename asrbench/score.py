"""The ruler: CER and WER from strings, in one place, by a named profile."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jiwer

from asrbench.text import normalise

PROFILES: dict[str, Callable[[str], str]] = {
    "verbatim": normalise,
    "nospace": lambda text: normalise(text).replace(" ", ""),
}
"""What is done to both sides before their characters are counted.

`verbatim`: NFC, one space between words, spaces and punctuation counted.
`nospace`: the same without spaces.
"""


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

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.n + other.n,
        )

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def character_errors(
    references: Sequence[str], hypotheses: Sequence[str], profile: str
) -> ErrorCounts:
    """Corpus-level character edits under `profile`; `.rate` is the CER."""
    normal = PROFILES[profile]
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
