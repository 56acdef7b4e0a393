"""Error rates of many runs on one test set, counted on all cores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from asrbench.cores import over_cores
from asrbench.profiles import Unit
from asrbench.score import Edits, ErrorCounts, Forms, Measures, Texts, why_untrained

MEASURE_OF: Mapping[Unit, str] = {"character": "characters", "word": "words"}
"""What of `Measures` a unit counts."""

MEASURES = {"cer": "characters", "wer": "words", "swer": "spaced_words", "jer": "jamo"}
"""Name of each error rate, and what of `Measures` it counts."""

MANY = 50_000
"""Hypotheses, about a second's work: more are worth a process a core."""


@dataclass(frozen=True)
class Run:
    """One training run of a system, or the one there is. Measures are named as in `Measures`."""

    measures: Measures
    rates: Mapping[str, float]
    """Of every measure."""
    counted: str
    """The measure of the unit compared."""
    counts: ErrorCounts
    """Of that."""
    failure: str | None
    """Why it counts as one that never learned, if it does."""

    @property
    def edits(self) -> Edits:
        """Of the unit compared, utterance by utterance."""
        return edits_of(self.measures, self.counted)

    def counts_of(self, measure: str) -> ErrorCounts:
        return self.counts if measure == self.counted else edits_of(self.measures, measure).total

    def plain(self) -> dict[str, Any]:
        rates = {name: self.rates[measure] for name, measure in MEASURES.items()}
        return {
            "rate": self.counts.rate,
            **rates,
            **self.counts.plain(),
            "failure": self.failure,
        }


def runs_of(
    references: Texts,
    expected: Forms,
    systems: Mapping[str, Sequence[Texts]],
    forms: Mapping[str, Sequence[Forms]],
    unit: Unit,
) -> dict[str, tuple[Run, ...]]:
    """The runs of each system. `expected` are the forms of the references, `forms` those of the
    hypotheses in `systems`, under one profile."""
    counted = MEASURE_OF[unit]
    hypotheses = [each for system in forms.values() for each in system]
    work = partial(_counted, expected, counted)
    many = len(hypotheses) * len(references) >= MANY
    found = iter(over_cores(work, hypotheses) if many else map(work, hypotheses))

    def run(hypotheses: Forms, texts: Texts) -> Run:
        rates, counts = next(found)
        failure = why_untrained(rates["characters"], references, texts)
        return Run(Measures(expected, hypotheses), rates, counted, counts, failure)

    return {label: tuple(map(run, each, systems[label])) for label, each in forms.items()}


def _counted(
    references: Forms, measure: str, hypotheses: Forms
) -> tuple[dict[str, float], ErrorCounts]:
    """All rates of a run, and the edits of one `measure`."""
    measures = Measures(references, hypotheses)
    rates = {each: edits_of(measures, each).rate for each in MEASURES.values()}
    return rates, edits_of(measures, measure).total


def edits_of(measures: Measures, measure: str) -> Edits:
    """Of the measure of that name."""
    edits: Edits = getattr(measures, measure)
    return edits
