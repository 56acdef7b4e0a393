"""The edit alignment of one pair of texts: the fewest edits, and similar characters paired.

Several alignments have the fewest edits. A common one pairs a missing space with the syllable
after it and that syllable with nothing (`제 왔` recognised as `제왓`), which counts confusions that
nobody makes. Where several characters in a row differ, and the two texts differ in length there,
this alignment pairs the most similar characters. The numbers of substitutions, deletions and
insertions are those of the scorer.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import repeat

from rapidfuzz.distance import Levenshtein

from asrbench.analysis.hangul import shared_jamo

SUBSTITUTION, DELETION, INSERTION = range(3)

Edit = tuple[int, int, int]
"""The kind of an edit, its place in the reference and its place in the hypothesis.

An insertion stands before its place in the reference, a deletion before that in the hypothesis.
"""

LETTERS = 4
"""Similarity of two characters that are no spaces; it exceeds that of all shared jamo."""
MOST_SURPLUS = 20
"""Characters. Where one text is longer by more than this, as in a loop, similarity says nothing,
and the first characters are paired."""


def edits(reference: str, hypothesis: str) -> list[Edit]:
    """Returns the edits from the beginning to the end of both texts."""
    found: list[Edit] = []
    if reference == hypothesis:
        return found
    begin = begin_found = 0
    for match in Levenshtein.editops(reference, hypothesis).as_matching_blocks():
        # There is no match in the stretch before; the last match is empty, at the end of both.
        end, end_found = match.a, match.b
        if end - begin == end_found - begin_found:
            found += zip(repeat(SUBSTITUTION), range(begin, end), range(begin_found, end_found))
        elif begin == end:
            found += zip(repeat(INSERTION), repeat(begin), range(begin_found, end_found))
        elif begin_found == end_found:
            found += zip(repeat(DELETION), range(begin, end), repeat(begin_found))
        else:
            found += _mixed(
                reference[begin:end], hypothesis[begin_found:end_found], begin, begin_found
            )
        begin, begin_found = end + match.size, end_found + match.size
    return found


def _mixed(reference: str, hypothesis: str, begin: int, begin_found: int) -> Iterator[Edit]:
    """Yields the edits of a stretch without a match in which one text is longer.

    All characters of the shorter text are substituted, because anything else has more edits.
    """
    deleting = len(reference) > len(hypothesis)
    substituted = set(paired(hypothesis, reference) if deleting else paired(reference, hypothesis))
    for i in range(max(len(reference), len(hypothesis))):
        both = i in substituted
        yield (SUBSTITUTION if both else DELETION if deleting else INSERTION), begin, begin_found
        begin += both or deleting
        begin_found += both or not deleting


@lru_cache(maxsize=2**16)
def paired(short: str, long: str) -> tuple[int, ...]:
    """Returns for each character of `short` its partner's place in `long`, in rising order.

    The sum of similarities is the greatest possible; of equal sums the first is taken.
    """
    room = len(long) - len(short)
    if room > MOST_SURPLUS:
        return tuple(range(len(short)))
    # best[k] is the greatest sum for short[i:] with long[i + k:].
    best, takes = [0] * (room + 1), []
    for i in reversed(range(len(short))):
        row = [best[k] + similarity(short[i], long[i + k]) for k in range(room + 1)]
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
def similarity(one: str, other: str) -> int:
    """Returns the similarity of two different characters: 0 for a space, more for shared jamo."""
    if " " in (one, other):
        return 0
    return LETTERS + shared_jamo(one, other)
