"""Error rates of many runs on one test set, counted on all cores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from asrbench.base.process_map import process_map
from asrbench.scoring.score import Edits, ErrorCounts, Forms, Measures, Texts, why_untrained
from asrbench.text.profiles import Unit

MEASURE_OF: Mapping[Unit, str] = {"character": "characters", "word": "words"}
"""What of `Measures` a unit counts."""

MEASURES = {"cer": "characters", "wer": "words", "swer": "spaced_words", "jer": "jamo"}
"""Name of each error rate, and what of `Measures` it counts."""

MANY = 50_000
"""Hypotheses, about a second's work: more are worth a process a core."""


@dataclass(frozen=True)
class Run:
    """One training run of a system, or the one there is. Measures are named as in `Measures`."""

    expected: Forms
    """Of the references."""
    texts: Texts
    """The hypotheses."""
    profile: str
    rates: Mapping[str, float]
    """Of every measure."""
    counted: str
    """The measure of the unit compared."""
    counts: ErrorCounts
    """Of that."""
    failure: str | None
    """Why it counts as one that never learned, if it does."""

    @cached_property
    def measures(self) -> Measures:
        return Measures(self.expected, Forms.of(self.texts, self.profile))

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
    references: Texts, systems: Mapping[str, Sequence[Texts]], profile: str, unit: Unit
) -> dict[str, tuple[Run, ...]]:
    """The runs of each system, counted under `profile`."""
    expected, counted = Forms.of(references, profile), MEASURE_OF[unit]
    work = partial(_counted, expected, profile, counted)
    hypotheses = [texts for system in systems.values() for texts in system]
    many = len(hypotheses) * len(references) >= MANY
    found = iter(process_map(work, hypotheses) if many else map(work, hypotheses))

    def run(texts: Texts) -> Run:
        rates, counts = next(found)
        failure = why_untrained(rates["characters"], references, texts)
        return Run(expected, texts, profile, rates, counted, counts, failure)

    return {label: tuple(map(run, each)) for label, each in systems.items()}


def _counted(
    expected: Forms, profile: str, measure: str, texts: Texts
) -> tuple[dict[str, float], ErrorCounts]:
    """All rates of a run, and the edits of one `measure`."""
    measures = Measures(expected, Forms.of(texts, profile))
    rates = {each: edits_of(measures, each).rate for each in MEASURES.values()}
    return rates, edits_of(measures, measure).total


def edits_of(measures: Measures, measure: str) -> Edits:
    """Of the measure of that name."""
    edits: Edits = getattr(measures, measure)
    return edits
