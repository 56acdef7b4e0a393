"""One reference and one hypothesis side by side, in parts that are equal or differ."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Literal

from asrbench.analysis.alignment import DELETION, INSERTION, SUBSTITUTION, edits

Kind = Literal["equal", "substitute", "delete", "insert"]

KINDS: dict[int, Kind] = {SUBSTITUTION: "substitute", DELETION: "delete", INSERTION: "insert"}


@dataclass(frozen=True)
class Segment:
    """A stretch of one kind. Substituted parts are equally long; nothing stands against what is
    deleted or inserted."""

    kind: Kind
    reference: str
    hypothesis: str

    @property
    def errors(self) -> int:
        return 0 if self.kind == "equal" else max(len(self.reference), len(self.hypothesis))

    def plain(self) -> dict[str, str]:
        return {"kind": self.kind, "reference": self.reference, "hypothesis": self.hypothesis}


def segments(reference: str, hypothesis: str) -> tuple[Segment, ...]:
    """The alignment that is counted, from the beginning to the end of both texts."""
    found = []
    begin = heard = 0
    for kind, stretch in groupby(_adjoining(reference, hypothesis), key=itemgetter(0)):
        *_, (_, end, heard_end) = stretch
        found.append(Segment(kind, reference[begin:end], hypothesis[heard:heard_end]))
        begin, heard = end, heard_end
    return tuple(found)


def _adjoining(reference: str, hypothesis: str) -> Iterator[tuple[Kind, int, int]]:
    """The kind of each step through both texts, and where it ends in each."""
    done = 0
    for kind, begin, heard in edits(reference, hypothesis):
        if begin > done:
            yield "equal", begin, heard
        done = begin + (kind != INSERTION)
        yield KINDS[kind], done, heard + (kind != DELETION)
    if done < len(reference):
        yield "equal", len(reference), len(hypothesis)


def marked(parts: Iterable[Segment]) -> str:
    """As one line without colours, in the marks of GNU wdiff: `[-왔-]{+왓+}어요`."""
    return "".join(
        part.reference
        if part.kind == "equal"
        else (f"[-{part.reference}-]" if part.reference else "")
        + (f"{{+{part.hypothesis}+}}" if part.hypothesis else "")
        for part in parts
    )
