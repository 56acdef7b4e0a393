"""Pictures of the inspections of models: what `asrbench inspect` left, and how gradients fared."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from asrbench.analysis.gradients import Descent, descent, in_words
from asrbench.base.files import read_json
from asrbench.experiment.run_folder import Run
from asrbench.report.page.vectors import Vector, inlined
from asrbench.report.plots import inspect as plots_inside

BYTES = 6_000_000
"""Of all pictures of a page, as they are written into it."""


@dataclass(frozen=True)
class Look:
    """One utterance, or the whole split where `id` is nothing, in one run."""

    system: str
    seed: int
    id: str
    pictures: tuple[str, ...]
    """`data:` addresses."""


@dataclass(frozen=True)
class Inspections:
    says: str
    looks: tuple[Look, ...]


def inspections(study: Mapping[str, Any]) -> Inspections:
    """The pictures of all runs that were inspected, as many as `BYTES` bear."""
    found = list(_found(study))
    if not found:
        return Inspections("", ())
    looks: list[Look] = []
    size = 0
    for look, paths in found:
        pictures = tuple(_address(path) for path in paths)
        size += sum(map(len, pictures))
        if size > BYTES:
            break
        looks.append(Look(look.system, look.seed, look.id, pictures))
    left = len(found) - len(looks)
    rest = f" {left:,} more are in the run folders, to bound the size of the page." if left else ""
    return Inspections(f"As `asrbench inspect` saw it.{rest}", tuple(looks))


def _found(study: Mapping[str, Any]) -> Iterator[tuple[Look, list[Path]]]:
    inspected: set[Path] = set()
    for system in study["systems"]:
        for one in system["runs"]:
            run = Run(Path(one["run"]))
            path = run.inspect_path(study["split"])
            # Several decodes of one run are several systems.
            if path in inspected or not path.is_file():
                continue
            inspected.add(path)
            figures = read_json(path)
            for each in ({"id": "", **figures}, *figures["utterances"]):
                names = [name for name in each.get("pictures") or () if name.endswith(".png")]
                paths = [run.folder / name for name in names if (run.folder / name).is_file()]
                if paths:
                    yield Look(system["variant"], one["seed"], each["id"], ()), paths


def _address(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


@dataclass(frozen=True)
class Gradients:
    figure: Vector
    words: tuple[str, ...]


def gradients(study: Mapping[str, Any]) -> Gradients | None:
    """None where no history tells the norms of several recurrent layers."""
    variants: dict[str, Sequence[Descent]] = {}
    for system in study["systems"]:
        # The rows of one run's several decodes share its training.
        if system["variant"] not in variants and (runs := list(_descents(system))):
            variants[system["variant"]] = runs
    if not variants:
        return None
    from matplotlib import rc_context

    title = "Gradient norm by depth, over training"
    words = tuple(in_words(variants, study["systems"][0]["variant"]))
    figure = plots_inside.gradients(variants, title=title)
    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "asrbench"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = Markup(inlined(file.getvalue().decode(), "gradients"))
    return Gradients(Vector("gradients", title, "; ".join(words), svg), words)


def _descents(system: Mapping[str, Any]) -> Iterator[Descent]:
    for one in system["gradient_norms"]:
        layers = one["layers"]
        rows = [
            {"epoch": epoch, "layer_gradient_norms": dict(zip(layers, norms, strict=True))}
            for epoch, norms in enumerate(zip(*layers.values(), strict=True), start=1)
        ]
        if found := descent(one["seed"], rows):
            yield found
