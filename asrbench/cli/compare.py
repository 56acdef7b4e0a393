"""`asrbench compare`: rates, differences and verdicts of the variants of a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrbench.base.errors import UserError
from asrbench.base.formatting import counted
from asrbench.base.memory import uncollected
from asrbench.cli.options import MOST_REPLICATES
from asrbench.cli.terminal import echo, echo_json
from asrbench.text.profiles import ProfileName, Unit

if TYPE_CHECKING:
    from asrbench.report.study import Analysis

FIRST_FILES = ("table.md", "study.json", "report.html")
"""The files that the last line names; the others are figures and further tables."""


def compare(
    paths: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of runs.")],
    baseline: Annotated[
        str | None,
        typer.Option(help="Variant, or row, to compare with; the default is ds2, else the first."),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Split, given once or more; the default is every evaluation split that is scored.",
        ),
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
        bool, typer.Option("--json", help="Print study.json, and write nothing.")
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
    baseline with a verdict, and the cost, on each split that is scored. Writes tables, figures and
    an HTML report, which replace those of an earlier comparison in the same folder.
    """
    from asrbench.base.records import to_json
    from asrbench.cli.terminal_study import print_studies, print_verdicts
    from asrbench.report.study import Settings
    from asrbench.stages.compare.study import analysis_of, write

    settings = Settings(
        baseline=baseline,
        splits=tuple(split or ()),
        profile=profile,
        unit=unit,
        replicates=replicates,
        seed=seed,
        margin=margin,
        controls=tuple(control or ()),
        systems=None if system is None else tuple(system),
    )
    with uncollected():
        analysis = analysis_of(paths, settings)
    if as_json:
        echo_json(to_json(analysis))
        _fail_if_damaged(analysis)
        return
    if quiet:
        print_verdicts(analysis.studies)
    else:
        print_studies(analysis.studies, utterances)
    folder = out or paths[0]
    written = write(analysis, folder, corpus, paper=paper).files
    if not quiet:
        named = FIRST_FILES if {*FIRST_FILES} <= {*written} else written
        rest = ", ..." if len(named) < len(written) else ""
        echo(f"wrote {len(written)} files in {folder}: {', '.join(named)}{rest}")
    _fail_if_damaged(analysis)


def _fail_if_damaged(analysis: "Analysis") -> None:
    """Raises `UserError`, after everything else is done, if a run was left out as damaged."""
    if analysis.damaged:
        lacking = counted(len(analysis.damaged), "run")
        raise UserError(f"the study lacks {lacking}: {analysis.damaged[0]}")
