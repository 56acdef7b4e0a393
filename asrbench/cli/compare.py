"""`asrbench compare`: verdicts on the variants of a study, and what stands behind them."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from asrbench.base.memory import uncollected
from asrbench.cli.terminal import print_table
from asrbench.report.tables import Document
from asrbench.text.profiles import ProfileName, Unit


def compare(
    paths: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of runs.")],
    baseline: Annotated[
        str | None, typer.Option(help="Variant to compare to; ds2 where there is one.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split; test where it was scored.")] = None,
    profile: Annotated[
        ProfileName | None, typer.Option(help="Count the hypotheses by this one.")
    ] = None,
    unit: Annotated[
        Unit, typer.Option(help="What errors are compared in: a CER or a WER.")
    ] = "character",
    replicates: Annotated[
        int, typer.Option(min=0, help="Of the bootstrap; 0 leaves the rates alone.")
    ] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    corpus: Annotated[
        Path | None, typer.Option(help="Corpus folder, for audio in the report.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for tables, figures and report; the first DIR.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the document, and write nothing.")
    ] = False,
    utterances: Annotated[
        int,
        typer.Option(min=0, help="Show so many of the largest wins and losses of each variant."),
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdicts alone.")] = False,
) -> None:
    """Say which variants are better or worse than the baseline, and how sure that is.

    Every variant and every seed, intervals, the difference to the baseline and a verdict, the
    cost; tables, figures and a page for the browser are left beside the runs.
    """
    from asrbench.stages.compare.comparison import comparison_of
    from asrbench.stages.compare.document import document, write

    with uncollected():
        comparison = comparison_of(paths, baseline, split, profile)
        found = document(comparison, unit=unit, replicates=replicates, seed=seed)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    if not quiet:
        _print_tables(found)
    _print_words(found, quiet)
    _print_utterances(found, utterances)
    for path in write(found, out or paths[0], corpus):
        if not quiet:
            typer.echo(f"wrote {path}")


def _print_tables(study: Document) -> None:
    from asrbench.report import tables

    print_table(*tables.rates(study), title=study["title"])
    if tables.shown(study)[1:] and study["replicates"]:
        print_table(*tables.differences(study), title=f"Against {study['baseline']}")


def _print_utterances(study: Document, count: int) -> None:
    """Reference, the baseline's hypothesis and the variant's, of the first seed of each."""
    console = Console(highlight=False)
    for system in study["systems"][1:]:
        label = system["label"]
        if not count or system["difference"] is None:
            continue
        rows = sorted(study["utterance_table"], key=lambda row: row["differences"][label])
        wins = [row for row in rows if row["differences"][label] < 0][:count]
        losses = [row for row in reversed(rows) if row["differences"][label] > 0][:count]
        for what, chosen in (("wins", wins), ("losses", losses)):
            console.print(f"Largest {what} of {label}", style="bold")
            for row in chosen:
                _print_utterance(row, (study["baseline"], label), console)


def _print_utterance(row: Document, labels: tuple[str, str], console: Console) -> None:
    from asrbench.analysis.segments import Segment
    from asrbench.cli.terminal_aligned import aligned, printable

    width = max(map(len, (*labels, "reference")))
    change = f"{row['differences'][labels[1]]:+.1f} errors"
    console.print(Text(f"{row['id']}  {change}"), soft_wrap=True)
    console.print(Text(f"  {'reference':{width}}  {printable(row['reference'])}"), soft_wrap=True)
    for label in labels:
        parts = [Segment(**part) for part in row["systems"][label][0]["segments"]]
        line = Text(f"  {label:{width}}  ") + aligned(parts, console)
        console.print(line, soft_wrap=True)


def _print_words(study: Document, quiet: bool) -> None:
    from asrbench.report import tables

    for line in tables.verdicts(study):
        typer.echo(f"- {line}")
    if not quiet:
        for line in (*study["legend"], *study["notes"]):
            typer.echo(line)
