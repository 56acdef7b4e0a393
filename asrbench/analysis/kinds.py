"""Errors by kind: which edits, of which characters, where in a word; degenerate hypotheses."""

from dataclasses import dataclass

import numpy as np

from asrbench.analysis.confusions import NOTHING, Confusion, most
from asrbench.analysis.degenerate import DegenerateCounts, DegeneratePairs, Flags
from asrbench.analysis.edit_alignment import DELETION, INSERTION, SUBSTITUTION
from asrbench.analysis.hangul import are_syllables
from asrbench.analysis.jamo import JamoErrors, jamo_errors
from asrbench.analysis.pairs import Pairs
from asrbench.analysis.words import EdgeErrors, WordPlaces
from asrbench.stats.blocks import Ints

TOP = 20
"""Number of confusions that are listed."""
SPACE = ord(" ")


@dataclass(frozen=True)
class SpaceErrors:
    """Errors at spaces, over the `n` spaces in the references of all runs."""

    substituted: int
    """Another character for a space, or a space for another character."""
    deleted: int
    inserted: int
    n: int

    @property
    def errors(self) -> int:
        return self.substituted + self.deleted + self.inserted


@dataclass(frozen=True)
class Confusions:
    """The most frequent confusions of characters, by kind of edit."""

    substituted: tuple[Confusion, ...]
    deleted: tuple[Confusion, ...]
    inserted: tuple[Confusion, ...]


@dataclass(frozen=True)
class ErrorKinds:
    """The errors of one system by kind, summed over its runs."""

    runs: int
    substitutions: int
    deletions: int
    insertions: int
    n: int
    """Reference characters of all runs."""
    confusions: Confusions
    jamo: JamoErrors | None
    """Errors by jamo; None if no reference has a Hangul syllable."""
    edges: EdgeErrors | None
    """Errors by place in the word; None if the ends of words are not known."""
    spaces: SpaceErrors | None
    """Errors of spacing; None if no text has a space, because spaces do not count."""
    hypotheses: DegenerateCounts


def error_kinds(
    pairs: Pairs,
    degenerate: DegeneratePairs,
    places: WordPlaces | None,
    label: str,
    top: int = TOP,
) -> ErrorKinds:
    """Counts the errors of the system `label` by kind."""
    weight_E = pairs.weights(label)[pairs.edits.pair_E]
    here = np.flatnonzero(weight_E)
    weight, kind = weight_E[here], pairs.edits.kind_E[here]
    expected = np.full(len(here), NOTHING, dtype=np.int64)
    found = expected.copy()
    in_reference, in_hypothesis = kind != INSERTION, kind != DELETION
    expected[in_reference] = pairs.references_C[pairs.reference_place_E[here[in_reference]]]
    found[in_hypothesis] = pairs.hypotheses_C[pairs.hypothesis_place_E[here[in_hypothesis]]]

    def confusions(which: int) -> tuple[Confusion, ...]:
        of = kind == which
        return most(expected[of], found[of], weight[of], top)

    def total(which: int) -> int:
        return int(weight[kind == which].sum())

    runs = len(pairs.runs[label])
    substituted = kind == SUBSTITUTION
    swapped = expected[substituted], found[substituted], weight[substituted]
    return ErrorKinds(
        runs=runs,
        substitutions=total(SUBSTITUTION),
        deletions=total(DELETION),
        insertions=total(INSERTION),
        n=runs * int(pairs.symbols_U.sum()),
        confusions=Confusions(
            substituted=confusions(SUBSTITUTION),
            deleted=confusions(DELETION),
            inserted=confusions(INSERTION),
        ),
        jamo=jamo_errors(*swapped, top) if are_syllables(pairs.references_C).any() else None,
        edges=None if places is None else places.edges(pairs.runs[label]),
        spaces=_spaces(pairs, kind, (expected == SPACE) | (found == SPACE), weight, runs),
        hypotheses=degenerate.counted(pairs.runs[label]),
    )


def _spaces(pairs: Pairs, kind: Ints, space: Flags, weight: Ints, runs: int) -> SpaceErrors | None:
    n = runs * sum(text.count(" ") for text in pairs.references)
    if not n and not (pairs.hypotheses_C == SPACE).any():
        return None
    errors = np.bincount(kind[space], weight[space], 3).astype(np.int64)
    return SpaceErrors(int(errors[SUBSTITUTION]), int(errors[DELETION]), int(errors[INSERTION]), n)
