"""Hypotheses that went wrong as a whole: empty, looped, truncated."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from asrbench.analysis.pairs import Pairs, code_points
from asrbench.stats.blocks import Ints

LOOP_TIMES = 4
LOOP_LENGTH = 20
"""Characters at most in what is repeated."""
TRUNCATED_SYMBOLS = 5
TRUNCATED_SHARE = 0.25

Flags = npt.NDArray[np.bool_]

_LOOP = re.compile(rf"(.{{1,{LOOP_LENGTH}}}?)\1{{{LOOP_TIMES - 1},}}", re.DOTALL)


@dataclass(frozen=True)
class DegenerateCounts:
    """Hypotheses of all runs of a system that are of each kind; one may be of two."""

    hypotheses: int
    empty: int
    looped: int
    truncated: int

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class DegeneratePairs:
    """Which of the P different pairs are of each kind."""

    empty_P: Flags
    looped_P: Flags
    truncated_P: Flags

    @classmethod
    def of(cls, pairs: Pairs) -> "DegeneratePairs":
        return cls(
            np.array([is_empty(*pairs.texts(p)) for p in range(len(pairs))], dtype=bool),
            _chosen(is_looped, pairs, _may_loop(pairs)),
            # So many deletions are so many errors.
            _chosen(is_truncated, pairs, pairs.errors_P >= TRUNCATED_SYMBOLS),
        )

    def counted(self, pair_SU: Ints) -> DegenerateCounts:
        flags = self.empty_P, self.looped_P, self.truncated_P
        return DegenerateCounts(pair_SU.size, *(int(flag_P[pair_SU].sum()) for flag_P in flags))

    def names(self, pair: int) -> list[str]:
        """The kinds that a pair is of."""
        flags = {"empty": self.empty_P, "looped": self.looped_P, "truncated": self.truncated_P}
        return [name for name, flag_P in flags.items() if flag_P[pair]]


def is_empty(reference: str, hypothesis: str) -> bool:
    """Nothing was heard where something was said."""
    return bool(reference) and not hypothesis


def is_looped(reference: str, hypothesis: str) -> bool:
    """A stretch of 1 to 20 characters is repeated 4 times in a row or more, and the reference has
    it, spaces at its ends aside, at most half as often anywhere."""
    return any(
        2 * reference.count(match[1].strip()) <= len(match[0]) // len(match[1])
        for match in _LOOP.finditer(hypothesis)
    )


def is_truncated(reference: str, hypothesis: str) -> bool:
    """The end is missing, a quarter of the reference and 5 characters at least, of one that is
    not empty: an alignment with as few edits as possible can end with so many deletions."""
    missing = max(TRUNCATED_SYMBOLS, ceil(TRUNCATED_SHARE * len(reference)))
    if not hypothesis or missing > len(reference):
        return False
    rest = Levenshtein.distance(reference[:-missing], hypothesis)
    return rest + missing == Levenshtein.distance(reference, hypothesis)


def _chosen(is_odd: Callable[[str, str], bool], pairs: Pairs, candidates_P: Flags) -> Flags:
    flags_P = np.zeros(len(pairs), dtype=bool)
    for p in np.flatnonzero(candidates_P).tolist():
        flags_P[p] = is_odd(*pairs.texts(p))
    return flags_P


def _may_loop(pairs: Pairs) -> Flags:
    """Whether anything is repeated often enough in the hypothesis, of all at once: where text is
    the same as a little later, for long enough."""
    may_P = np.zeros(len(pairs), dtype=bool)
    order = sorted(range(len(pairs)), key=lambda p: -len(pairs.hypotheses[p]))
    lengths = np.array([len(pairs.hypotheses[p]) for p in order], dtype=np.int64)
    codes = code_points(pairs.hypotheses[p] + "\n" for p in order).astype(np.int32)
    # What ends a text is like nothing else, so that no stretch goes on into the next.
    ends = np.cumsum(lengths + 1) - 1
    codes[ends] = -1 - np.arange(len(ends))
    for length in range(1, LOOP_LENGTH + 1):
        long_enough = int((lengths >= LOOP_TIMES * length).sum())
        if not long_enough:
            break
        part = codes[: ends[long_enough - 1] + 1]
        differs = np.cumsum(np.insert(part[length:] != part[:-length], 0, False), dtype=np.int32)
        stretch = length * (LOOP_TIMES - 1)
        begins = np.flatnonzero(differs[stretch:] == differs[:-stretch])
        may_P[np.array(order)[np.searchsorted(ends, begins)]] = True
    return may_P
