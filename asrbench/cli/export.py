"""`asrbench export`: writes a trained run as ONNX graphs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from asrbench.base.errors import UserError
from asrbench.cli.options import TrustPlugins
from asrbench.cli.terminal import echo


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write, which must not exist.")],
    to: Annotated[Literal["onnx"], typer.Option("--to", help="Format.")] = "onnx",
    which: Annotated[
        Literal["best", "last", "average"] | None,
        typer.Option("--checkpoint", help="Weights, instead of those that the spec chooses."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing folder.")] = False,
    trust_plugins: TrustPlugins = False,
) -> None:
    """Write a trained run as ONNX graphs.

    The graphs are run with onnxruntime on batches of several shapes. If they do not compute what
    the run does, nothing is written.
    """
    from asrbench.experiment.run_folder import Run
    from asrbench.stages import export as stage

    runs = Run.find([run])
    if len(runs) > 1:
        raise UserError(f"{run}: found {len(runs)} runs, allowed: one; the first is {runs[0]}")
    done = stage.export(runs[0], out, which, force=force, trust_plugins=trust_plugins)
    for path in done.files:
        echo(str(path))
    echo(f"compared with the run: the largest difference is {done.difference:.1e}")
