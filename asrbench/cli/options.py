"""Options that several commands share, and what the commands make of them."""

import json
import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asrbench.base.errors import UserError, pick
from asrbench.cli.terminal import print_note
from asrbench.experiment.folder_names import nfc

if TYPE_CHECKING:
    from asrbench.experiment.spec import Cell
    from asrbench.experiment.spec_file import StudySpec

SpecFile = Annotated[Path, typer.Argument(help="The experiment, a YAML file.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Override a key of the spec, as key=value, in every variant that has it; of one "
        "variant as variants.NAME.key=value; repeatable.",
    ),
]
Only = Annotated[list[str] | None, typer.Option("--only", help="Only this variant; repeatable.")]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", min=0, max=2**63 - 1, help="Only this seed; repeatable."),
]
Folds = Annotated[
    list[int] | None, typer.Option("--fold", min=1, help="Only this fold; repeatable.")
]
Results = Annotated[Path, typer.Option("--results", help="Folder of all experiments.")]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Device to compute on.")
]
SpecDevice = Annotated[
    Literal["auto", "cpu", "cuda"] | None,
    typer.Option("--device", help="Device to compute on, instead of run.device of the spec."),
]
Decode = Annotated[
    str | None,
    typer.Option(
        "--decode",
        help="Name of the search, such as greedy; otherwise the one of the dev CER.",
    ),
]
Lm = Annotated[
    Path | None,
    typer.Option("--lm", help="Language model of the search, an ARPA file of `asrbench lm`."),
]
DecodeSets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key of decode, as decode.beam=20; repeatable."),
]
EVERY_SPLIT = "every one but train and dev"
"""The default of `--split` where splits are evaluated, in words."""

EvaluatedCorpus = Annotated[
    Path | None,
    typer.Option(
        "--corpus",
        help="Prepared corpus, if it was moved, or another one than the runs were trained on.",
        show_default="that of the spec",
    ),
]

TrustPlugins = Annotated[
    bool,
    typer.Option("--trust-plugins", help="Run the plug-ins of run folders from elsewhere."),
]
Plugin = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="Python file that registers kinds or models; repeatable."),
]

MOST_REPLICATES = 1_000_000
"""Largest number of bootstrap replicates; more of them take memory and change no digit shown."""


def all_sets(sets: Sequence[str] | None, device: str | None) -> list[str]:
    """Returns the overrides of the spec: those of `--set`, then that of `--device`."""
    return [*(sets or []), *([f"run.device={device}"] if device else [])]


def decode_sets(sets: Sequence[str] | None, lm: Path | None) -> list[str]:
    """Returns the changes of `decode`: those of `--set`, then that of `--lm`."""
    return [*(sets or []), *([f"decode.lm={json.dumps(str(lm))}"] if lm else [])]


def chosen_cells(
    study: "StudySpec",
    spec: Path,
    only: Sequence[str] | None,
    seeds: Sequence[int] | None,
    folds: Sequence[int] | None,
) -> "list[Cell]":
    """Returns the cells of `study` that `--only`, `--seed` and `--fold` choose; all without them.

    Raises `UserError` for a variant or a fold that the study does not have.
    """
    only = [nfc(variant) for variant in only or ()]
    for variant in only:
        pick(f"{spec}: --only", variant, study.variants)
    known = {c.fold.index for c in study.cells if c.fold}
    for fold in folds or []:
        if fold not in known:
            allowed = f"1 to {max(known)}" if known else "a study with `folds`, or --set folds=5"
            raise UserError(f"{spec}: --fold: found {fold}, allowed: {allowed}")
    cells = [
        c
        for c in study.cells
        if (not only or c.variant in only) and (not folds or (c.fold and c.fold.index in folds))
    ]
    if not seeds:
        return cells
    # A seed that the spec does not list can be chosen, too: no setting depends on the seed.
    variants = [list(group) for _, group in groupby(cells, key=lambda c: c.variant)]
    return list(
        dict.fromkeys(
            c.model_copy(update={"seed": s}) for group in variants for s in seeds for c in group
        )
    )


def print_not_applied(study: "StudySpec", cells: "Sequence[Cell]") -> None:
    """Prints to standard error a line for each `--set` that was not applied to some of `cells`."""
    chosen = {cell.variant for cell in cells}
    without: dict[str, list[str]] = {}
    for each in study.not_applied:
        if each.variant in chosen:
            without.setdefault(each.text, []).append(each.variant)
    for text, variants in without.items():
        have = "has" if len(variants) == 1 else "have"
        print_note(f"--set {text}: not applied to {', '.join(variants)}, which {have} no such key")


def with_found_corpus(cells: "Sequence[Cell]", spec: Path) -> "list[Cell]":
    """Returns the cells with the path of their corpus as it is found: from here, or beside `spec`.

    Raises `UserError` with both places if it is at neither.
    """
    from asrbench.data.corpus import find_corpus

    def found(cell: "Cell") -> str:
        named = Path(cell.corpus)
        otherwise = ", or say where it is with --set corpus=DIR"
        path = find_corpus([named, spec.parent / named], otherwise)
        return cell.corpus if path == named else str(path)

    return [cell.model_copy(update={"corpus": found(cell)}) for cell in cells]


def check_hours(option: str, hours: float | None) -> None:
    """Raises `UserError` unless `hours` is positive and finite, or None."""
    if hours is not None and not 0 < hours < math.inf:
        finite = " and finite" if hours > 0 else ""
        raise UserError(f"{option}: found {hours:g}, allowed: more than 0{finite}")
