"""The parts of the page: verdicts, facts, tables that sort, confusions and records.

`breakdown` makes the tables that show where systems differ.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from asrbench.analysis.confusions import Confusion
from asrbench.analysis.kinds import ErrorKinds
from asrbench.base.formatting import NONE, sentence
from asrbench.report.answer import is_judged
from asrbench.report.cells import VERDICT_STYLES, TableCell
from asrbench.report.columns import (
    COSTS_TABLE,
    RESULTS_TABLE,
    RUN_COLUMNS,
    RUNS_TABLE,
    TESTS_TABLE,
    columns_of,
)
from asrbench.report.page.other_tests import disagreements
from asrbench.report.study import Study, StudySystem
from asrbench.stats.verdicts import Verdict

MINUS, DASH = "−", "–"
TEXT_HEADS = ("verdict", "in words", "failure")
"""Heads of columns that hold text, which are aligned to the left."""


def typeset(cell: TableCell) -> str:
    """Returns the text of a cell in the typography of a page: its sign, minus signs and dashes."""
    text = DASH if cell.text == NONE else cell.text
    if isinstance(cell.value, int | float):
        text = text.replace("-", MINUS)
    return f"{cell.sign} {text}" if cell.sign else text


def visible(text: str) -> str:
    """Returns the text with visible spaces."""
    return text.replace(" ", "␣")


# Verdicts and facts


@dataclass(frozen=True)
class VerdictLine:
    """A verdict as a sentence: `system` `verb` `word` `other`."""

    style: str
    sign: str
    system: str
    verb: str
    word: str
    other: str
    reason: str
    other_tests: str
    """Why another test disagrees; empty if none does."""


_SENTENCES = {
    Verdict.BETTER: (" is", "than {}"),
    Verdict.WORSE: (" is", "than {}"),
    Verdict.EQUIVALENT: (" is", "to {}"),
    Verdict.NO_EVIDENCE: (":", "to {}"),
    Verdict.BETTER_MODELS: (":", "(baseline {})"),
    Verdict.WORSE_MODELS: (":", "(baseline {})"),
    Verdict.TWO_SEEDS: (":", "(baseline {})"),
    Verdict.FEW_SPEAKERS: (":", "(baseline {})"),
    Verdict.NOT_TRAINED: (" is", ""),
    Verdict.NOT_COMPARABLE: (" is", "with {}"),
}
"""The words before and after each verdict."""


def facts(study: Study) -> list[tuple[str, str]]:
    """Returns the data behind every figure of the page."""
    folds = f"the whole corpus, by {study.folds} folds" if study.folds else None
    return [
        ("corpus", f"{study.corpus.name} ({study.corpus.fingerprint[:8]})"),
        ("split", folds or study.split),
        ("utterances", f"{study.utterances:,}"),
        ("speakers", f"{study.speakers:,}" if study.speakers else "not known"),
        (f"N ({study.unit}s)", f"{study.n:,}"),
        ("profile", f"{study.profile}: {study.profile_words}"),
        ("seeds", ", ".join(map(str, study.seeds))),
        ("bootstrap", f"{study.replicates:,} replicates"),
    ]


def verdicts(study: Study) -> list[VerdictLine]:
    """Returns the verdict on each system that has one."""
    other_tests = disagreements(study)
    return [
        _verdict_line(system, system.verdict, study.baseline, other_tests.get(system.label, ""))
        for system in study.all_systems
        if system.verdict is not None
    ]


def _verdict_line(
    system: StudySystem, verdict: Verdict, baseline: str, other_tests: str
) -> VerdictLine:
    verb, other = _SENTENCES[verdict]
    look = VERDICT_STYLES[verdict]
    return VerdictLine(
        *(look.style, look.sign, system.label, verb),
        *(verdict.value, other.format(baseline), sentence(system.reason), other_tests),
    )


# Tables


@dataclass(frozen=True)
class ColumnHead:
    """The head of a column; `means` is its tooltip."""

    text: str
    means: str = ""

    @property
    def is_text(self) -> bool:
        return self.text in TEXT_HEADS


@dataclass(frozen=True)
class Table:
    """A table of the page. The first column names the row."""

    name: str
    title: str
    caption: str
    heads: tuple[ColumnHead, ...]
    rows: tuple[tuple[TableCell, ...], ...]


def results(study: Study) -> Table:
    """Returns the main table: one row per system, all seeds."""
    caption = "Click a heading, or press Enter on it, to sort."
    return _table(study, "results", "Results", caption, RESULTS_TABLE, study.all_systems)


def further(study: Study) -> list[Table]:
    """Returns the tables that the page folds: tests, cost and runs."""
    judged = [system for system in study.systems if system.difference and is_judged(system)]
    caption = "Each system that is judged, against the baseline."
    return [
        _table(study, "tests", "Tests", caption, TESTS_TABLE, judged),
        _table(
            study,
            "costs",
            "Cost",
            "Times are means over runs; memory is the maximum.",
            COSTS_TABLE,
            study.all_systems,
        ),
        _runs(study),
    ]


def _table(
    study: Study,
    name: str,
    title: str,
    caption: str,
    names: Sequence[str],
    systems: Sequence[StudySystem],
) -> Table:
    columns = columns_of(study, names, join_seeds=False)
    heads = tuple(ColumnHead(column.head, column.means) for column in columns)
    rows = tuple(tuple(column.cell(system) for column in columns) for system in systems)
    return Table(name, title, caption, heads, rows)


def _runs(study: Study) -> Table:
    columns = [RUN_COLUMNS[name] for name in RUNS_TABLE]
    rows = tuple(
        tuple(column.cell(system, run) for column in columns)
        for system in study.all_systems
        for run in system.runs
    )
    heads = tuple(ColumnHead(column.head, column.means) for column in columns)
    return Table("runs", "Runs", "All runs of every system.", heads, rows)


# Confusions


@dataclass(frozen=True)
class ConfusionGroup:
    """The most frequent confusions of one kind, with visible spaces."""

    name: str
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True)
class SystemConfusions:
    system: str
    groups: tuple[ConfusionGroup, ...]


def confusions(study: Study) -> list[SystemConfusions]:
    """Returns the most frequent confusions of each system."""
    kinds = study.findings.kinds if study.findings else {}
    return [SystemConfusions(label, tuple(_groups(each))) for label, each in kinds.items()]


def _groups(kinds: ErrorKinds) -> Iterator[ConfusionGroup]:
    named = {
        "substituted": kinds.confusions.substituted,
        "deleted": kinds.confusions.deleted,
        "inserted": kinds.confusions.inserted,
    }
    if jamo := kinds.jamo:
        named |= {
            "onsets of syllables": jamo.onset.confusions,
            "vowels of syllables": jamo.vowel.confusions,
            "codas of syllables": jamo.coda.confusions,
        }
    for name, found in named.items():
        if found:
            yield ConfusionGroup(name, tuple(map(_visible_confusion, found)))


def _visible_confusion(found: Confusion) -> Confusion:
    reference, hypothesis = visible(found.reference), visible(found.hypothesis)
    return replace(found, reference=reference, hypothesis=hypothesis)


# Records


@dataclass(frozen=True)
class SharedText:
    """A text that several runs share."""

    runs: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Records:
    """Specs and environments, equal ones once."""

    specs: tuple[SharedText, ...]
    trained: tuple[SharedText, ...]
    """Environments of training."""
    decoded: tuple[SharedText, ...]
    """Environments of decoding, of the runs that recorded them."""


def records(study: Study) -> Records:
    """Returns the specs and environments of all runs."""
    return Records(
        _shared((spec.run, spec.yaml) for spec in study.specs),
        _shared((each.run, _lines(each.values)) for each in study.environments),
        _shared(
            (run.run + system.label.removeprefix(system.variant), _lines(run.decoded_by))
            for system in study.all_systems
            for run in system.runs
            if run.decoded_by is not None
        ),
    )


def _lines(values: dict[str, Any]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in values.items())


def _shared(pairs: Iterable[tuple[str, str]]) -> tuple[SharedText, ...]:
    ordered = sorted(dict.fromkeys(pairs), key=lambda pair: pair[1])
    found = [
        SharedText(tuple(run for run, _ in group), text)
        for text, group in groupby(ordered, lambda pair: pair[1])
    ]
    return tuple(sorted(found, key=lambda each: (each.runs, each.text)))
