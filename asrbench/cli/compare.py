"""`asrbench compare`: rates, differences and verdicts of the variants of a study."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from asrbench.base.errors import UserError
from asrbench.base.formatting import counted
from asrbench.base.memory import uncollected
from asrbench.cli.options import MOST_REPLICATES
from asrbench.cli.terminal import echo, echo_json, print_table, printable
from asrbench.text.profiles import ProfileName, Unit

if TYPE_CHECKING:
    from asrbench.analysis.utterances import UtteranceErrors
    from asrbench.report.study import Study


def compare(
    paths: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of runs.")],
    baseline: Annotated[
        str | None,
        typer.Option(help="Variant, or row, to compare with; the default is ds2, else the first."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split; the default is test, else the first other one that is scored."),
    ] = None,
    profile: Annotated[
        ProfileName | None, typer.Option(help="Scoring profile; the default is that of each run.")
    ] = None,
    unit: Annotated[
        Unit, typer.Option(help="Compare character errors (CER) or word errors (WER).")
    ] = "character",
    replicates: Annotated[
        int,
        typer.Option(
            min=0, max=MOST_REPLICATES, help="Bootstrap replicates; 0 gives the rates only."
        ),
    ] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    margin: Annotated[
        float | None,
        typer.Option(
            help="Largest difference that does not matter, in points; the default is that of the "
            "specs.",
        ),
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VARIANT",
            help="A variant that is a control, no part of the family that p-values are corrected "
            "for; ds2_wide and ds2_timed are.",
        ),
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW",
            help="Compare these rows only, each a model with its search, whatever the search of "
            "the baseline is: 'ds2_crossattn [joint]'; the default is that of the specs.",
        ),
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Prepared corpus, for audio in the report.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for tables, figures and report; the default is the first DIR."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the study as JSON, and write nothing.")
    ] = False,
    utterances: Annotated[
        int,
        typer.Option(min=0, help="Show this many of the largest wins and losses per variant."),
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only the verdicts.")] = False,
    paper: Annotated[bool, typer.Option("--paper", help="Write figures as PDF, too.")] = False,
) -> None:
    """Compare the variants of a study with a baseline.

    Prints the error rate of every variant and seed, confidence intervals, the difference to the
    baseline with a verdict, and the cost. Writes tables, figures and an HTML report.
    """
    from asrbench.base.records import to_json
    from asrbench.stages.compare.study import study_of, write

    with uncollected():
        study = study_of(
            paths, baseline, split, profile, unit, replicates, seed, margin, control or (), system
        )
    if as_json:
        echo_json(to_json(study))
        _fail_if_damaged(study)
        return
    if not quiet:
        _print_tables(study)
    _print_words(study, quiet)
    if utterances and study.findings:
        _print_utterances(study, study.findings.utterances, utterances)
    for path in write(study, out or paths[0], corpus, paper=paper):
        if not quiet:
            echo(f"wrote {path}")
    _fail_if_damaged(study)


def _fail_if_damaged(study: "Study") -> None:
    """Raises `UserError`, after everything else is done, if a run was left out as damaged."""
    if study.damaged:
        lacking = counted(len(study.damaged), "run")
        raise UserError(f"the study lacks {lacking}: {study.damaged[0]}")


def _print_tables(study: "Study") -> None:
    from asrbench.report import tables

    print_table(*tables.rates(study), title=study.title)
    if study.all_systems[1:] and study.replicates:
        print_table(*tables.differences(study), title=f"Against {study.baseline}")


def _print_words(study: "Study", quiet: bool) -> None:
    from asrbench.report import tables

    for line in tables.verdicts(study):
        echo(f"- {line}")
    if not quiet:
        for line in study.legend:
            echo(line)
        for note in study.all_notes:
            echo(f"note: {note}")


def _print_utterances(study: "Study", found: "Sequence[UtteranceErrors]", count: int) -> None:
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


def _print_utterance(found: "UtteranceErrors", baseline: str, label: str, console: Console) -> None:
    """Prints the reference and the hypotheses of the first seed of both systems, aligned."""
    from asrbench.cli.terminal_aligned import aligned

    width = max(map(len, (baseline, label, "reference")))
    change = f"{found.differences[label]:+.1f} errors"
    console.print(Text(f"{printable(found.id)}  {change}"), soft_wrap=True)
    console.print(Text(f"  {'reference':{width}}  {printable(found.reference)}"), soft_wrap=True)
    for each in (baseline, label):
        line = Text(f"  {printable(each):{width}}  ") + aligned(
            found.systems[each][0].segments, console
        )
        console.print(line, soft_wrap=True)
