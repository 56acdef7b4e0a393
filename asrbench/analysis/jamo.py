"""Errors of jamo in substituted Hangul syllables."""

from dataclasses import dataclass

import numpy as np

from asrbench.analysis.confusions import Confusion, most
from asrbench.analysis.hangul import POSITIONS, are_syllables, decomposed
from asrbench.stats.blocks import Ints


@dataclass(frozen=True)
class PositionErrors:
    """The errors in one position of the syllable: onset, vowel or coda."""

    errors: int
    """Substituted syllables that differ in this position."""
    alone: int
    """Substituted syllables that differ in this position only."""
    confusions: tuple[Confusion, ...]
    """The most frequent confusions; a missing coda is "-"."""


@dataclass(frozen=True)
class JamoErrors:
    """The positions in which substituted syllables differ from the reference."""

    syllables: int
    """Syllables of the references that another syllable was substituted for."""
    onset: PositionErrors
    vowel: PositionErrors
    coda: PositionErrors


def jamo_errors(expected: Ints, found: Ints, weights: Ints, top: int) -> JamoErrors:
    """Counts the jamo errors of substituted characters, each counted `weights` times.

    Substitutions that are no pair of two syllables are ignored.
    """
    both = are_syllables(expected) & are_syllables(found)
    weights = weights[both]
    one, other = decomposed(expected[both]), decomposed(found[both])
    differs = one != other
    alone = differs.sum(axis=1) == 1
    positions = {}
    for i, (name, letters) in enumerate(POSITIONS.items()):
        here = differs[:, i]
        codes = np.array([ord(letter) for letter in letters])
        positions[name] = PositionErrors(
            int(weights[here].sum()),
            int(weights[here & alone].sum()),
            most(codes[one[here, i]], codes[other[here, i]], weights[here], top),
        )
    return JamoErrors(int(weights.sum()), **positions)
