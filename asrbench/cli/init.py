"""`asrbench init`: writes a small commented study to start from."""

from pathlib import Path
from typing import Annotated

import typer

from asrbench.cli.terminal import echo


def init(
    name: Annotated[str, typer.Argument(help="Name of the study, and of its file.")],
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="Corpus folder that the sizes are to fit.")
    ] = None,
) -> None:
    """Write a small commented study to start from.

    NAME.yaml in the current folder compares a baseline with an attention variant, with three
    seeds. Unit, scoring and sizes fit the corpus; without --corpus they are those of a small one,
    and the file says how to make it. Nothing is overwritten.

    asrbench.schema.json beside it lets an editor complete and check the file.
    """
    from asrbench.stages.init import start_study

    started = start_study(name, Path(), corpus)
    echo(f"{started.spec}: ds2 and ds2_selfattn, three seeds each, for {started.chosen_for}")
    if started.schema:
        echo(f"{started.schema}: by which an editor completes and checks it")
    echo(f"next: {started.prep or f'asrbench plan {started.spec}'}")
    echo(f"then: asrbench train {started.spec}")
