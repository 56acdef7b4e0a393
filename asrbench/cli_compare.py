"""`asrbench compare`: verdicts on the variants of a study, and what stands behind them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from asrbench.profiles import ProfileName, Unit
from asrbench.tables import Document
from asrbench.terminal import print_table


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
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdicts alone.")] = False,
) -> None:
    """Say which variants are better or worse than the baseline, and how sure that is.

    Every variant and every seed, intervals, the difference to the baseline and a verdict, the
    cost; tables, figures and a page for the browser are left beside the runs.
    """
    from asrbench.compare import document, write
    from asrbench.comparison import comparison_of

    comparison = comparison_of(paths, baseline, split, profile)
    found = document(comparison, unit=unit, replicates=replicates, seed=seed)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    if not quiet:
        _print_tables(found)
    _print_words(found, quiet)
    for path in write(found, out or paths[0], corpus):
        if not quiet:
            typer.echo(f"wrote {path}")


def _print_tables(study: Document) -> None:
    from asrbench import tables

    print_table(*tables.rates(study), title=study["title"])
    if study["systems"][1:] and study["replicates"]:
        print_table(*tables.differences(study), title=f"Against {study['baseline']}")


def _print_words(study: Document, quiet: bool) -> None:
    from asrbench import tables

    for line in tables.verdicts(study):
        typer.echo(f"- {line}")
    if not quiet:
        for line in (*study["legend"], *study["notes"]):
            typer.echo(line)
