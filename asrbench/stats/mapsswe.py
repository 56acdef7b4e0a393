"""MAPSSWE: matched pairs sentence segment word error test, as NIST's `sc_stats -t mapsswe` has it.

Where systems have several runs, one test compares the sums of their errors; NIST's compares a pair
of runs.

Gillick & Cox 1989 (ICASSP 1:532), Pallett et al. 1990 (ICASSP 1:97); SCTK, src/sclite/mtchprs.c.
"""

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np

from asrbench.stats.edit_alignment import EditAlignment

WORD_BUFFER = 2
"""Number of words that both rows have right between two segments, as in SCTK."""
CHARACTER_BUFFER = 10
"""Number of characters, including spaces, that both rows have right between two segments: about two
English words, or three of KsponSpeech with their spaces (68,457 characters over 20,401 words in
eval_clean, as ESPnet counts them). Within one word errors are correlated, and two segments that
belong to one confusion are not independent."""


@dataclass(frozen=True)
class Mapsswe:
    """The result of the test for two systems. With a negative `z` the first has fewer errors."""

    z: float
    p: float
    """Two-sided p-value of a normal deviate; approximate for fewer than about 50 segments."""
    segments: int
    mean: float
    """Mean difference of errors per segment, first minus second."""
    deviation: float
    """Standard deviation of the difference over segments, with n - 1."""


def mapsswe(alignment: EditAlignment, one: int, other: int, buffer: int) -> Mapsswe:
    """Compares two rows of an edit alignment: two runs, or two systems whose runs are summed.

    A segment begins at an error of either row and ends before `buffer` tokens in a row that both
    have right, without an insertion between them, or at the end of the utterance. With d the
    difference of errors in each of n segments, z = mean(d) / (sd(d) / sqrt(n)); where all d are
    equal z is 0, as in SCTK.
    """
    if buffer < 1:
        raise ValueError(f"buffer: found {buffer}, allowed: 1 or more")
    errors_2L = alignment.errors_RL[[one, other]]
    slots = np.flatnonzero(errors_2L.any(axis=0))
    if not len(slots):
        return Mapsswe(0.0, 1.0, 0, 0.0, 0.0)
    right = alignment.begin_L[slots[1:]] - alignment.end_L[slots[:-1]]
    elsewhere = np.diff(alignment.utterance_L[slots]) > 0
    starts = np.flatnonzero(np.concatenate([[True], elsewhere | (right >= buffer)]))
    first, second = np.add.reduceat(errors_2L[:, slots], starts, axis=1)
    differences = first - second
    n, mean = len(differences), float(differences.mean())
    deviation = float(differences.std(ddof=1)) if n > 1 else 0.0
    z = mean / (deviation / sqrt(n)) if deviation else 0.0
    return Mapsswe(z, erfc(abs(z) / sqrt(2)), n, mean, deviation)
