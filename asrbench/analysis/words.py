"""Errors at the edges of words and within them."""

from dataclasses import dataclass

import numpy as np

from asrbench.analysis.edit_alignment import INSERTION
from asrbench.analysis.pairs import Pairs
from asrbench.stats.blocks import Ints
from asrbench.text.normal_form import normalise


@dataclass(frozen=True)
class EdgeErrors:
    """Substituted and deleted characters at the edges of words and within them.

    The first and the last character of a word are its edges; the others are inner characters.
    Spaces and insertions are neither.
    """

    edge_errors: int
    edge_symbols: int
    inner_errors: int
    inner_symbols: int

    @property
    def share(self) -> float | None:
        """Share of these errors that are at edges; None without an error."""
        return _ratio(self.edge_errors, self.edge_errors + self.inner_errors)

    @property
    def expected(self) -> float | None:
        """Share of these characters that are at edges, which `share` would be without an effect."""
        return _ratio(self.edge_symbols, self.edge_symbols + self.inner_symbols)

    @property
    def edge_rate(self) -> float | None:
        return _ratio(self.edge_errors, self.edge_symbols)

    @property
    def inner_rate(self) -> float | None:
        return _ratio(self.inner_errors, self.inner_symbols)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True, eq=False)
class WordPlaces:
    """Edge and inner characters of words, and the errors at them. Spaces are neither."""

    edge_symbols: int
    """Edge characters in the references of one run."""
    inner_symbols: int
    edge_errors_P: Ints
    inner_errors_P: Ints

    @classmethod
    def of(cls, pairs: Pairs) -> "WordPlaces | None":
        """Counts both; None if every reference is one word, because then spaces may be unknown."""
        if not any(" " in words for _, words in pairs.different):
            return None
        places_D = [_places(*texts) for texts in pairs.different]
        in_reference = pairs.edits.kind_E != INSERTION
        pair_E, place_E = pairs.edits.pair_E[in_reference], pairs.reference_place_E[in_reference]

        def counts(place: bool) -> tuple[int, Ints]:
            here_D = np.array([places.count(place) for places in places_D], dtype=np.int64)
            here_C = np.array([each is place for places in places_D for each in places], dtype=bool)
            errors_P = np.bincount(pair_E[here_C[place_E]], minlength=len(pairs))
            return int(here_D[pairs.reference_U].sum()), errors_P.astype(np.int64)

        (edge, edge_errors_P), (inner, inner_errors_P) = counts(True), counts(False)
        return cls(edge, inner, edge_errors_P, inner_errors_P)

    def edges(self, pair_SU: Ints) -> EdgeErrors:
        """Returns the errors of one system, over all of its runs."""
        return EdgeErrors(
            int(self.edge_errors_P[pair_SU].sum()),
            len(pair_SU) * self.edge_symbols,
            int(self.inner_errors_P[pair_SU].sum()),
            len(pair_SU) * self.inner_symbols,
        )


def _places(reference: str, words: str) -> list[bool | None]:
    """Returns for each character whether it is at an edge of a word; None for a space."""
    if " " in reference:
        return [
            place
            for word in reference.split(" ")
            for place in (None, *(i in (0, len(word) - 1) for i in range(len(word))))
        ][1:]
    edges, text = set(), ""
    for word in words.split():
        edges.add(len(text))
        # Without the space between them, a character and the next may compose to one.
        text = normalise(text + word)
        edges.add(len(text) - 1)
    return [i in edges for i in range(len(reference))]
