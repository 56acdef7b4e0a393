"""MAPSSWE: matched pairs sentence segment word error test, as NIST's `sc_stats -t mapsswe` has it.

Gillick & Cox 1989 (ICASSP 1:532), Pallett et al. 1990 (ICASSP 1:97); SCTK, src/sclite/mtchprs.c.
"""

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np

from asrbench.stats.alignment import Alignment

WORD_BUFFER = 2
"""Words right in both that part two segments: SCTK's."""
CHARACTER_BUFFER = 10
"""Characters right in both, spaces among them, that do: about two words of English and three of
KsponSpeech with their spaces (68,457 characters over 20,401 words in eval_clean, as ESPnet counts
them). Within a word recognisers have not got over its last error, and segments that belong to one
confusion are not independent."""


@dataclass(frozen=True)
class Mapsswe:
    """Of two runs. With a negative `z` the first has fewer errors."""

    z: float
    p: float
    """Two-sided, normal: for fewer than some 50 segments it is a rough one."""
    segments: int
    mean: float
    """Difference of errors a segment, first minus second."""
    deviation: float
    """Its standard deviation over segments, with n - 1."""


def mapsswe(alignment: Alignment, one: int, other: int, buffer: int) -> Mapsswe:
    """Compares two runs of an alignment.

    A segment opens at an error of either run and closes after `buffer` tokens in a row that both
    have right, with nothing inserted between, or with the utterance. With d the difference of
    errors in each of n segments, z = mean(d) / (sd(d) / sqrt(n)). It is 0 where all d are equal, as
    in SCTK.
    """
    if buffer < 1:
        raise ValueError(f"a buffer of {buffer}")
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
