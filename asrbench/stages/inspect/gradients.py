"""Draws how the gradient norm changes with depth during training, from the histories of runs."""

from collections.abc import Sequence
from pathlib import Path

from asrbench.analysis.gradients import DepthRatio, depth_ratio, in_words
from asrbench.base.files import write_json
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import Run
from asrbench.report.plots import base
from asrbench.report.plots import inspect as plots
from asrbench.stages.inspect.records import VERSION


def write_gradients(runs: Sequence[Run], folder: Path) -> list[str]:
    """Writes `gradients.json` and its picture to `folder`, and returns the sentences in it.

    Returns no sentences and writes nothing if no history has gradient norms of several layers.
    """
    variants: dict[str, list[DepthRatio]] = {}
    for run in runs:
        if found := depth_ratio(run.cell.seed, run.history()):
            variants.setdefault(run.cell.variant, []).append(found)
    if not variants:
        return []
    order = [*MODELS, *variants]
    variants = {name: variants[name] for name in sorted(variants, key=order.index)}
    sentences = list(in_words(variants, order[0]))
    paths = [folder / f"gradients{form}" for form in base.FORMATS]
    base.save(paths, plots.gradients(variants, title="Gradient norm by depth, over training"))
    by_run = {
        name: [{"seed": r.seed, "epochs": r.epochs, "ratios": r.ratios} for r in found]
        for name, found in variants.items()
    }
    document = {"version": VERSION, "variants": by_run, "words": sentences}
    write_json(folder / "gradients.json", document)
    return sentences
