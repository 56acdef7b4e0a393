"""`asrbench check`: whether a plug-in holds what the program promises of every model."""

from pathlib import Path
from typing import Annotated

import typer

from asrbench.base.errors import UserError
from asrbench.cli.options import Sets
from asrbench.cli.terminal import Terminal, print_table


def check(
    plugin: Annotated[Path, typer.Argument(metavar="FILE.py", help="The plug-in.")],
    sets: Sets = None,
) -> None:
    """Check that a plug-in can be trained and resumed.

    Every kind and every model that the file registers is trained for a few seconds on tones, with
    the package's own loop. The checks are padding, gradients, bf16, exact resume, and learning two
    utterances by heart. --set changes sizes, as in --set model.encoder.attention.heads=2.
    """
    from asrbench.experiment import plugins
    from asrbench.stages.check import check as findings_of

    found = plugins.read(plugin)
    plugins.load(found)
    findings = []
    with Terminal() as terminal:
        for finding in findings_of(found, sets or []):
            findings.append(finding)
            terminal.progress("check", len(findings), len(findings), finding.check)
    print_table(
        ["model", "check", "held", ""],
        [[f.model, f.check, "yes" if f.held else "NO", f.detail] for f in findings],
    )
    if failed := [finding for finding in findings if not finding.held]:
        raise UserError(f"{plugin}: {len(failed)} of {len(findings)} checks failed, see above")
