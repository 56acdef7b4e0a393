"""Error rates of many runs on one test set, computed on all cores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from asrbench.base.process_map import process_map
from asrbench.scoring.counted_text import CountedReferences, Texts
from asrbench.scoring.edit_counts import Edits, ErrorCounts, RunEdits
from asrbench.scoring.score import score_counted
from asrbench.scoring.untrained import why_untrained
from asrbench.text.profiles import Unit

MEASURE_OF: Mapping[Unit, str] = {"character": "characters", "word": "words"}
"""The attribute of `RunEdits` that counts each unit."""

MEASURES = {"cer": "characters", "wer": "words", "swer": "spaced_words", "jer": "jamo"}
"""The attribute of `RunEdits` that each error rate is computed from: its measure."""

MANY = 50_000
"""Number of hypotheses, about a second of work, from which on a process per core pays off."""

Counts = Mapping[str, ErrorCounts]
"""Numbers of edits by measure."""


@dataclass(frozen=True)
class CountedRun:
    """The hypotheses of one run, or of a system that has no runs, and their error rates."""

    references: CountedReferences
    texts: Texts
    """The hypotheses."""
    rates: Mapping[str, float]
    """The error rate of every measure."""
    measure: str
    """The measure by which systems are compared."""
    known: Counts
    """Counts that were made along with the rates, those of `measure` among them."""
    failure: str | None
    """Why the model counts as not trained, or None if it is trained."""

    @property
    def counts(self) -> ErrorCounts:
        """Numbers of edits of the measure by which systems are compared."""
        return self.known[self.measure]

    @cached_property
    def run_edits(self) -> RunEdits:
        """Edits of every measure, which are counted when they are asked for."""
        return RunEdits(self.references, self.references.hypotheses(self.texts))

    @property
    def edits(self) -> Edits:
        """Edits of each utterance, of the measure by which systems are compared."""
        return edits_of(self.run_edits, self.measure)

    def counts_of(self, measure: str) -> ErrorCounts:
        """Returns the numbers of edits of any measure."""
        return self.known.get(measure) or edits_of(self.run_edits, measure).total

    def plain(self) -> dict[str, Any]:
        """Returns the figures of the run as `--json` prints them."""
        rates = {name: self.rates[measure] for name, measure in MEASURES.items()}
        return {
            "rate": self.counts.rate,
            **rates,
            **self.counts.plain(),
            "failure": self.failure,
        }


def runs_of(
    references: Texts,
    systems: Mapping[str, Sequence[Texts]],
    profile: str,
    unit: Unit,
    other_side: Texts | None = None,
) -> dict[str, tuple[CountedRun, ...]]:
    """Returns the runs of each system, scored under `profile` and compared by `unit`.

    `other_side` is the column of `Profile.other_side_among`, if the corpus has it.
    A run that is alone is counted by jiwer, several by RapidFuzz, its engine, which is faster.
    """
    expected, measure = CountedReferences.of(references, profile, other_side), MEASURE_OF[unit]
    hypotheses = [texts for system in systems.values() for texts in system]
    count: Callable[[Texts], tuple[dict[str, float], Counts]]
    if len(hypotheses) == 1:
        count = partial(_by_jiwer, expected)
    else:
        count = partial(_by_rapidfuzz, expected, measure)
    many = len(hypotheses) * len(references) >= MANY
    found = iter(process_map(count, hypotheses) if many else map(count, hypotheses))

    def run(texts: Texts) -> CountedRun:
        rates, known = next(found)
        failure = why_untrained(rates["characters"], references, texts)
        return CountedRun(expected, texts, rates, measure, known, failure)

    return {label: tuple(map(run, each)) for label, each in systems.items()}


def untrained_fold(
    run: CountedRun, references: Texts, folds: Sequence[Sequence[int]]
) -> str | None:
    """Returns which of the `folds` has a model that counts as not trained, and why.

    `folds` are the places of their utterances. Returns None if all models are trained.
    """
    characters = run.run_edits.characters
    for number, places in enumerate(folds, start=1):
        chosen = list(places)
        cer = float(characters.errors_U[chosen].sum() / max(1, characters.n_U[chosen].sum()))
        expected, found = ([texts[i] for i in chosen] for texts in (references, run.texts))
        if failure := why_untrained(cer, expected, found):
            return f"fold {number} of {len(folds)}: {failure}"
    return None


def _by_jiwer(references: CountedReferences, texts: Texts) -> tuple[dict[str, float], Counts]:
    """Returns the rates and the counts of every measure."""
    found = score_counted(references, references.hypotheses(texts))
    known: Counts = {each: getattr(found, each) for each in MEASURES.values()}
    return {each: counts.rate for each, counts in known.items()}, known


def _by_rapidfuzz(
    references: CountedReferences, measure: str, texts: Texts
) -> tuple[dict[str, float], Counts]:
    """Returns the rates of every measure and the counts of `measure`."""
    run_edits = RunEdits(references, references.hypotheses(texts))
    rates = {each: edits_of(run_edits, each).rate for each in MEASURES.values()}
    return rates, {measure: edits_of(run_edits, measure).total}


def edits_of(run_edits: RunEdits, measure: str) -> Edits:
    """Returns the edits of the measure of that name."""
    edits: Edits = getattr(run_edits, measure)
    return edits
