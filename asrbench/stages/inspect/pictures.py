"""Draws the pictures of an inspection into its run folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asrbench.experiment.run_folder import Run
from asrbench.report.plots import base
from asrbench.report.plots import inspect as plots
from asrbench.stages.inspect.records import InspectedUtterance, Inspection

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Pictures:
    """The picture files that an inspection made."""

    layers: tuple[Path, ...]
    """Attention over the whole split."""
    utterances: tuple[tuple[Path, ...], ...]
    """Attention, and posteriors or alignment, of each chosen utterance."""

    @property
    def paths(self) -> set[Path]:
        return {*self.layers, *(path for each in self.utterances for path in each)}


def draw(run: Run, split: str, inspection: Inspection) -> Pictures:
    """Draws attention by layer, and of each chosen utterance its attention maps and alignment."""
    cell = run.cell
    model = f"{cell.variant}, {cell.seed_and_fold}, epoch {inspection.epoch}"
    layers: tuple[Path, ...] = ()
    if inspection.layers:
        title = f"{model}: attention over {split}, N = {inspection.utterances_seen:,} utterances"
        heads = [
            plots.LayerHeads(
                name,
                tuple(head.distance_ms for head in layer.heads),
                tuple(head.entropy_relative for head in layer.heads),
                layer.uniform_distance_ms,
            )
            for name, layer in inspection.layers.items()
        ]
        layers = _save(run, split, "layers", plots.by_layer(heads, title=title))
    utterances = []
    for k, each in enumerate(inspection.utterances):
        title = f"{model}: {split} {each.id}"
        drawn = _utterance_figures(k, each, inspection, title)
        utterances.append(tuple(p for name, fig in drawn for p in _save(run, split, name, fig)))
    return Pictures(layers, tuple(utterances))


def _utterance_figures(
    k: int, utterance: InspectedUtterance, inspection: Inspection, title: str
) -> Iterator[tuple[str, "Figure"]]:
    """Yields the figures of the k-th chosen utterance, by name."""
    frame_s, first_s = inspection.frame_ms / 1000, inspection.first_ms / 1000
    if inspection.layers:
        maps = [
            plots.Maps(name, inspection.arrays[f"{k}.{name}"].astype(float), layer.relates)
            for name, layer in inspection.layers.items()
        ]
        figure = plots.attention(maps, title=title, frame_s=frame_s, first_s=first_s)
        yield f"{k}.attention", figure
    if utterance.alignment:
        symbols = [
            plots.Symbol(each.symbol, each.index, each.start_ms / 1000, each.end_ms / 1000)
            for each in utterance.alignment
        ]
        log_probs = inspection.arrays.get(f"{k}.log_probs")
        if log_probs is not None:
            name, figure_of = "posteriors", partial(plots.posteriors, log_probs)
        else:
            probabilities = [each.probability for each in utterance.alignment]
            name, figure_of = "alignment", partial(plots.alignment, utterance.frames, probabilities)
        yield f"{k}.{name}", figure_of(symbols, title=title, frame_s=frame_s, first_s=first_s)


def _save(run: Run, split: str, name: str, figure: "Figure") -> tuple[Path, ...]:
    paths = tuple(run.inspect_path(split, f"{name}{form}") for form in base.FORMATS)
    base.save(paths, figure)
    return paths
