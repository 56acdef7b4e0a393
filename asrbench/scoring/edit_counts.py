"""Numbers of edits between references and hypotheses, counted by RapidFuzz.

RapidFuzz is the engine of jiwer, by which `asrbench.scoring.score` counts. Called directly it takes
a tenth of the time, which matters where hundreds of runs are counted; the figures are the same.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from asrbench.scoring.counted_text import CountedReferences, CountedTexts, Texts
from asrbench.scoring.spacing import spaced_like


@dataclass(frozen=True)
class ErrorCounts:
    """Numbers of edits of a minimum edit alignment over `n` reference symbols."""

    substitutions: int
    deletions: int
    insertions: int
    n: int

    @property
    def hits(self) -> int:
        """Number of reference symbols that are right in the hypotheses."""
        return self.n - self.substitutions - self.deletions

    @property
    def errors(self) -> int:
        """Number of edits of all kinds."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference symbol, which is above 1 where insertions are many.

        Without any reference symbol it is 0 if there is no error, and otherwise infinite.
        """
        return _rate(self.errors, self.n)

    def plain(self) -> dict[str, Any]:
        """Returns the fields as JSON data."""
        return asdict(self)


def _rate(errors: int, n: int) -> float:
    if n == 0:
        return float("inf") if errors else 0.0
    return errors / n


@dataclass(frozen=True, eq=False)
class Edits:
    """Minimum edits between pairs of texts, or of lists of words.

    Numbers of edits are computed when they are first asked for, those by kind separately, because
    that takes much longer. Of several minimum edit alignments RapidFuzz chooses, and so for jiwer.
    Raises `ValueError` for lists of different length.
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
        """Number of reference symbols of each utterance."""
        return np.array([*map(len, self.references)], dtype=np.int64)

    @cached_property
    def errors_U(self) -> npt.NDArray[np.int64]:
        """Number of edits of each utterance."""
        return np.array([*map(Levenshtein.distance, self.references, self.hypotheses)], np.int64)

    @property
    def rate(self) -> float:
        """Errors per reference symbol over all utterances, as `ErrorCounts.rate`."""
        return _rate(int(self.errors_U.sum()), int(self.n_U.sum()))

    @cached_property
    def total(self) -> ErrorCounts:
        """Numbers of edits by kind, summed over all utterances."""
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
class RunEdits:
    """Edits of the hypotheses of one run, for each of the four error rates."""

    references: CountedTexts
    hypotheses: CountedTexts

    @property
    def characters(self) -> Edits:
        """Edits of characters; `rate` is the CER."""
        return Edits(self.references.characters, self.hypotheses.characters)

    @property
    def jamo(self) -> Edits:
        """Edits of characters with each Hangul syllable as its jamo; `rate` is the JER."""
        return Edits(self.references.jamo, self._uncached.jamo)

    @property
    def words(self) -> Edits:
        """Edits of words; `rate` is the WER."""
        return Edits(self.references.words, self._uncached.words)

    @property
    def spaced_words(self) -> Edits:
        """Edits of words with the spacing of the reference (`spaced_like`); `rate` is the sWER."""
        return Edits(self.references.words, spaced_like(self.references, self._uncached))

    @property
    def _uncached(self) -> CountedTexts:
        """A copy of the hypotheses whose cached conversions are freed after use.

        Hypotheses are compared once. To keep what is made of them would take a gigabyte for a
        hundred runs; what is made of the references serves every run.
        """
        return replace(self.hypotheses)


def character_errors(
    references: Texts, hypotheses: Texts, profile: str, other_side: Texts | None = None
) -> ErrorCounts:
    """Returns the character edits over all utterances under `profile`; `rate` is the CER.

    `other_side` is the column of `Profile.other_side_among`, if the corpus has it.
    """
    expected = CountedReferences.of(references, profile, other_side)
    return RunEdits(expected, expected.hypotheses(hypotheses)).characters.total
