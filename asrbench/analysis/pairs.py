"""All hypotheses of all runs with their references; every distinct pair is aligned once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from asrbench.analysis.edit_alignment import edits
from asrbench.scoring.counted_text import Texts
from asrbench.stats.blocks import Ints
from asrbench.text.normal_form import normalise


@dataclass(frozen=True, eq=False)
class PlacedEdits:
    """The edits of several pairs, one after another."""

    kind_E: Ints
    pair_E: Ints
    reference_E: Ints
    """Place in the reference of a substitution or deletion; an insertion stands before it."""
    hypothesis_E: Ints
    """Place in the hypothesis of a substitution or insertion; a deletion stands before it."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """The texts of a study and their edit alignments."""

    references: tuple[str, ...]
    words: tuple[str, ...]
    """The references with the spaces between words, whether spaces count or not."""
    runs: dict[str, Ints]
    """pair_SU of each system by label: the pair of each utterance in each run."""
    reference_U: Ints
    """The number of each utterance's reference among the distinct ones."""
    different: tuple[tuple[str, str], ...]
    """The D distinct references, each with its words."""
    reference_P: Ints
    hypotheses: tuple[str, ...]
    """The hypotheses of the P distinct pairs."""
    edits: PlacedEdits

    @classmethod
    def of(
        cls, references: Texts, systems: Mapping[str, Sequence[Texts]], words: Texts | None = None
    ) -> "Pairs":
        """Aligns the hypotheses of each run of each system, by label, with the references.

        All texts are as `score.counted` returns them under one profile, in any Unicode normal form.
        `words` are the references as `score.worded` returns them: where spaces do not count, only
        these show where words end. Raises `ValueError` for a system without a run, and if the
        numbers of texts differ.
        """
        tidy = tuple(map(normalise, references))
        spaced = tidy if words is None else tuple(map(normalise, words))
        numbers: dict[tuple[str, str], int] = {}
        reference_U = [
            numbers.setdefault(both, len(numbers)) for both in zip(tidy, spaced, strict=True)
        ]
        found: dict[tuple[int, str], int] = {}
        runs = {}
        for label, texts_S in systems.items():
            if not texts_S:
                raise ValueError(f"{label} has no run")
            runs[label] = np.array(
                [
                    [
                        found.setdefault((d, normalise(text)), len(found))
                        for d, text in zip(reference_U, texts, strict=True)
                    ]
                    for texts in texts_S
                ],
                dtype=np.int64,
            )
        different = tuple(numbers)
        placed = _placed((different[d][0], hypothesis) for d, hypothesis in found)
        return cls(
            references=tidy,
            words=spaced,
            runs=runs,
            reference_U=np.array(reference_U, dtype=np.int64),
            different=different,
            reference_P=np.array([d for d, _ in found], dtype=np.int64),
            hypotheses=tuple(hypothesis for _, hypothesis in found),
            edits=placed,
        )

    def __len__(self) -> int:
        """Number of distinct pairs, P."""
        return len(self.hypotheses)

    def texts(self, pair: int) -> tuple[str, str]:
        """Returns the reference and the hypothesis of a pair."""
        return self.different[self.reference_P[pair]][0], self.hypotheses[pair]

    # Counts

    @cached_property
    def symbols_U(self) -> Ints:
        """Reference characters of each utterance."""
        return np.array([len(text) for text in self.references], dtype=np.int64)

    @cached_property
    def errors_P(self) -> Ints:
        """Errors of each pair."""
        return np.bincount(self.edits.pair_E, minlength=len(self)).astype(np.int64)

    def errors(self, label: str) -> Ints:
        """Returns errors_SU of a system."""
        return np.asarray(self.errors_P[self.runs[label]])

    def mean_errors(self, label: str) -> npt.NDArray[np.float64]:
        """Returns errors_U of a system, averaged over its runs."""
        return np.asarray(self.errors(label).mean(axis=0))

    def weights(self, label: str) -> Ints:
        """Returns how often each of the P pairs is in the runs of a system."""
        return np.bincount(self.runs[label].ravel(), minlength=len(self)).astype(np.int64)

    # Characters, as code points of all texts one after another

    @cached_property
    def references_C(self) -> Ints:
        """Code points of the D distinct references."""
        return code_points(text for text, _ in self.different)

    @cached_property
    def hypotheses_C(self) -> Ints:
        """Code points of the P hypotheses."""
        return code_points(self.hypotheses)

    @cached_property
    def reference_place_E(self) -> Ints:
        """Place of each edit in `references_C`; without meaning for insertions."""
        begins_D = beginnings(len(text) for text, _ in self.different)
        return np.asarray(begins_D[self.reference_P[self.edits.pair_E]] + self.edits.reference_E)

    @cached_property
    def hypothesis_place_E(self) -> Ints:
        """Place of each edit in `hypotheses_C`; without meaning for deletions."""
        begins_P = beginnings(map(len, self.hypotheses))
        return np.asarray(begins_P[self.edits.pair_E] + self.edits.hypothesis_E)


def code_points(texts: Iterable[str]) -> Ints:
    """Returns the code points of all texts one after another."""
    coded = "".join(texts).encode("utf-32-le", "surrogatepass")
    return np.frombuffer(coded, dtype="<u4").astype(np.int64)


def beginnings(lengths: Iterable[int]) -> Ints:
    """Returns where each text begins if all stand one after another."""
    lengths_T = np.fromiter(lengths, dtype=np.int64)
    return np.cumsum(lengths_T) - lengths_T


def _placed(pairs: Iterable[tuple[str, str]]) -> PlacedEdits:
    found: list[int] = []
    ends = [0]
    for reference, hypothesis in pairs:
        for edit in edits(reference, hypothesis):
            found += edit
        ends.append(len(found) // 3)
    found_E3 = np.array(found, dtype=np.int64).reshape(-1, 3)
    counts_P = np.diff(ends)
    pair_E = np.repeat(np.arange(len(counts_P)), counts_P)
    return PlacedEdits(found_E3[:, 0], pair_E, found_E3[:, 1], found_E3[:, 2])
