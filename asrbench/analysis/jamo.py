"""Of substituted syllables, which part was misheard."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from asrbench.analysis.confusions import Confusion, most
from asrbench.analysis.hangul import PARTS, are_syllables, decomposed
from asrbench.stats.blocks import Ints


@dataclass(frozen=True)
class Part:
    """One place of a syllable, in the syllables that were substituted by others."""

    errors: int
    """Syllables that differ in it."""
    alone: int
    """Of these, those that differ in nothing else."""
    confusions: tuple[Confusion, ...]
    """The most frequent; no coda is "-"."""

    def plain(self) -> dict[str, Any]:
        return {
            "errors": self.errors,
            "alone": self.alone,
            "confusions": [each.plain() for each in self.confusions],
        }


@dataclass(frozen=True)
class Jamo:
    """Where substituted syllables differ from what stands for them."""

    syllables: int
    """Of the references, those that a syllable was substituted for."""
    parts: dict[str, Part]
    """By the names of `PARTS`."""

    def plain(self) -> dict[str, Any]:
        return {
            "syllables": self.syllables,
            **{name: part.plain() for name, part in self.parts.items()},
        }


def jamo(expected: Ints, found: Ints, weights: Ints, top: int) -> Jamo:
    """Of substituted characters, each so often; what is no pair of syllables is passed over."""
    both = are_syllables(expected) & are_syllables(found)
    weights = weights[both]
    one, other = decomposed(expected[both]), decomposed(found[both])
    differs = one != other
    alone = differs.sum(axis=1) == 1
    parts = {}
    for i, (name, letters) in enumerate(PARTS.items()):
        here = differs[:, i]
        codes = np.array([ord(letter) for letter in letters])
        parts[name] = Part(
            int(weights[here].sum()),
            int(weights[here & alone].sum()),
            most(codes[one[here, i]], codes[other[here, i]], weights[here], top),
        )
    return Jamo(int(weights.sum()), parts)
