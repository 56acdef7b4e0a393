"""The attention maps that `asrbench inspect` wrote, and the gradient norms of training."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from asrbench.analysis.gradients import DepthRatio, depth_ratio, in_words
from asrbench.base.files import read_json
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
    found = list(_found(study))
    if not found:
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
    return Inspections(f"Written by `asrbench inspect`.{rest}", tuple(shown))


def _found(study: Study) -> Iterator[tuple[PicturedUtterance, list[Path]]]:
    """Yields what was inspected, still without pictures, and the paths of its pictures."""
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
                for id, paths in _entries(folder, read_json(path)):
                    yield PicturedUtterance(system.variant, each.seed, id, ()), paths


def _entries(folder: Path, figures: dict[str, Any]) -> Iterator[tuple[str, list[Path]]]:
    """Yields the id of each inspected utterance, empty for the split, with its pictures."""
    for entry in ({"id": "", **figures}, *figures["utterances"]):
        names = [name for name in entry.get("pictures") or () if name.endswith(".png")]
        if paths := [folder / name for name in names if (folder / name).is_file()]:
            yield entry["id"], paths


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
        if system.variant not in variants and (runs := list(_depth_ratios(system))):
            variants[system.variant] = runs
    if not variants:
        return None
    title = "Gradient norm by depth, during training"
    words = tuple(in_words(variants, study.systems[0].variant))
    figure = plots_inspect.gradients(variants, title=title)
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
