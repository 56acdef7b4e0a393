"""Degenerate hypotheses, which are wrong as a whole: empty, looped or truncated."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from asrbench.analysis.pairs import Pairs, code_points
from asrbench.stats.blocks import Ints

LOOP_TIMES = 4
LOOP_LENGTH = 20
"""Longest repeated stretch, in characters."""
TRUNCATED_SYMBOLS = 5
TRUNCATED_SHARE = 0.25

Flags = npt.NDArray[np.bool_]

_LOOP = re.compile(rf"(.{{1,{LOOP_LENGTH}}}?)\1{{{LOOP_TIMES - 1},}}", re.DOTALL)


@dataclass(frozen=True)
class DegenerateCounts:
    """The number of hypotheses of each kind, over all runs of a system; one may be of two kinds."""

    hypotheses: int
    empty: int
    looped: int
    truncated: int


@dataclass(frozen=True, eq=False)
class DegeneratePairs:
    """Flags that say which of the P distinct pairs are of each kind."""

    empty_P: Flags
    looped_P: Flags
    truncated_P: Flags

    @classmethod
    def of(cls, pairs: Pairs) -> "DegeneratePairs":
        return cls(
            np.array([is_empty(*pairs.texts(p)) for p in range(len(pairs))], dtype=bool),
            _chosen(is_looped, pairs, _may_loop(pairs)),
            # A truncated hypothesis has at least as many errors as missing characters.
            _chosen(is_truncated, pairs, pairs.errors_P >= TRUNCATED_SYMBOLS),
        )

    def counted(self, pair_SU: Ints) -> DegenerateCounts:
        """Returns the counts of one system, over all of its runs."""
        flags = self.empty_P, self.looped_P, self.truncated_P
        return DegenerateCounts(pair_SU.size, *(int(flag_P[pair_SU].sum()) for flag_P in flags))

    def names(self, pair: int) -> list[str]:
        """Returns the kinds of a pair."""
        flags = {"empty": self.empty_P, "looped": self.looped_P, "truncated": self.truncated_P}
        return [name for name, flag_P in flags.items() if flag_P[pair]]


def is_empty(reference: str, hypothesis: str) -> bool:
    """Returns whether the hypothesis is empty and the reference is not."""
    return bool(reference) and not hypothesis


def is_looped(reference: str, hypothesis: str) -> bool:
    """Returns whether the hypothesis repeats a stretch that the reference does not.

    The stretch has 1 to 20 characters, stands at least 4 times in a row, and is in the reference,
    without spaces at its ends, at most half as often.
    """
    return any(
        2 * reference.count(match[1].strip()) <= len(match[0]) // len(match[1])
        for match in _LOOP.finditer(hypothesis)
    )


def is_truncated(reference: str, hypothesis: str) -> bool:
    """Returns whether the end of the reference is missing in a hypothesis that is not empty.

    An edit alignment with the fewest edits must be able to end with deletions of a quarter of the
    reference, and of 5 characters at least.
    """
    missing = max(TRUNCATED_SYMBOLS, ceil(TRUNCATED_SHARE * len(reference)))
    if not hypothesis or missing > len(reference):
        return False
    rest = Levenshtein.distance(reference[:-missing], hypothesis)
    return rest + missing == Levenshtein.distance(reference, hypothesis)


def _chosen(is_degenerate: Callable[[str, str], bool], pairs: Pairs, candidates_P: Flags) -> Flags:
    flags_P = np.zeros(len(pairs), dtype=bool)
    for p in np.flatnonzero(candidates_P).tolist():
        flags_P[p] = is_degenerate(*pairs.texts(p))
    return flags_P


def _may_loop(pairs: Pairs) -> Flags:
    """Returns the pairs whose hypothesis repeats some stretch often enough, all at once.

    A stretch is repeated where the text equals itself shifted by the length of the stretch.
    """
    may_P = np.zeros(len(pairs), dtype=bool)
    order = sorted(range(len(pairs)), key=lambda p: -len(pairs.hypotheses[p]))
    lengths = np.array([len(pairs.hypotheses[p]) for p in order], dtype=np.int64)
    codes = code_points(pairs.hypotheses[p] + "\n" for p in order).astype(np.int32)
    # Each text ends with a number of its own, so that no stretch extends into the next text.
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
