"""The figures of a study, one column of a paper wide, as PNG and SVG, and for a paper as PDF.

The caption of every figure states its data: split, N, profile and seeds. It stands in the files,
but on the page and in a paper beside the figure.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from asrbench.analysis.lengths import ByLength
from asrbench.base.formatting import seed_list
from asrbench.report.answer import is_judged
from asrbench.report.plots import base, panels
from asrbench.report.plots.base import FORMATS, open_frame, plain
from asrbench.report.plots.panels import INK
from asrbench.report.study import Study, StudySystem, SystemCost
from asrbench.text.profiles import RATES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_INCHES = 3.5
ROW_INCHES = 0.27
DOTS_PER_INCH = 300
CAPTION_LETTERS = 86
MOST_SYSTEMS = 7
"""Largest number of lines in one panel."""
PANEL_COLUMNS = 2
PANEL_INCHES = 0.95
MOST_PANELS = 12
PAPER = ".pdf"

STYLE: Any = {
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.2,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class CostAxis:
    """A measure of cost that has a figure of its own."""

    name: str
    """Name of the figure."""
    label: str
    value: Callable[[SystemCost], float | None]
    factor: float
    """Factor from the unit of `value` to that of the axis."""


COST_AXES = (
    CostAxis("cost_time", "time of an optimizer step (ms)", lambda c: c.step_seconds, 1e3),
    CostAxis(
        "cost_flops",
        "forward FLOPs per second of audio (billions)",
        lambda c: c.flops_per_audio_second,
        1e-9,
    ),
    CostAxis("cost_rtf", "real-time factor of decoding", lambda c: c.real_time_factor, 1),
    CostAxis("cost_parameters", "parameters (millions)", lambda c: c.parameters, 1e-6),
)


@dataclass(frozen=True)
class Picture:
    """A figure of the study and its caption: one panel, or several of equal axes."""

    name: str
    """Name of its files, without suffix."""
    title: str
    caption: str
    panels: tuple[Callable[["Axes"], None], ...]
    rows: int = 0
    """Number of rows in a figure with one row per system; other figures have a fixed height."""
    keys: int = 0
    """Number of entries in the legend."""


def draw(study: Study, folder: Path, mark: str = "", *, paper: bool = False) -> list[Path]:
    """Writes a PNG and an SVG of each figure that the study has data for; returns their paths.

    For a `paper` each is a PDF too, without title and caption, which belong to its text. Names of
    files end in the `mark` of the study.
    """
    paths = []
    for picture in pictures(study):
        for suffix in (*FORMATS, PAPER) if paper else FORMATS:
            path = folder / f"{picture.name}{mark}{suffix}"
            base.write_bytes(path, rendered(picture, suffix, bare=suffix == PAPER))
            paths.append(path)
    return paths


def rendered(picture: Picture, suffix: str, *, bare: bool = False) -> bytes:
    """Returns the file of a picture, `.png`, `.svg` or `.pdf`; if `bare`, without its words."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        caption = "" if bare else fill(plain(picture.caption), CAPTION_LETTERS)
        height = _height(picture) + (0 if bare else 0.2 + 0.1 * (caption.count("\n") + 1))
        figure = base.new_figure(COLUMN_INCHES, height, DOTS_PER_INCH)
        grid = _grid(figure, len(picture.panels))
        for axes, panel in zip(grid, picture.panels, strict=True):
            panel(axes)
            axes.set_axisbelow(True)
            open_frame(axes)
        _name_outer_axes(grid)
        if picture.keys:
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(-0.1, 1.0),
                ncols=2,
                frameon=False,
                handlelength=2.6,
                labelspacing=0.25,
            )
        if not bare:
            figure.suptitle(plain(picture.title), fontsize=8, x=0.01, ha="left", weight="bold")
            figure.supxlabel(caption, fontsize=5.6, x=0.01, ha="left", color="#555555")
        return base.rendered(figure, suffix)


def _height(picture: Picture) -> float:
    """Returns the height in inches, without title and caption."""
    if picture.rows:
        return 0.62 + ROW_INCHES * picture.rows
    if len(picture.panels) > 1:
        return 0.35 + PANEL_INCHES * -(-len(picture.panels) // PANEL_COLUMNS)
    return 2.1 + 0.125 * -(-picture.keys // 2)


def _grid(figure: "Figure", panels: int) -> "list[Axes]":
    """Returns axes for so many panels, which share their scales."""
    if panels == 1:
        return [figure.add_subplot()]
    rows = -(-panels // PANEL_COLUMNS)
    grid = figure.subplots(rows, PANEL_COLUMNS, sharex=True, sharey=True, squeeze=False)
    for empty in grid.flat[panels:]:
        empty.remove()
    return list(grid.flat[:panels])


def _name_outer_axes(grid: "Sequence[Axes]") -> None:
    """Leaves the names of axes at the left and at the lowest panel of each column alone."""
    for place, axes in enumerate(grid):
        if place % PANEL_COLUMNS:
            axes.set_ylabel("")
        if place + PANEL_COLUMNS < len(grid):
            axes.set_xlabel("")
        else:
            axes.tick_params(labelbottom=True)


def pictures(study: Study) -> Iterator[Picture]:
    """Yields every figure that `study` has data for."""
    systems = study.systems
    basis = _basis(study, f"N = {study.n:,} {study.unit}s")
    yield Picture(
        "rates",
        f"{RATES[study.unit]} by variant, {study.split}",
        f"Dots: seeds. Bar: mean and 95 % interval. Dashed: the baseline. {basis}",
        (partial(panels.rates, study=study),),
        rows=len(systems),
    )
    if compared := [system for system in systems if system.verdict is not None]:
        yield Picture(
            "differences",
            f"Difference to {study.baseline}, {study.split}",
            "Left of zero: fewer errors than the baseline. Bar: 95 % interval; the verdict is "
            f"corrected for the number of variants compared, {study.family} (Holm). {basis}",
            (partial(panels.forest, study=study, systems=compared),),
            rows=len(compared),
        )
    yield from _costs(study, basis)
    yield from _learning(study)
    yield from _lengths(study)


def _basis(study: Study, size: str) -> str:
    """Returns the data behind a figure of the split, in words."""
    speakers = f" of {study.speakers:,} speakers" if study.speakers else ""
    return (
        f"{study.corpus.name} {study.split}: {study.utterances:,} utterances{speakers},"
        f" {size}, profile {study.profile}, {seed_list(study.seeds)}."
    )


def _costs(study: Study, basis: str) -> Iterator[Picture]:
    """Yields a figure for each measure of cost that at least two trained systems have."""
    for axis in COST_AXES:
        points = {
            place: (axis.factor * value, 100 * system.rate)
            for place, system in enumerate(study.systems)
            if system.trained and (value := axis.value(system.cost)) is not None
        }
        if len({cost for cost, _ in points.values()}) < 2:
            continue
        left_out = len(study.systems) - len(points)
        without = f" Not shown: {left_out} not trained or of unknown cost." if left_out else ""
        if not all(is_judged(study.systems[place]) for place in points):
            without = f" Faint: not judged, and so not on the front.{without}"
        yield Picture(
            axis.name,
            f"{RATES[study.unit]} against {axis.label.partition(' (')[0]}",
            f"Lower left is better. Bar: 95 % interval. Line: Pareto front; no system is better "
            f"than these on both axes.{without} {basis}",
            (partial(panels.cost, study=study, points=points, axis=axis.label),),
            keys=len(points),
        )


def _at_most(study: Study, has_data: Callable[[StudySystem], bool]) -> tuple[list[int], str]:
    """Returns the systems that a panel of lines shows, and a sentence on those that it omits."""
    places = [place for place, system in enumerate(study.systems) if has_data(system)]
    if len(places) <= MOST_SYSTEMS:
        return places, ""

    first = study.systems[places[0]]

    def distance(place: int) -> float:
        return abs(study.systems[place].rate - first.rate)

    others = sorted(places[1:], key=distance, reverse=True)[: MOST_SYSTEMS - 1]
    shown = f" {MOST_SYSTEMS} of {len(places)} systems: {first.label}, and those furthest from it."
    return [places[0], *sorted(others)], shown


def _learning(study: Study) -> Iterator[Picture]:
    places, rest = _at_most(study, lambda system: bool(system.curves))
    if places and (dev := study.dev):
        size = f"N = {dev.n:,} characters, " if dev.n else ""
        yield Picture(
            "learning",
            "Dev CER during training",
            f"Line: mean over the trained seeds; band: from the least to the greatest of them. "
            f"Thin line: a seed that is not trained.{rest} {study.corpus.name} dev, {size}"
            f"profile {dev.profile}, greedy decoding, {seed_list(study.seeds)}.",
            (partial(panels.curves, study=study, places=places),),
            keys=len(places),
        )


def _lengths(study: Study) -> Iterator[Picture]:
    """Yields a figure for each measure of length: seconds, and characters of the reference."""
    if study.findings is None:
        return
    measures: dict[str, ByLength | None] = {
        "duration": study.findings.lengths.duration,
        "reference length": study.findings.lengths.reference_length,
    }
    for measure, lengths in measures.items():
        if lengths is None or len(lengths.bins) < 2:
            continue
        labels = _most_different(study, lengths)
        compared = {label for each in lengths.bins for label in each.differences}
        left_out = len(compared) - len(labels)
        rest = f" {left_out} systems that differ less are left out." if left_out else ""
        sizes = sorted(each.utterances for each in lengths.bins)
        basis = _basis(study, f"N = {sum(each.n for each in lengths.bins):,} characters")
        if labels:
            yield Picture(
                f"length_{lengths.unit}s",
                f"CER by {measure}, minus that of {study.baseline}",
                f"Below zero: fewer errors than {study.baseline}. Horizontal line: a bin of "
                f"{sizes[0]:,} to {sizes[-1]:,} utterances; vertical line: 95 % interval, not "
                f"corrected for the number of bins.{rest} {basis}",
                tuple(
                    partial(panels.length_differences, study=study, lengths=lengths, label=label)
                    for label in labels
                ),
            )


def _most_different(study: Study, lengths: ByLength) -> list[str]:
    """Returns the systems with a difference in a bin; of many, those with the largest in all."""
    compared = {label for each in lengths.bins for label in each.differences}
    systems = [system for system in study.systems if system.label in compared]
    first = study.systems[0].rate
    largest = sorted(systems, key=lambda system: abs(system.rate - first), reverse=True)
    shown = largest[:MOST_PANELS]
    return [system.label for system in systems if system in shown]
