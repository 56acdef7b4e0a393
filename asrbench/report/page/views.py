"""The parts of the page: verdicts, facts, tables that sort, confusions and records."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from asrbench.analysis.confusions import Confusion
from asrbench.analysis.kinds import ErrorKinds
from asrbench.analysis.lengths import ByLength
from asrbench.base.formatting import NONE, points, sentence
from asrbench.report.cells import (
    VERDICT_STYLES,
    TableCell,
    number_cell,
    p_cell,
    percent_cell,
    text_cell,
)
from asrbench.report.columns import (
    COSTS_TABLE,
    RESULTS_TABLE,
    RUN_COLUMNS,
    RUNS_TABLE,
    TESTS_TABLE,
    columns_of,
)
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
    return [
        ("corpus", f"{study.corpus.name} ({study.corpus.fingerprint[:8]})"),
        ("split", study.split),
        ("utterances", f"{study.utterances:,}"),
        ("speakers", f"{study.speakers:,}" if study.speakers else "not known"),
        (f"N ({study.unit}s)", f"{study.n:,}"),
        ("profile", f"{study.profile}: {study.profile_words}"),
        ("seeds", ", ".join(map(str, study.seeds))),
        ("bootstrap", f"{study.replicates:,} replicates"),
    ]


def verdicts(study: Study) -> list[VerdictLine]:
    """Returns the verdict on each system that has one."""
    return [
        _verdict_line(system, system.verdict, study.baseline)
        for system in study.all_systems
        if system.verdict is not None
    ]


def _verdict_line(system: StudySystem, verdict: Verdict, baseline: str) -> VerdictLine:
    verb, other = _SENTENCES[verdict]
    look = VERDICT_STYLES[verdict]
    return VerdictLine(
        *(look.style, look.sign, system.label, verb),
        *(verdict.value, other.format(baseline), sentence(system.reason)),
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
    compared = [system for system in study.systems if system.difference is not None]
    caption = "Each system against the baseline."
    return [
        _table(study, "tests", "Tests", caption, TESTS_TABLE, compared),
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


# Where systems differ


def breakdown(study: Study) -> list[Table]:
    """Returns error rates by length, by kind and by speaker."""
    if study.findings is None:
        return []
    lengths = study.findings.lengths
    tables = [
        *([_lengths("duration", lengths.duration)] if lengths.duration else []),
        _lengths("reference length", lengths.reference_length),
        _kinds(study.findings.kinds),
        _speakers(study),
    ]
    return [table for table in tables if table.rows]


def _lengths(name: str, found: ByLength) -> Table:
    heads = (
        ColumnHead("variant"),
        *(
            ColumnHead(
                f"{each.low:.3g}{DASH}{each.high:.3g}", f"{each.utterances:,} utterances, CER %"
            )
            for each in found.bins
        ),
        ColumnHead(f"per {found.unit}", "how the difference to the baseline changes, in points"),
        ColumnHead("p Holm", "p-value of that change, corrected for all variants"),
        ColumnHead("in words"),
    )

    def row(label: str) -> Iterator[TableCell]:
        change = found.interactions.get(label)
        yield text_cell(label)
        for each in found.bins:
            yield percent_cell(each.systems[label].cer)
        yield number_cell(change.slope if change else None, lambda slope: points(slope, digits=3))
        yield p_cell(change.holm_p if change else None)
        yield text_cell(change.words if change else None, "words")

    return Table(
        f"by-{name.replace(' ', '-')}",
        f"By {name}",
        f"CER in percent, in bins of {name} ({found.unit}s).",
        heads,
        tuple(tuple(row(label)) for label in (found.bins[0].systems if found.bins else ())),
    )


def _kinds(found: dict[str, ErrorKinds]) -> Table:
    heads = (
        ColumnHead("variant"),
        ColumnHead("substituted", "percent of reference characters"),
        ColumnHead("deleted", "percent of reference characters"),
        ColumnHead("inserted", "percent of reference characters"),
        ColumnHead("at word edges", "percent of first and last characters of words that are wrong"),
        ColumnHead("within words", "percent of the other characters of words that are wrong"),
        ColumnHead("spaces", "percent of spaces that are wrong"),
        ColumnHead("empty", "hypotheses without a character, of all runs"),
        ColumnHead("looped", "hypotheses that repeat themselves where the reference does not"),
        ColumnHead("truncated", "hypotheses whose end is missing"),
    )
    return Table(
        "kinds",
        "By kind",
        "In percent, over all seeds of a variant; the last three columns count hypotheses.",
        heads,
        tuple(tuple(_kinds_row(label, kinds)) for label, kinds in found.items()),
    )


def _kinds_row(label: str, kinds: ErrorKinds) -> Iterator[TableCell]:
    edges, spaces, hypotheses = kinds.edges, kinds.spaces, kinds.hypotheses
    yield text_cell(label)
    for count in (kinds.substitutions, kinds.deletions, kinds.insertions):
        yield percent_cell(count / kinds.n if kinds.n else None)
    yield percent_cell(edges.edge_rate if edges else None)
    yield percent_cell(edges.inner_rate if edges else None)
    yield percent_cell(spaces.errors / spaces.n if spaces and spaces.n else None)
    for count in (hypotheses.empty, hypotheses.looped, hypotheses.truncated):
        yield number_cell(count, ",d")


def _speakers(study: Study) -> Table:
    labels = [system.label for system in study.systems]
    speakers = (study.findings and study.findings.speakers) or ()
    heads = (
        *(ColumnHead("speaker"), ColumnHead("utterances"), ColumnHead("N (characters)")),
        *(ColumnHead(label, "CER %, mean over seeds") for label in labels),
    )
    rows = tuple(
        (
            text_cell(each.speaker or "not known"),
            number_cell(each.utterances, ",d"),
            number_cell(each.n, ",d"),
            *(percent_cell(each.cer.get(label)) for label in labels),
        )
        for each in speakers
    )
    return Table("speakers", "By speaker", "CER in percent.", heads, rows)


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
    environments: tuple[SharedText, ...]


def records(study: Study) -> Records:
    """Returns the specs and environments of all runs."""
    return Records(
        _shared((spec.run, spec.yaml) for spec in study.specs),
        _shared(
            (each.run, "\n".join(f"{key}: {value}" for key, value in each.values.items()))
            for each in study.environments
        ),
    )


def _shared(pairs: Iterable[tuple[str, str]]) -> tuple[SharedText, ...]:
    ordered = sorted(dict.fromkeys(pairs), key=lambda pair: pair[1])
    found = [
        SharedText(tuple(run for run, _ in group), text)
        for text, group in groupby(ordered, lambda pair: pair[1])
    ]
    return tuple(sorted(found, key=lambda each: (each.runs, each.text)))
