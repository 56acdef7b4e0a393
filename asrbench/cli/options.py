"""What several commands take: the spec, what is laid over it, and which of its cells are meant."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asrbench.base.errors import UserError, pick

if TYPE_CHECKING:
    from asrbench.experiment.spec import Cell
    from asrbench.experiment.spec_file import Study

SpecFile = Annotated[Path, typer.Argument(help="The experiment, a YAML file.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Lay key=value over the spec; repeatable.")
]
Only = Annotated[list[str] | None, typer.Option("--only", help="This variant alone; repeatable.")]
Seeds = Annotated[
    list[int] | None, typer.Option("--seed", min=0, help="This seed alone; repeatable.")
]
Results = Annotated[Path, typer.Option("--results", help="Folder of all experiments.")]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to compute.")
]
OtherDevice = Annotated[
    Literal["auto", "cpu", "cuda"] | None,
    typer.Option("--device", help="Where to compute; otherwise run.device of the spec."),
]


def laid_over(sets: Sequence[str] | None, device: str | None) -> list[str]:
    """All that is laid over the spec: `--set`, and `--device` last."""
    return [*(sets or []), *([f"run.device={device}"] if device else [])]


def chosen(
    study: "Study", spec: Path, only: Sequence[str] | None, seeds: Sequence[int] | None
) -> "list[Cell]":
    """The cells of `study` that `--only` and `--seed` mean; all without them.

    Raises `UserError` for a variant that is not of the study.
    """
    for variant in only or []:
        pick(f"{spec}: --only", variant, study.variants)
    cells = [c for c in study.cells if not only or c.variant in only]
    if not seeds:
        return cells
    # A seed the spec does not list is run all the same: seeds have no settings of their own.
    return list(dict.fromkeys(c.model_copy(update={"seed": s}) for c in cells for s in seeds))


def check_hours(option: str, hours: float | None) -> None:
    if hours is not None and not hours > 0:
        raise UserError(f"{option}: found {hours:g}, allowed: more than 0")
