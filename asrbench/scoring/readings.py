"""Hypotheses in the notation of their references, for a profile that accepts several readings.

The reference stays as it is, so every system has the same N. Of the hypothesis, stretches are
written in another notation wherever that leaves fewer errors:

- a numeral in digits, as any of its readings (`asrbench.text.numerals`);
- a numeral in words, in digits, if the reference has any and no digit stands beside it;
- a stretch that is another reading of the stretch of the reference in its place: a reading of its
  numeral, or the other side of its dual transcription, is written as the reference has it.

Of all combinations the one with the fewest character errors is taken, spaces left out, where a
stretch of the third kind is aligned with that of the reference; and of those the one that rewrites
the fewest stretches. As the rewritten hypothesis is what every count is made from, all rates, tests
and analyses agree on it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from rapidfuzz.distance import Levenshtein

from asrbench.text.normal_form import normalise
from asrbench.text.numerals import DIGITS, Notation, in_digits, in_words


def other_readings(reference: str, other_side: str | None = None) -> list[Notation]:
    """Returns the stretches of a reference that have another reading, each with one of them.

    Their places are counted without spaces. `other_side` is the other side of its dual
    transcriptions; the sides are aligned to find the duals. Both texts are as `worded` returns
    them.
    """
    found = list(_in_letters(reference, in_words(reference)))
    if other_side is not None:
        found += _duals(_letters(reference), _letters(other_side))
    return found


def in_notation_of(
    reference: str, hypothesis: str, readings: Sequence[Notation] | None = None
) -> str:
    """Returns `hypothesis` with numerals and duals in the notation of `reference`.

    `readings` are the `other_readings` of the reference. Both texts are as `worded` returns them,
    and so is the result. It never has more character errors than `hypothesis`. A letter that is
    rewritten, or follows such a letter, starts a word if the equal letter of the reference does.
    """
    if readings is None:
        readings = other_readings(reference)
    words = list(_in_letters(hypothesis, in_words(hypothesis)))
    if reference == hypothesis or not (readings or words):
        return hypothesis
    in_reference = any(letter in DIGITS for letter in reference)
    numbers = list(in_digits(_letters(hypothesis))) if in_reference else []
    found = _Lattice(reference, hypothesis, words, numbers, readings).best()
    # Letters may compose with what stood beside a rewritten stretch, which can make more errors.
    return min(hypothesis, found, key=lambda each: _errors(reference, each))


def _letters(text: str) -> str:
    return text.replace(" ", "")


def _errors(reference: str, hypothesis: str) -> int:
    one, other = (normalise(_letters(text)) for text in (reference, hypothesis))
    return int(Levenshtein.distance(one, other))


def _in_letters(text: str, notations: Iterable[Notation]) -> Iterator[Notation]:
    """Yields notations of stretches of `text` with their places counted without spaces."""
    before = [0, *accumulate(character != " " for character in text)]
    for begin, end, other in notations:
        yield Notation(before[begin], before[end], other)


def _duals(reference: str, other_side: str) -> Iterator[Notation]:
    """Yields each stretch in which the sides differ, with the text of the other side."""
    begin = there = 0
    for block in Levenshtein.opcodes(reference, other_side).as_matching_blocks():
        if (begin, there) != (block.a, block.b):
            yield Notation(begin, block.a, other_side[there : block.b])
        begin, there = block.a + block.size, block.b + block.size


# The search

_ERROR = 1 << 20
"""Cost of an error; a rewritten stretch costs 1, so that it only decides between equal errors."""

_Cell = tuple[int, Any]
"""Cost of the best way to a place, and its last letter: (the letter before, in the same form; the
letter; whether it is rewritten; whether it starts a word; the place of the equal letter in the
reference or None)."""

_Column = dict[int, _Cell]
"""A cell for each place in the reference, from before its first letter to behind its last, that can
still be part of the best way."""


class _Lattice:
    """All notations of one hypothesis against one reference.

    The edit distance is computed by its recurrence, from left to right. Where a stretch of the
    hypothesis has another notation, two ways lead from its beginning to its end, and the better one
    is kept for each place in the reference. Ways with more errors than the hypothesis has as it
    stands are given up.
    """

    def __init__(
        self,
        reference: str,
        hypothesis: str,
        words: Sequence[Notation],
        numbers: Sequence[Notation],
        readings: Sequence[Notation],
    ) -> None:
        self.reference = _letters(reference)
        self.hypothesis = _letters(hypothesis)
        self.reference_starts = _word_starts(reference)
        self.starts = _word_starts(hypothesis)
        self.highest = (Levenshtein.distance(self.reference, self.hypothesis) + 1) * _ERROR
        self.words, self.numbers = _by_end(words), _by_end(numbers)
        self.silent = defaultdict(list)
        self.matches = defaultdict(list)
        for reading in readings:
            if not reading.text:
                self.silent[reading.begin].append(reading)
            for begin in _places(self.hypothesis, reading.text):
                self.matches[begin + len(reading.text)].append((begin, reading))
        longest = (end - begin for begin, end, _ in (*words, *numbers))
        self.reach = max((*longest, *(len(each.text) for each in readings)), default=0)

    def best(self) -> str:
        """Returns the best notation of the hypothesis, as words."""
        columns = {0: self._closed({0: (0, None)})}
        # The ways that do not end in a number written in digits: another digit would change it.
        apart = {0: columns[0]}
        for end, letter in enumerate(self.hypothesis, start=1):
            before = (apart if letter in DIGITS else columns)[end - 1]
            column = self._after(before, letter, rewritten=False, starts=self.starts[end - 1])
            for notation in self.words[end]:
                self._improve(column, self._rewritten(columns[notation.begin], notation))
            for begin, reading in self.matches[end]:
                origin = (apart if reading.text[0] in DIGITS else columns)[begin]
                self._match(column, origin, reading, self.starts[begin])
            apart[end] = self._closed(column)
            columns[end] = dict(column)
            for notation in self.numbers[end]:
                self._improve(columns[end], self._rewritten(apart[notation.begin], notation))
            self._closed(columns[end])
            for each in (columns, apart):
                each.pop(end - self.reach - 1, None)
        return self._spelled(columns[len(self.hypothesis)][len(self.reference)][1])

    def _after(self, column: _Column, letter: str, *, rewritten: bool, starts: bool) -> _Column:
        """Returns the column behind one more letter of the hypothesis."""
        found: _Column = {}
        for place, (cost, before) in column.items():
            if place < len(self.reference):
                right = self.reference[place] == letter
                last = (before, letter, rewritten, starts, place if right else None)
                self._offer(found, place + 1, cost if right else cost + _ERROR, last)
            self._offer(found, place, cost + _ERROR, (before, letter, rewritten, starts, None))
        return self._closed(found)

    def _rewritten(self, column: _Column, notation: Notation) -> _Column:
        """Returns the column behind another notation of a stretch, whose beginning has `column`."""
        starts = self.starts[notation.begin]
        if not notation.text:
            return {
                p: (cost + 1, (last, "", True, starts, None)) for p, (cost, last) in column.items()
            }
        column = {place: (cost + 1, before) for place, (cost, before) in column.items()}
        for letter in notation.text:
            column = self._after(column, letter, rewritten=True, starts=starts)
            starts = False
        return column

    def _match(self, column: _Column, origin: _Column, reading: Notation, starts: bool) -> None:
        """Puts into `column` the way on which a stretch is written as the reference has it."""
        if reading.begin not in origin:
            return
        cost, last = origin[reading.begin]
        if reading.begin == reading.end:
            last = (last, "", True, starts, None)
        for place in range(reading.begin, reading.end):
            last = (last, self.reference[place], True, starts, place)
            starts = False
        self._offer(column, reading.end, cost + 1, last)

    def _closed(self, column: _Column) -> _Column:
        """Adds deletions and readings without a letter to `column`, and returns it."""
        for place in range(min(column, default=0), len(self.reference)):
            if place in column:
                cost, last = column[place]
                self._offer(column, place + 1, cost + _ERROR, last)
                for reading in self.silent[place] if self.silent else ():
                    self._match(column, column, reading, starts=False)
        return column

    def _improve(self, column: _Column, other: _Column) -> None:
        for place, (cost, last) in other.items():
            self._offer(column, place, cost, last)

    def _offer(self, column: _Column, place: int, cost: int, last: Any) -> None:
        """Puts a way into `column` if it is the best one there so far."""
        if cost < self.highest and (place not in column or cost < column[place][0]):
            column[place] = (cost, last)

    def _spelled(self, last: Any) -> str:
        """Returns the words of the way that ends with the letter `last`."""
        letters = []
        while last is not None:
            letters.append(last[1:])
            last = last[0]
        text, behind_rewritten, pending = "", False, False
        for letter, rewritten, starts, place in reversed(letters):
            pending |= starts
            if letter:
                if place is not None and (rewritten or behind_rewritten):
                    pending = self.reference_starts[place]
                text += f" {letter}" if pending else letter
                pending = False
            behind_rewritten = rewritten
        return normalise(text)


def _by_end(notations: Sequence[Notation]) -> defaultdict[int, list[Notation]]:
    found = defaultdict(list)
    for notation in notations:
        found[notation.end].append(notation)
    return found


def _word_starts(text: str) -> list[bool]:
    """Returns, for each letter, whether a word starts with it."""
    return [index == 0 for word in text.split() for index in range(len(word))]


def _places(text: str, part: str) -> Iterator[int]:
    """Yields where `part` begins in `text`; nowhere if it is empty."""
    place = text.find(part) if part else -1
    while place >= 0:
        yield place
        place = text.find(part, place + 1)
