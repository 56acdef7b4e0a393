"""Errors by kind: which edits, of which characters, where in a word, and odd hypotheses."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from asrbench.analysis.alignment import DELETION, INSERTION, SUBSTITUTION
from asrbench.analysis.confusions import NOTHING, Confusion, most
from asrbench.analysis.degenerate import DegenerateCounts, DegeneratePairs
from asrbench.analysis.hangul import are_syllables
from asrbench.analysis.jamo import Jamo, jamo
from asrbench.analysis.pairs import Pairs
from asrbench.analysis.words import Edges, Places
from asrbench.scoring.score import ErrorCounts
from asrbench.stats.blocks import Ints

TOP = 20
"""Confusions that are named."""
SPACE = ord(" ")


@dataclass(frozen=True)
class Spaces:
    """Errors of spacing, over `n` spaces in the references of all runs."""

    substituted: int
    """Another character for a space, or a space for it."""
    deleted: int
    inserted: int
    n: int

    @property
    def errors(self) -> int:
        return self.substituted + self.deleted + self.inserted

    def plain(self) -> dict[str, Any]:
        return {
            "errors": self.errors,
            "substituted": self.substituted,
            "deleted": self.deleted,
            "inserted": self.inserted,
            "n": self.n,
        }


@dataclass(frozen=True)
class Kinds:
    """Of one system, summed over its runs."""

    runs: int
    counts: ErrorCounts
    substituted: tuple[Confusion, ...]
    deleted: tuple[Confusion, ...]
    inserted: tuple[Confusion, ...]
    jamo: Jamo | None
    """None where no reference has a Hangul syllable."""
    edges: Edges | None
    """None where nothing tells where words end."""
    spaces: Spaces | None
    """None where spaces do not count: none is in any text."""
    degenerate: DegenerateCounts

    def plain(self) -> dict[str, Any]:
        confusions = {
            "substituted": self.substituted,
            "deleted": self.deleted,
            "inserted": self.inserted,
        }
        parts = {"jamo": self.jamo, "edges": self.edges, "spaces": self.spaces}
        return {
            "runs": self.runs,
            **self.counts.plain(),
            "confusions": {
                name: [each.plain() for each in named] for name, named in confusions.items()
            },
            **{name: None if part is None else part.plain() for name, part in parts.items()},
            "hypotheses": self.degenerate.plain(),
        }


def kinds(
    pairs: Pairs, odd: DegeneratePairs, places: Places | None, label: str, top: int = TOP
) -> Kinds:
    """The errors of the system `label`."""
    weight_E = pairs.weights(label)[pairs.edits.pair_E]
    here = np.flatnonzero(weight_E)
    weight, kind = weight_E[here], pairs.edits.kind_E[here]
    said = np.full(len(here), NOTHING, dtype=np.int64)
    heard = said.copy()
    in_reference, in_hypothesis = kind != INSERTION, kind != DELETION
    said[in_reference] = pairs.references_C[pairs.place_E[here[in_reference]]]
    heard[in_hypothesis] = pairs.hypotheses_C[pairs.heard_E[here[in_hypothesis]]]

    def confusions(which: int) -> tuple[Confusion, ...]:
        of = kind == which
        return most(said[of], heard[of], weight[of], top)

    def total(which: int) -> int:
        return int(weight[kind == which].sum())

    runs = len(pairs.runs[label])
    substituted = kind == SUBSTITUTION
    pairs_of_syllables = said[substituted], heard[substituted], weight[substituted]
    return Kinds(
        runs=runs,
        counts=ErrorCounts(
            total(SUBSTITUTION),
            total(DELETION),
            total(INSERTION),
            runs * int(pairs.symbols_U.sum()),
        ),
        substituted=confusions(SUBSTITUTION),
        deleted=confusions(DELETION),
        inserted=confusions(INSERTION),
        jamo=jamo(*pairs_of_syllables, top) if are_syllables(pairs.references_C).any() else None,
        edges=None if places is None else places.edges(pairs.runs[label]),
        spaces=_spaces(pairs, kind, (said == SPACE) | (heard == SPACE), weight, runs),
        degenerate=odd.counted(pairs.runs[label]),
    )


def _spaces(pairs: Pairs, kind: Ints, space: Any, weight: Ints, runs: int) -> Spaces | None:
    n = runs * sum(text.count(" ") for text in pairs.references)
    if not n and not (pairs.hypotheses_C == SPACE).any():
        return None
    errors = np.bincount(kind[space], weight[space], 3).astype(np.int64)
    return Spaces(int(errors[SUBSTITUTION]), int(errors[DELETION]), int(errors[INSERTION]), n)
