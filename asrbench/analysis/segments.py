"""A reference and a hypothesis side by side, in segments that are equal or differ."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Literal

from asrbench.analysis.edit_alignment import DELETION, INSERTION, SUBSTITUTION, edits

Kind = Literal["equal", "substitute", "delete", "insert"]

KINDS: dict[int, Kind] = {SUBSTITUTION: "substitute", DELETION: "delete", INSERTION: "insert"}


@dataclass(frozen=True)
class EditSegment:
    """A stretch of one kind of edit.

    Both texts of a substitution are equally long; a deletion has no hypothesis, an insertion no
    reference.
    """

    kind: Kind
    reference: str
    hypothesis: str

    @property
    def errors(self) -> int:
        """Number of edits."""
        return 0 if self.kind == "equal" else max(len(self.reference), len(self.hypothesis))


def segments(reference: str, hypothesis: str) -> tuple[EditSegment, ...]:
    """Returns the edit alignment that is counted, from the beginning to the end of both texts."""
    found = []
    begin = begin_found = 0
    for kind, stretch in groupby(_adjoining(reference, hypothesis), key=itemgetter(0)):
        *_, (_, end, end_found) = stretch
        found.append(EditSegment(kind, reference[begin:end], hypothesis[begin_found:end_found]))
        begin, begin_found = end, end_found
    return tuple(found)


def _adjoining(reference: str, hypothesis: str) -> Iterator[tuple[Kind, int, int]]:
    """Yields the kind of each step through both texts, and where it ends in each."""
    done = 0
    for kind, begin, begin_found in edits(reference, hypothesis):
        if begin > done:
            yield "equal", begin, begin_found
        done = begin + (kind != INSERTION)
        yield KINDS[kind], done, begin_found + (kind != DELETION)
    if done < len(reference):
        yield "equal", len(reference), len(hypothesis)


def marked(found: Iterable[EditSegment]) -> str:
    """Returns one line without colours, in the notation of GNU wdiff: `[-왔-]{+왓+}어요`."""
    return "".join(
        segment.reference
        if segment.kind == "equal"
        else (f"[-{segment.reference}-]" if segment.reference else "")
        + (f"{{+{segment.hypothesis}+}}" if segment.hypothesis else "")
        for segment in found
    )
