"""Figures of a model at work: attention maps, posteriors and gradients.

Maps are in one scale of grey, darker is more, which print and every reader can tell apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asrbench.analysis.gradients import DepthRatio
from asrbench.base.formatting import counted
from asrbench.report.plots.base import COLOURS, look, new_figure, open_frame, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.floating]

DOTS_PER_INCH = 160
MAP_INCHES = 1.75
SHADES = "Greys"
MARK = COLOURS[2]
FONT = "DejaVu Sans"
"""The font that comes with matplotlib."""
HANGUL_FONTS = (
    "NanumGothic",
    "Nanum Gothic",
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "AppleGothic",
    "UnDotum",
)
"""Fonts to try in this order for symbols that the font of matplotlib does not have."""


@dataclass(frozen=True)
class Maps:
    """The attention weights of one layer, (H, T, S); every row sums to 1."""

    layer: str
    weights: Array
    relates: str
    """The meaning of rows and columns: `frames to frames`, for example."""


@dataclass(frozen=True)
class LayerHeads:
    """Means of each head of one layer over a split; None where a figure has no meaning."""

    layer: str
    distances_ms: Sequence[float | None]
    entropies: Sequence[float | None]
    """As a share of the entropy of uniform weights: 0 to 1."""
    uniform_distance_ms: float | None
    """The distance that uniform weights would have."""


@dataclass(frozen=True)
class Symbol:
    """The place of one symbol of the reference in the forced alignment."""

    text: str
    index: int
    start_s: float
    end_s: float


def _figure(width: float, height: float, title: str) -> "Figure":
    figure = new_figure(width, height, DOTS_PER_INCH)
    figure.suptitle(plain(title), fontsize=9)
    return figure


# Attention


def attention(layers: Sequence[Maps], *, frame_s: float, first_s: float, title: str) -> "Figure":
    """Draws one row per layer and one column per head, each map scaled to its greatest weight."""
    columns = max(_columns(maps) for maps in layers)
    width = max(4.5, 0.9 + MAP_INCHES * columns)
    figure = _figure(width, 0.7 + (MAP_INCHES + 0.35) * len(layers), title)
    grid = figure.subplots(len(layers), columns, squeeze=False)
    for maps, row in zip(layers, grid, strict=True):
        shown = _shown(maps)
        for h, axes in enumerate(row):
            if h >= len(shown):
                axes.set_axis_off()
                continue
            _map(axes, shown[h], maps.relates, frame_s, first_s)
            if maps.relates != "heads to heads":
                axes.set_title(f"head {h}", fontsize=7, pad=2)
        row[0].set_ylabel(f"{maps.layer}\nquery: {_side(maps.relates, 0)}", fontsize=7)
    figure.supxlabel(
        "a query (row) attends to keys (columns); darker is more, each map is scaled to its "
        "greatest weight",
        fontsize=8,
    )
    return figure


def _columns(maps: Maps) -> int:
    return len(_shown(maps))


def _shown(maps: Maps) -> Array:
    """Returns the maps to draw: attention across heads has one per frame, so their mean."""
    return maps.weights.mean(axis=1)[None] if maps.relates == "heads to heads" else maps.weights


def _side(relates: str, side: int) -> str:
    named = {"frames": "time (s)", "heads": "head", "symbols": "symbol"}
    return named[relates.split(" to ")[side]]


def _map(axes: "Axes", weights: Array, relates: str, frame_s: float, first_s: float) -> None:
    from matplotlib.ticker import MaxNLocator

    rows, columns = weights.shape
    spans = [
        _span(count, frame_s, first_s) if kind == "frames" else (-0.5, count - 0.5)
        for kind, count in zip(relates.split(" to "), (rows, columns), strict=True)
    ]
    (top, bottom), (left, right) = spans
    axes.imshow(
        weights,
        cmap=SHADES,
        vmin=0,
        vmax=float(weights.max()) or 1,
        aspect="auto",
        interpolation="nearest",
        extent=(left, right, bottom, top),
    )
    for axis, kind in zip((axes.yaxis, axes.xaxis), relates.split(" to "), strict=True):
        axis.set_major_locator(MaxNLocator(nbins=6, integer=kind != "frames"))
    axes.tick_params(labelsize=6, length=2)
    axes.set_xlabel(f"key: {_side(relates, 1)}", fontsize=6.5, labelpad=1)


def _span(frames: int, frame_s: float, first_s: float) -> tuple[float, float]:
    """Returns the outer edges of the first and the last frame, in seconds."""
    start = first_s - frame_s / 2
    return start, start + frames * frame_s


def by_layer(layers: Sequence[LayerHeads], *, title: str) -> "Figure":
    """Draws the mean distance and the mean entropy of each head, by layer."""
    entropies = [[100 * e for e in each.entropies if e is not None] for each in layers]
    distances = [[d for d in each.distances_ms if d is not None] for each in layers]
    uniform: list[float | None] = [100.0] * len(layers)
    panels = [("entropy (% of an even spread)", entropies, uniform)]
    if any(distances):
        uniform = [each.uniform_distance_ms for each in layers]
        panels.insert(0, ("mean distance attended to (ms)", distances, uniform))
    figure = _figure(4.7 * len(panels), 3.6, title)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (label, values, even) in zip(grid, panels, strict=True):
        for x, (heads, if_uniform) in enumerate(zip(values, even, strict=True)):
            _heads(axes, x, heads)
            if heads and if_uniform is not None:
                axes.hlines(if_uniform, x - 0.3, x + 0.3, color="0.45", linestyle=(0, (4, 3)))
        axes.set_xticks(range(len(layers)), [plain(each.layer) for each in layers], fontsize=7)
        axes.set_xlim(-0.6, len(layers) - 0.4)
        axes.set_ylim(0, 1.08 * axes.dataLim.y1 if axes.dataLim.y1 > 0 else 1)
        axes.set_ylabel(label)
        axes.grid(axis="y", color="0.92")
        axes.set_axisbelow(True)
        open_frame(axes)
    figure.supxlabel("o: one head; bar: mean over heads; dashed: uniform attention", fontsize=8)
    return figure


def _heads(axes: "Axes", x: int, values: Sequence[float]) -> None:
    if not values:
        axes.annotate(
            "none",
            (x, 0.5),
            xycoords=("data", "axes fraction"),
            ha="center",
            fontsize=7,
        )
        return
    offsets = np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else np.zeros(1)
    axes.plot(
        x + offsets,
        values,
        linestyle="none",
        marker="o",
        markerfacecolor="white",
        markeredgecolor=COLOURS[1],
    )
    axes.hlines(float(np.mean(values)), x - 0.3, x + 0.3, color=COLOURS[1], linewidth=2)


# Posteriors


def posteriors(
    log_probs: Array,
    spoken: Sequence[Symbol],
    *,
    frame_s: float,
    first_s: float,
    title: str,
) -> "Figure":
    """Draws the posterior of each symbol of the reference over time, and of the blank below.

    `log_probs` is (T, V). A box marks the frames that the forced alignment gives to a symbol.
    """
    rows = [*(each.index for each in spoken), 0]
    shown = np.exp(log_probs.astype(np.float64))[:, rows].T
    clock = _span(len(log_probs), frame_s, first_s)
    return _symbols_over_time(shown, spoken, ["blank"], "posterior", clock, title)


def alignment(
    frames: int,
    probabilities: Sequence[float],
    spoken: Sequence[Symbol],
    *,
    frame_s: float,
    first_s: float,
    title: str,
) -> "Figure":
    """Draws the frames of each symbol of the reference, in the shade of its probability there.

    It is the picture of a model whose posteriors depend on the symbols before, as a transducer's.
    """
    shown, (left, right) = np.zeros((len(spoken), frames)), _span(frames, frame_s, first_s)
    for u, each in enumerate(spoken):
        start, end = (round((edge - left) / frame_s) for edge in (each.start_s, each.end_s))
        shown[u, start:end] = probabilities[u]
    return _symbols_over_time(shown, spoken, [], "probability", (left, right), title)


def _symbols_over_time(
    shown: Array,
    spoken: Sequence[Symbol],
    below: Sequence[str],
    name: str,
    span: tuple[float, float],
    title: str,
) -> "Figure":
    """Draws shares (U + len(below), T) in shades, with a box around the frames of each symbol."""
    from matplotlib.patches import Rectangle

    figure = _figure(10.0, 1.5 + 0.14 * len(shown), title)
    axes = figure.subplots()
    image = axes.imshow(
        shown,
        cmap=SHADES,
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(*span, len(shown) - 0.5, -0.5),
    )
    for u, each in enumerate(spoken):
        box = (each.start_s, u - 0.5), each.end_s - each.start_s, 1.0
        axes.add_patch(Rectangle(*box, fill=False, edgecolor=MARK, linewidth=1.0))
    labels, fonts = _spelled([each.text for each in spoken])
    axes.set_yticks(range(len(shown)), [*labels, *below], fontsize=6.5, family=fonts)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("time (s)")
    axes.set_ylabel("symbol of the reference")
    figure.colorbar(image, ax=axes, label=name, fraction=0.03, pad=0.01)
    return figure


def _spelled(symbols: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns labels and the fonts that have their characters; numbers if no font has."""
    labels = ["␣" if each == " " else each for each in symbols]
    missing = {ord(character) for label in labels for character in label} - _characters(FONT)
    if not missing:
        return labels, [FONT]
    if family := _font_with(missing):
        return labels, [FONT, family]
    return [str(u) for u in range(1, len(labels) + 1)], [FONT]


def hangul_font() -> str | None:
    """Returns the font of Hangul in figures; None if no font of the system has it."""
    return _font_with({ord(syllable) for syllable in "가힣"})


def _font_with(codes: set[int]) -> str | None:
    return next((family for family in HANGUL_FONTS if codes <= _characters(family)), None)


@lru_cache
def _characters(family: str) -> frozenset[int]:
    """Returns the code points that the font can draw; none if it is not installed."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    try:
        path = font_manager.findfont(family, fallback_to_default=False)
    except ValueError:
        return frozenset()
    return frozenset(FT2Font(path).get_charmap())


# Gradients


def gradients(variants: Mapping[str, Sequence[DepthRatio]], *, title: str) -> "Figure":
    """Draws the gradient norm of the lowest layer of the stack over the highest's, by epoch.

    Lines are geometric means over seeds; bands reach from the least to the greatest seed. A variant
    without runs is not drawn, and the others keep their colours.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    figure = _figure(7.5, 4.4, title)
    axes = figure.subplots()
    axes.axhline(1, color="0.45", linestyle=(0, (4, 3)), linewidth=1)
    for place, (name, runs) in enumerate(variants.items()):
        if not runs:
            continue
        colour, _, dash = look(place)
        epochs, low, middle, high = _over_seeds(runs)
        axes.plot(
            epochs,
            middle,
            color=colour,
            linestyle=dash,
            linewidth=1.5,
            marker="." if len(epochs) == 1 else None,
            label=plain(f"{name}, {counted(len(runs), 'seed')}"),
        )
        if len(runs) > 1:
            axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch\nbelow 1 the gradient shrinks on its way down; band: range over seeds")
    axes.set_ylabel("gradient norm, lowest over\nhighest layer of the stack")
    axes.grid(color="0.92")
    axes.legend(fontsize=7.5, frameon=False, handlelength=3.2, loc="best")
    open_frame(axes)
    return figure


def _over_seeds(runs: Sequence[DepthRatio]) -> tuple[list[int], Array, Array, Array]:
    """Returns all epochs, with the least, the geometric mean and the greatest ratio over runs."""
    by_epoch: dict[int, list[float]] = {}
    for run in runs:
        for epoch, ratio in zip(run.epochs, run.ratios, strict=True):
            by_epoch.setdefault(epoch, []).append(ratio)
    epochs = sorted(by_epoch)
    low = np.array([min(by_epoch[epoch]) for epoch in epochs])
    middle = np.array([np.exp(np.log(by_epoch[epoch]).mean()) for epoch in epochs])
    high = np.array([max(by_epoch[epoch]) for epoch in epochs])
    return epochs, low, middle, high
