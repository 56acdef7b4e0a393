"""Confusions: which character was recognised as which, and how often."""

from dataclasses import dataclass

import numpy as np

from asrbench.stats.blocks import Ints

_BITS = 21
"""Bits of a code point."""
NOTHING = 0x110000
"""Stands for no character in an insertion or deletion: the first number that is no code point."""


@dataclass(frozen=True)
class Confusion:
    """A character of the reference and what was recognised for it.

    An insertion has an empty `reference`, a deletion an empty `hypothesis`.
    """

    reference: str
    hypothesis: str
    count: int


def most(expected: Ints, found: Ints, weights: Ints, top: int) -> tuple[Confusion, ...]:
    """Returns the `top` most frequent pairs of characters, each counted by its weights.

    Of equally frequent pairs those that come first by code point are taken.
    """
    keys, inverse = np.unique((expected << _BITS) | found, return_inverse=True)
    counts = np.bincount(inverse, weights, len(keys)).astype(np.int64)
    order = np.lexsort((keys, -counts))[:top]
    return tuple(
        Confusion(_symbol(key >> _BITS), _symbol(key & ((1 << _BITS) - 1)), count)
        for key, count in zip(keys[order].tolist(), counts[order].tolist(), strict=True)
        if count
    )


def _symbol(code: int) -> str:
    return "" if code == NOTHING else chr(code)
