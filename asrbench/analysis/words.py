"""Where in a word errors fall: at its edges or inside."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from asrbench.analysis.alignment import INSERTION
from asrbench.analysis.pairs import Pairs
from asrbench.stats.blocks import Ints
from asrbench.text.normal_form import normalise


@dataclass(frozen=True)
class Edges:
    """Characters of the references, spaces aside, that were substituted or deleted: the first and
    the last of each word, and those between. What was inserted stands at neither."""

    edge_errors: int
    edge_symbols: int
    inside_errors: int
    inside_symbols: int

    @property
    def share(self) -> float | None:
        """Of these errors, those at edges. None without an error."""
        return _ratio(self.edge_errors, self.edge_errors + self.inside_errors)

    @property
    def expected(self) -> float | None:
        """Of these characters, those at edges: the share if errors fell anywhere alike."""
        return _ratio(self.edge_symbols, self.edge_symbols + self.inside_symbols)

    @property
    def edge_rate(self) -> float | None:
        return _ratio(self.edge_errors, self.edge_symbols)

    @property
    def inside_rate(self) -> float | None:
        return _ratio(self.inside_errors, self.inside_symbols)

    def plain(self) -> dict[str, Any]:
        return {
            "edge_errors": self.edge_errors,
            "edge_symbols": self.edge_symbols,
            "inside_errors": self.inside_errors,
            "inside_symbols": self.inside_symbols,
            "share": self.share,
            "expected": self.expected,
            "edge_rate": self.edge_rate,
            "inside_rate": self.inside_rate,
        }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True, eq=False)
class Places:
    """Characters at edges of words and inside, and errors at them. Spaces are neither."""

    edge_symbols: int
    """In the references of one run."""
    inside_symbols: int
    edge_errors_P: Ints
    inside_errors_P: Ints

    @classmethod
    def of(cls, pairs: Pairs) -> "Places | None":
        """None where no word ends but with its reference: then nothing was said of words."""
        if not any(" " in words for _, words in pairs.different):
            return None
        places_D = [_places(*texts) for texts in pairs.different]
        in_reference = pairs.edits.kind_E != INSERTION
        pair_E, place_E = pairs.edits.pair_E[in_reference], pairs.place_E[in_reference]

        def counts(place: bool) -> tuple[int, Ints]:
            here_D = np.array([places.count(place) for places in places_D], dtype=np.int64)
            here_C = np.array([each is place for places in places_D for each in places], dtype=bool)
            errors_P = np.bincount(pair_E[here_C[place_E]], minlength=len(pairs))
            return int(here_D[pairs.reference_U].sum()), errors_P.astype(np.int64)

        (edge, edge_errors_P), (inside, inside_errors_P) = counts(True), counts(False)
        return cls(edge, inside, edge_errors_P, inside_errors_P)

    def edges(self, pair_SU: Ints) -> Edges:
        """Of all runs of one system."""
        return Edges(
            int(self.edge_errors_P[pair_SU].sum()),
            len(pair_SU) * self.edge_symbols,
            int(self.inside_errors_P[pair_SU].sum()),
            len(pair_SU) * self.inside_symbols,
        )


def _places(reference: str, words: str) -> list[bool | None]:
    """Of each character: whether it is the first or last of a word; None for a space."""
    if " " in reference:
        return [
            place
            for word in reference.split(" ")
            for place in (None, *(i in (0, len(word) - 1) for i in range(len(word))))
        ][1:]
    edges, text = set(), ""
    for word in words.split():
        edges.add(len(text))
        # Without the space between them, the end of one and the next may compose.
        text = normalise(text + word)
        edges.add(len(text) - 1)
    return [i in edges for i in range(len(reference))]
