"""One pair, aligned: as few edits as possible, and what is alike side by side.

Of the many shortest alignments a plain one puts a missing space under the syllable after it and
that one under nothing (`제 왔` heard as `제왓`), which makes confusions of what nobody confuses. So
where several characters in a row differ, and more of one text than of the other, those are paired
that are most alike. Their numbers stay: substitutions, deletions and insertions are the ruler's.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import repeat

from rapidfuzz.distance import Levenshtein

from asrbench.analysis.hangul import shared_parts

SUBSTITUTION, DELETION, INSERTION = range(3)

Edit = tuple[int, int, int]
"""Its kind; its place in the reference, or that after an insertion; likewise in the hypothesis."""

LETTERS = 4
"""Likeness of two characters neither of which is a space; it outweighs all shared parts."""
MOST_SURPLUS = 20
"""Characters. Where one side has more than that beyond the other, as in a loop, nothing was
misheard for anything, and the first are paired."""


def edits(reference: str, hypothesis: str) -> list[Edit]:
    """From the beginning to the end of both texts."""
    found: list[Edit] = []
    if reference == hypothesis:
        return found
    begin = heard = 0
    for match in Levenshtein.editops(reference, hypothesis).as_matching_blocks():
        # The stretch before it has none, and the last match is empty, at both ends.
        end, heard_end = match.a, match.b
        if end - begin == heard_end - heard:
            found += zip(repeat(SUBSTITUTION), range(begin, end), range(heard, heard_end))
        elif begin == end:
            found += zip(repeat(INSERTION), repeat(begin), range(heard, heard_end))
        elif heard == heard_end:
            found += zip(repeat(DELETION), range(begin, end), repeat(heard))
        else:
            found += _mixed(reference[begin:end], hypothesis[heard:heard_end], begin, heard)
        begin, heard = end + match.size, heard_end + match.size
    return found


def _mixed(said: str, found: str, begin: int, heard: int) -> Iterator[Edit]:
    """Of a stretch without a match, one side longer. All of the shorter is substituted: any other
    way has more edits."""
    deleting = len(said) > len(found)
    substituted = set(paired(found, said) if deleting else paired(said, found))
    for i in range(max(len(said), len(found))):
        both = i in substituted
        yield (SUBSTITUTION if both else DELETION if deleting else INSERTION), begin, heard
        begin += both or deleting
        heard += both or not deleting


@lru_cache(maxsize=2**16)
def paired(short: str, long: str) -> tuple[int, ...]:
    """For each character of `short` its place in `long`, in order, so that they are as alike as
    can be in all; the first of equally good ways."""
    room = len(long) - len(short)
    if room > MOST_SURPLUS:
        return tuple(range(len(short)))
    # best[k] is that of short[i:] with long[i + k:].
    best, takes = [0] * (room + 1), []
    for i in reversed(range(len(short))):
        row = [best[k] + likeness(short[i], long[i + k]) for k in range(room + 1)]
        take = [True] * (room + 1)
        for k in reversed(range(room)):
            if row[k + 1] > row[k]:
                row[k], take[k] = row[k + 1], False
        best = row
        takes.append(take)
    places, k = [], 0
    for i, take in enumerate(reversed(takes)):
        while not take[k]:
            k += 1
        places.append(i + k)
    return tuple(places)


@lru_cache(maxsize=2**16)
def likeness(one: str, other: str) -> int:
    """Of two characters that differ: spaces are like nothing, syllables by the parts they share."""
    if " " in (one, other):
        return 0
    return LETTERS + shared_parts(one, other)
