"""The picture of a corpus. It knows figures and labels, nothing of splits; no pyplot state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asrbench.base.files import atomic
from asrbench.report.plots.base import logarithmic, look, opened, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg")
PANEL_INCHES = (5.2, 3.7)
DOTS_PER_INCH = 160

Figures = npt.NDArray[np.integer] | npt.NDArray[np.floating]


@dataclass(frozen=True)
class Histograms:
    """By label, figures that are counted between `edges`; what is beyond the last counts in the
    last bin. Drawn are shares, so that few and many lie on one axis."""

    unit: str
    edges: Sequence[float]
    figures: Mapping[str, Figures]


@dataclass(frozen=True)
class Curves:
    """By label, a figure for each rank from 1 on, both on logarithmic axes, down to zero."""

    rank: str
    unit: str
    figures: Mapping[str, Figures]
    percent: bool = False


def draw(path: Path, panels: Sequence[Histograms | Curves], *, title: str) -> None:
    """A PNG or an SVG, as the name of the file says: `panels` two in a row."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    width, height = PANEL_INCHES
    figure = Figure(
        figsize=(columns * width, rows * height + 0.3), dpi=DOTS_PER_INCH, layout="constrained"
    )
    FigureCanvasAgg(figure)
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, place)
        if isinstance(panel, Histograms):
            _histograms(axes, panel)
        else:
            _curves(axes, panel)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.legend(fontsize=7.5, frameon=False, handlelength=3.2, loc="best")
        opened(axes)
    figure.suptitle(plain(title), fontsize=10)
    form = path.suffix.lower().removeprefix(".")
    when = {"Date": None} if form == "svg" else {"Software": None}
    # The same figures are the same file: ids of an SVG are drawn from this.
    with atomic(path) as temporary, rc_context({"svg.hashsalt": "asrbench"}):
        figure.savefig(temporary, format=form, metadata=when)


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
