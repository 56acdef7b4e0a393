"""What was heard for what, and how often."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from asrbench.stats.blocks import Ints

_BITS = 21
"""Of a code point."""
NOTHING = 0x110000
"""In place of a code point, where nothing was said or heard: the first number that is none."""


@dataclass(frozen=True)
class Confusion:
    """One character for another; nothing for one, or one for nothing."""

    reference: str
    hypothesis: str
    count: int

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def most(expected: Ints, found: Ints, weights: Ints, top: int) -> tuple[Confusion, ...]:
    """The `top` most frequent pairs of characters, each pair counted by its weights; of equally
    frequent ones those that come first by code point."""
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
