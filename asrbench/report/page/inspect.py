"""The attention maps that `asrbench inspect` wrote, and the gradient norms of training."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from markupsafe import Markup

from asrbench.analysis.gradients import DepthRatio, depth_ratio, in_words
from asrbench.base.errors import UserError
from asrbench.base.records import read_record
from asrbench.experiment.run_folder import Run
from asrbench.report.page.vectors import Vector, inlined
from asrbench.report.plots import inspect as plots_inspect
from asrbench.report.plots.base import rendered
from asrbench.report.study import Study, StudySystem

BYTES = 6_000_000
"""Largest size of all pictures together, as they are written into the page."""


@dataclass(frozen=True)
class PicturedUtterance:
    """The pictures of one utterance, or of the whole split if `id` is empty, for one run."""

    system: str
    seed: int
    id: str
    pictures: tuple[str, ...]
    """`data:` addresses."""


@dataclass(frozen=True)
class Inspections:
    """All pictures that the page shows."""

    summary: str
    """Says how many pictures are left out; empty if there are none."""
    utterances: tuple[PicturedUtterance, ...]


def inspections(study: Study) -> Inspections:
    """Returns the pictures of all runs that were inspected, up to `BYTES`."""
    damaged: list[str] = []
    found = list(_found(study, damaged))
    if not found and not damaged:
        return Inspections("", ())
    shown: list[PicturedUtterance] = []
    size = 0
    for utterance, paths in found:
        pictures = tuple(_address(path) for path in paths)
        size += sum(map(len, pictures))
        if size > BYTES:
            break
        shown.append(replace(utterance, pictures=pictures))
    left = len(found) - len(shown)
    rest = f" {left:,} more are in the run folders, to limit the size of the page." if left else ""
    lost = "".join(f" Left out: {fault}." for fault in damaged)
    return Inspections(f"Written by `asrbench inspect`.{rest}{lost}", tuple(shown))


@dataclass(frozen=True)
class _Entry:
    """An utterance in `inspect.<split>.json`."""

    id: str
    pictures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Figures:
    """What is read back of `inspect.<split>.json`."""

    utterances: list[_Entry]
    pictures: list[str] = field(default_factory=list)


def _found(study: Study, damaged: list[str]) -> Iterator[tuple[PicturedUtterance, list[Path]]]:
    """Yields what was inspected, still without pictures, and the paths of its pictures.

    Files that cannot be read are left out, with the reason in `damaged`.
    """
    inspected: set[Path] = set()
    for system in study.systems:
        for each in system.runs:
            named = Path(each.run)
            # The name of a run with folds is a pattern, which matches the folder of each fold.
            for folder in sorted(named.parent.glob(named.name)):
                path = Run(folder).inspect_path(study.split)
                # A run with several decoders is in several systems.
                if path in inspected or not path.is_file():
                    continue
                inspected.add(path)
                try:
                    entries = list(_entries(path))
                except UserError as error:
                    damaged.append(str(error))
                    continue
                for id, paths in entries:
                    yield PicturedUtterance(system.variant, each.seed, id, ()), paths


def _entries(path: Path) -> Iterator[tuple[str, list[Path]]]:
    """Yields the id of each inspected utterance, empty for the split, with its pictures.

    `path` is a file that `asrbench inspect` wrote. Raises `UserError` for one of another form.
    """
    figures = read_record(path, _Figures, "run `asrbench inspect` again")
    for entry in (_Entry("", figures.pictures), *figures.utterances):
        found = [_picture(path, name) for name in entry.pictures]
        if paths := [each for each in found if each.suffix == ".png" and each.is_file()]:
            yield entry.id, paths


def _picture(path: Path, name: str) -> Path:
    """Returns the path of a picture that `path` names, which is in the same folder.

    The page would show any other file to everybody who gets it, so it is an error.
    """
    if name != Path(name).name or "\0" in name or (path.parent / name).is_symlink():
        raise UserError(
            f"{path}: found the picture {name!r}, allowed: files in its own folder; run "
            f"`asrbench inspect` again"
        )
    return path.parent / name


def _address(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


@dataclass(frozen=True)
class Gradients:
    """The gradient norms of all variants as a figure and in words."""

    figure: Vector
    words: tuple[str, ...]


def gradients(study: Study) -> Gradients | None:
    """Returns the gradient norms; None if no history has those of two layers."""
    variants: dict[str, Sequence[DepthRatio]] = {}
    for system in study.systems:
        # Systems of one variant with several decoders share their training.
        if not variants.get(system.variant):
            variants[system.variant] = list(_depth_ratios(system))
    known = {variant: runs for variant, runs in variants.items() if runs}
    if not known:
        return None
    title = "Gradient norm by depth, during training"
    words = tuple(in_words(known, study.systems[0].variant))
    figure = plots_inspect.gradients(variants, title="")
    svg = Markup(inlined(rendered(figure, ".svg").decode(), "gradients"))
    return Gradients(Vector("gradients", title, "; ".join(words), svg), words)


def _depth_ratios(system: StudySystem) -> Iterator[DepthRatio]:
    for run in system.gradient_norms:
        rows = [
            {"epoch": epoch, "layer_gradient_norms": dict(zip(run.layers, norms, strict=True))}
            for epoch, norms in enumerate(zip(*run.layers.values(), strict=True), start=1)
        ]
        if found := depth_ratio(run.seed, rows):
            yield found
