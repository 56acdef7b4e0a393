"""`asrbench verify`: checks run folders and corpora for damage."""

from pathlib import Path
from typing import Annotated

import typer

from asrbench.base.errors import UserError
from asrbench.cli.terminal import echo


def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS_OR_CORPUS...", help="Folders of runs, and corpora."),
    ],
    repair: Annotated[
        bool, typer.Option("--repair", help="Delete what killed processes left, and nothing else.")
    ] = False,
) -> None:
    """Check run folders and corpora for damage.

    Computes again what is stored: the identity of each run, its error rates from its hypotheses,
    the fingerprint of each corpus from its texts and audio. Prints one line for each fault.
    """
    from asrbench.base.folders import is_locked
    from asrbench.base.formatting import counted
    from asrbench.stages.verify import Contents, faults_of

    contents = Contents.of(paths)
    for run in contents.runs:
        if is_locked(run.lock_path):
            echo(f"{run}: not checked, because it is being trained")
    faults = repaired = 0
    for fault in faults_of(contents):
        if repair and fault.repair is not None:
            fault.repair()
            repaired += 1
            echo(f"repaired: {fault.line}")
        else:
            faults += 1
            echo(fault.line)
    corpora = len(contents.corpora)
    checked = (
        f"{counted(len(contents.runs), 'run')} and {corpora} corp{'us' if corpora == 1 else 'ora'} "
        f"checked"
    )
    if faults:
        raise UserError(f"{checked}, found {counted(faults, 'fault')}")
    echo(f"{checked}, found no fault" + f"; repaired {repaired}" * bool(repaired))
