"""The picture of a comparison. It knows figures and labels, nothing of runs; no pyplot state."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrbench.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which the colour-blind tell apart, without yellow, which print loses.
# Marker and dash differ as well, so that the picture survives a grey printer.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vPX"
DASHES = ("solid", "dashed", "dashdot", "dotted", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))

ROW_INCHES = 0.42


@dataclass(frozen=True)
class Dots:
    """One row of the left panel: each seed's CER in percent, those that never learned apart."""

    label: str
    variant: str
    trained: tuple[float, ...]
    untrained: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """Dev CER in percent by epoch, of one run."""

    variant: str
    epochs: tuple[int, ...]
    percent: tuple[float, ...]


def draw(
    path: Path,
    rows: Sequence[Dots],
    curves: Sequence[Curve],
    *,
    baseline_percent: float | None,
    unit: str,
    curves_unit: str,
    title: str,
) -> None:
    """A PNG: every seed's CER by row, `unit` below it, and beside it the way there by epoch, in
    `curves_unit`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    failed = any(row.untrained for row in rows)
    height = max(3.4, 1.9 + ROW_INCHES * len(rows))
    figure = Figure(figsize=(10.5, height), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    widths = [3, *([0.45] if failed else []), *([2] if curves else [])]
    left, *others = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    looks = {name: i for i, name in enumerate(dict.fromkeys(row.variant for row in rows))}
    _dots(left, rows, looks, baseline_percent)
    left.set_xlabel(plain(f"{unit}\nmarkers: seeds; bar: their mean; dashed: the baseline's"))
    if failed:
        _failures(others.pop(0), rows, looks)
    if curves:
        _curves(others.pop(0), curves, looks, curves_unit)
    figure.suptitle(plain(title), fontsize=10)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _dots(
    axes: "Axes", rows: Sequence[Dots], looks: dict[str, int], baseline_percent: float | None
) -> None:
    low, high = _limits(rows)
    axes.set_xlim(low, high)
    if baseline_percent is not None:
        axes.axvline(baseline_percent, color="0.45", linestyle=(0, (4, 3)), linewidth=1, zorder=0)
    for y, row in enumerate(rows):
        colour, marker, _ = look(looks[row.variant])
        offsets = _spread(len(row.trained))
        axes.plot(
            row.trained,
            [y + offset for offset in offsets],
            linestyle="none",
            marker=marker,
            markersize=6,
            markerfacecolor="white",
            markeredgecolor=colour,
            markeredgewidth=1.4,
        )
        if row.trained and not row.untrained:
            mean = sum(row.trained) / len(row.trained)
            axes.vlines(mean, y - 0.33, y + 0.33, color=colour, linewidth=2.6)
            axes.annotate(
                f"{mean:.2f}",
                (mean, y - 0.33),
                (0, 1),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=7.5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )
    axes.set_yticks(range(len(rows)), [plain(row.label) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.75)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    opened(axes)


def _failures(axes: "Axes", rows: Sequence[Dots], looks: dict[str, int]) -> None:
    """Runs that never learned have a strip of their own: to scale they would squash the others."""
    axes.set_facecolor("0.94")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(rows) - 0.4, -0.75)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("never\nlearned, %")
    axes.spines[:].set_visible(False)
    for y, row in enumerate(rows):
        colour, _, _ = look(looks[row.variant])
        for percent, offset in zip(row.untrained, _spread(len(row.untrained), 0.3), strict=True):
            axes.plot(0.2, y + offset, marker="x", color=colour, markersize=5, markeredgewidth=1.6)
            axes.annotate(f"{percent:.1f}", (0.36, y + offset), va="center", fontsize=7.5)


def _limits(rows: Sequence[Dots]) -> tuple[float, float]:
    """Of the CER axis, in percent: around the runs that learned."""
    figures = [percent for row in rows for percent in row.trained]
    if not figures:
        return 0.0, 100.0
    margin = max(0.25, 0.12 * (max(figures) - min(figures)))
    return max(-0.05 * margin, min(figures) - margin), max(figures) + margin


def _spread(count: int, step: float = 0.13) -> list[float]:
    """Offsets off the row, so that equal figures of several seeds are all seen."""
    step = min(step, 0.6 / max(count - 1, 1))
    return [step * (i - (count - 1) / 2) for i in range(count)]


def _curves(axes: "Axes", curves: Sequence[Curve], looks: dict[str, int], unit: str) -> None:
    from matplotlib.ticker import MaxNLocator

    labelled: set[str] = set()
    for curve in curves:
        colour, _, dash = look(looks[curve.variant])
        axes.plot(
            curve.epochs,
            curve.percent,
            color=colour,
            linestyle=dash,
            linewidth=1,
            marker="." if len(curve.epochs) == 1 else None,
            label=None if curve.variant in labelled else plain(curve.variant),
        )
        labelled.add(curve.variant)
    lowest = min(percent for curve in curves for percent in curve.percent)
    if lowest > 0:
        logarithmic(axes)
    axes.set_xlim(0, max(2, *(epoch for curve in curves for epoch in curve.epochs)))
    axes.set_xlabel("epoch")
    axes.set_ylabel(plain(unit))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="0.92")
    axes.legend(fontsize=7, frameon=False, handlelength=3.2, loc="best")
    opened(axes)


def logarithmic(axes: "Axes") -> None:
    """Percent on a logarithmic axis, written as percent and not as powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def opened(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)


def look(variant: int) -> tuple[str, str, Any]:
    """Colour, marker and dash: another combination for each of the first 49 variants."""
    cycle, place = divmod(variant, len(COLOURS))
    other = (place + cycle) % len(COLOURS)
    return COLOURS[place], MARKERS[other], DASHES[other]


def plain(text: str) -> str:
    """ASCII: the font that comes with matplotlib has no Hangul."""
    return text.encode("ascii", "replace").decode()
