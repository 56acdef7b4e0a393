"""Draws panels of histograms and curves for the picture of a corpus, without pyplot's state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asrbench.report.plots.base import logarithmic, look, new_figure, open_frame, plain, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg")
PANEL_INCHES = (5.2, 3.7)
DOTS_PER_INCH = 160

Figures = npt.NDArray[np.integer] | npt.NDArray[np.floating]


@dataclass(frozen=True)
class Histograms:
    """Figures by label, drawn as the share in each bin. Figures beyond the last edge are in the
    last bin."""

    unit: str
    edges: Sequence[float]
    figures: Mapping[str, Figures]


@dataclass(frozen=True)
class Curves:
    """Figures by label, one for each rank from 1 on, without zeros, on logarithmic axes."""

    rank: str
    unit: str
    figures: Mapping[str, Figures]
    percent: bool = False


def draw(path: Path, panels: Sequence[Histograms | Curves], *, title: str) -> None:
    """Draws `panels`, two in a row, as PNG or SVG according to the suffix of `path`."""

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    width, height = PANEL_INCHES
    figure = new_figure(columns * width, rows * height + 0.3, DOTS_PER_INCH)
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, place)
        if isinstance(panel, Histograms):
            _histograms(axes, panel)
        else:
            _curves(axes, panel)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.legend(fontsize=7.5, frameon=False, handlelength=3.2, loc="best")
        open_frame(axes)
    figure.suptitle(plain(title), fontsize=10)
    save([path], figure)


def _histograms(axes: "Axes", panel: Histograms) -> None:
    for place, (label, figures) in enumerate(panel.figures.items()):
        colour, _, dash = look(place)
        edges = np.asarray(panel.edges)
        counts, _ = np.histogram(np.clip(figures, edges[0], edges[-1]), edges)
        percent = 100 * counts / max(len(figures), 1)
        if place == 0:
            axes.stairs(percent, edges, fill=True, color=colour, alpha=0.12)
        axes.stairs(
            percent,
            edges,
            color=colour,
            linestyle=dash,
            linewidth=1.4,
            label=plain(f"{label}, N = {len(figures):,}"),
        )
    axes.set_xlim(panel.edges[0], panel.edges[-1])
    axes.set_xlabel(plain(panel.unit))
    axes.set_ylabel("utterances (%)")


def _curves(axes: "Axes", panel: Curves) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_yscale("log")
    for place, (label, figures) in enumerate(panel.figures.items()):
        colour, _, dash = look(place)
        above = np.asarray(figures) > 0
        ranks = np.arange(1, len(above) + 1)[above]
        axes.plot(
            ranks,
            np.asarray(figures)[above],
            color=colour,
            linestyle=dash,
            linewidth=1.4,
            label=plain(label),
        )
    if panel.percent:
        logarithmic(axes)
    else:
        axes.yaxis.set_major_formatter(axes.xaxis.get_major_formatter())
    axes.set_xlabel(plain(panel.rank))
    axes.set_ylabel(plain(panel.unit))
