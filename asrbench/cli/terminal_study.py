"""A study on the terminal: the answer, the tables, the verdicts, and utterances that differ."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from asrbench.analysis.utterances import UtteranceErrors
from asrbench.cli.terminal import print_table, print_text, printable
from asrbench.cli.terminal_aligned import aligned
from asrbench.report import tables
from asrbench.report.answer import answer
from asrbench.report.study import Study
from asrbench.stats.verdicts import Verdict

COLOURS = {
    Verdict.BETTER: "green",
    Verdict.WORSE: "red",
    Verdict.EQUIVALENT: "blue",
    Verdict.NO_EVIDENCE: "dim",
}
"""The colours of verdicts, whose words say the same. Others have none."""
CELL_COLOURS = {verdict.short: colour for verdict, colour in COLOURS.items()}
PHRASE_COLOURS = {verdict.value: colour for verdict, colour in COLOURS.items()}


def print_studies(studies: Sequence[Study], utterances: int = 0) -> None:
    """Prints every study with its tables, and what all of them have in common at the end.

    Of each system that has a difference, that many of the largest wins and losses are shown.
    """
    shared = tables.Remarks.shared(studies)
    for study in studies:
        _print_answer(study, studies)
        print_text("")
        _print_tables(study)
        _print_verdicts(study)
        _print_remarks(tables.Remarks.of(study).without(shared))
        if utterances and study.findings:
            _print_utterances(study, study.findings.utterances, utterances)
        print_text("")
    _print_remarks(shared)


def print_verdicts(studies: Sequence[Study]) -> None:
    """Prints the answer of every study and the verdict on each system."""
    for study in studies:
        _print_answer(study, studies)
        _print_verdicts(study)


def _print_answer(study: Study, studies: Sequence[Study]) -> None:
    lead = f"{study.split}: " if studies[1:] else ""
    print_text(lead + answer(study), style="bold")


def _print_tables(study: Study) -> None:
    print_text(study.title)
    print_table(*tables.rates(study))
    if study.all_systems[1:] and study.replicates:
        print_text(f"Against {study.baseline}")
        print_table(*tables.differences(study), styles=CELL_COLOURS)


def _print_verdicts(study: Study) -> None:
    for line in tables.verdicts(study):
        print_text(line, lead="- ", styles=PHRASE_COLOURS)


def _print_remarks(remarks: tables.Remarks) -> None:
    for line in remarks.legend:
        print_text(line)
    for note in remarks.notes:
        print_text(f"note: {note}")


# Utterances


def _print_utterances(study: Study, found: Sequence[UtteranceErrors], count: int) -> None:
    """Prints the largest wins and losses of every system that has a difference."""
    console = Console(highlight=False)
    for system in study.systems[1:]:
        if system.difference is None:
            continue
        label = system.label
        ordered = sorted(found, key=lambda each: each.differences[label])
        wins = [each for each in ordered if each.differences[label] < 0][:count]
        losses = [each for each in reversed(ordered) if each.differences[label] > 0][:count]
        for what, chosen in (("wins", wins), ("losses", losses)):
            console.print(Text(f"Largest {what} of {printable(label)}"), style="bold")
            for each in chosen:
                _print_utterance(each, study.baseline, label, console)


def _print_utterance(found: UtteranceErrors, baseline: str, label: str, console: Console) -> None:
    """Prints the reference and the hypotheses of the first seed of both systems, aligned."""
    width = max(map(len, (baseline, label, "reference")))
    change = f"{found.differences[label]:+.1f} errors"
    console.print(Text(f"{printable(found.id)}  {change}"), soft_wrap=True)
    console.print(Text(f"  {'reference':{width}}  {printable(found.reference)}"), soft_wrap=True)
    for each in (baseline, label):
        line = Text(f"  {printable(each):{width}}  ") + aligned(
            found.systems[each][0].segments, console
        )
        console.print(line, soft_wrap=True)
