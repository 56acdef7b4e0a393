"""Windows of long recordings: where they are cut, and how their texts are joined.

Neighbouring windows share `OVERLAP_S` of audio, so that each of them hears the sounds at the seam
with what surrounds them. Where symbols have times, the seam is a symbol that both windows heard at
the same time, the one nearest to the middle of what they share; without such a symbol it is the
middle itself. Where they have none, the texts are laid over each other at the longest run of
symbols that the end of one and the beginning of the other have in common; without such a run they
are put one after the other, and a word at the seam may be there twice or be cut in two.
"""

import math
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import product
from typing import NamedTuple

from asrbench.data.waveform import SAMPLE_RATE_HZ

WINDOW_S = 30.0
"""The longest window by default, about as long as the longest utterances of most corpora."""

OVERLAP_S = 4.0
"""What neighbouring windows share."""

SAME_S = 0.2
"""Equal symbols of two windows are the same sound if their times differ by no more than this."""

_RUN = 3
"""The fewest symbols in a row that show that two texts overlap. One or two may be chance."""


class Window(NamedTuple):
    """A part of a recording, from sample `start` to before sample `end`."""

    start: int
    end: int

    @property
    def start_s(self) -> float:
        """The time at which it begins."""
        return self.start / SAMPLE_RATE_HZ

    @property
    def end_s(self) -> float:
        """The time at which it ends."""
        return self.end / SAMPLE_RATE_HZ


class HeardSymbol(NamedTuple):
    """A symbol of a recording's text."""

    symbol: int
    """Its index of the tokenizer."""
    start_s: float | None = None
    """When it begins in the recording; None where symbols have no times."""
    end_s: float | None = None
    probability: float | None = None

    @property
    def middle_s(self) -> float:
        """The middle of a symbol that has a time."""
        assert self.start_s is not None
        assert self.end_s is not None
        return (self.start_s + self.end_s) / 2


def windows_of(samples: int, longest_s: float) -> list[Window]:
    """Returns windows of equal length that cover a recording, none of them over `longest_s`.

    A recording that is no longer is one window. `longest_s` exceeds the overlap.
    """
    longest, overlap = round(longest_s * SAMPLE_RATE_HZ), round(OVERLAP_S * SAMPLE_RATE_HZ)
    if samples <= longest:
        return [Window(0, samples)]
    count = math.ceil((samples - overlap) / (longest - overlap))
    length = math.ceil((samples + (count - 1) * overlap) / count)
    starts = [number * (length - overlap) for number in range(count)]
    return [Window(start, min(start + length, samples)) for start in starts]


def joined(windows: Sequence[Window], heard: Sequence[list[HeardSymbol]]) -> list[HeardSymbol]:
    """Returns the symbols of a recording from those of its windows, in order."""
    found = list(heard[0])
    for number in range(1, len(windows)):
        before, after = windows[number - 1], windows[number]
        found = _joined(found, heard[number], after.start_s, before)
    return found


def _joined(
    one: list[HeardSymbol], other: list[HeardSymbol], shared_from_s: float, window: Window
) -> list[HeardSymbol]:
    """Returns `one`, which ends with `window`, and `other`, which begins at `shared_from_s`."""
    if any(each.start_s is None for each in (*one, *other)):
        return _joined_by_text(one, other, window)
    middle_s = (shared_from_s + window.end_s) / 2
    end, begin = _seam(one, other, shared_from_s, window.end_s) or (
        sum(each.middle_s < middle_s for each in one),
        sum(each.middle_s < middle_s for each in other),
    )
    return one[:end] + other[begin:]


def _seam(
    one: list[HeardSymbol], other: list[HeardSymbol], from_s: float, to_s: float
) -> tuple[int, int] | None:
    """Returns how many symbols of `one` to keep and of `other` to leave out, or None.

    The last that is kept and the last that is left out are the same sound.
    """
    ends = [i for i, each in enumerate(one) if each.middle_s >= from_s]
    begins = [j for j, each in enumerate(other) if each.middle_s <= to_s]
    apart = {
        (i, j): abs(one[i].middle_s - other[j].middle_s)
        for i, j in product(ends, begins)
        if one[i].symbol == other[j].symbol
    }
    # Of a symbol that is spoken twice, each is the same sound as the nearest one only.
    nearest = {i: min((d, j) for (a, j), d in apart.items() if a == i) for i, _ in apart}
    back = {j: min((d, i) for (i, b), d in apart.items() if b == j) for _, j in apart}
    same = [
        (abs(one[i].middle_s + other[j].middle_s - from_s - to_s), i + 1, j + 1)
        for i, (distance, j) in nearest.items()
        if distance <= SAME_S and back[j][1] == i
    ]
    return min(same)[1:] if same else None


def _joined_by_text(
    one: list[HeardSymbol], other: list[HeardSymbol], window: Window
) -> list[HeardSymbol]:
    # Speech is not even, so that what is shared may have up to twice its part of the symbols.
    share = min(1.0, 2 * OVERLAP_S / (window.end_s - window.start_s))
    most = math.ceil(share * len(other))
    end, begin = [s.symbol for s in one[-most:]], [s.symbol for s in other[:most]]
    run = SequenceMatcher(None, end, begin, autojunk=False).find_longest_match()
    if run.size < _RUN:
        return one + other
    return one[: len(one) - len(end) + run.a] + other[run.b :]
