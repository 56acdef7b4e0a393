"""The panels of a study's figures. Each function draws on given axes and writes no file."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING

from asrbench.analysis.lengths import ByLength
from asrbench.report.plots.base import logarithmic, look, plain
from asrbench.report.study import Curve, Study, StudySystem
from asrbench.stats.verdicts import Verdict
from asrbench.text.profiles import RATES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT = "#222222", "#d9d9d9"
TINTS = {Verdict.BETTER: "#0072B2", Verdict.WORSE: "#D55E00", Verdict.EQUIVALENT: "#117733"}
"""Colour-blind readers can tell blue from vermilion, and the markers differ too."""
UNDECIDED = "#767676"
"""The colour of every other verdict."""
MARKERS = {Verdict.BETTER: "v", Verdict.WORSE: "^", Verdict.EQUIVALENT: "s"}


def rates(axes: "Axes", study: Study) -> None:
    """Draws the rate of every system, its interval and its seeds."""
    systems = study.systems
    if systems[0].trained:
        axes.axvline(100 * systems[0].rate, color="#767676", linestyle=(0, (4, 3)), linewidth=0.8)
    for y, system in enumerate(systems):
        colour, marker, _ = look(y)
        learned = [run.rate for run in system.runs if run.failure is None]
        if system.trained:
            if system.interval is not None:
                low, high = (100 * end for end in system.interval)
                axes.hlines(y, low, high, color=colour, linewidth=4, alpha=0.28)
            axes.vlines(100 * system.rate, y - 0.3, y + 0.3, color=colour, linewidth=1.6)
        axes.plot(
            [100 * rate for rate in learned],
            [y + 0.12 * (i - (len(learned) - 1) / 2) for i in range(len(learned))],
            linestyle="none",
            marker=marker,
            markersize=3.2,
            markerfacecolor="white",
            markeredgecolor=colour,
            markeredgewidth=0.9,
        )
        # To scale, runs that are not trained would compress all others.
        if failed := [f"{100 * r.rate:.0f}" for r in system.runs if r.failure is not None]:
            _beside(axes, y + (0.36 if learned else 0), f"not trained: {', '.join(failed)} %")
    _rows(axes, [system.label for system in systems])
    axes.set_xlabel(f"{RATES[study.unit]} (%)")


def forest(axes: "Axes", study: Study, systems: Sequence[StudySystem]) -> None:
    """Draws the difference of every system to the baseline, with interval and verdict."""
    axes.axvline(0, color=INK, linewidth=0.8)
    for y, system in enumerate(systems):
        verdict = system.verdict
        tint = UNDECIDED if verdict is None else TINTS.get(verdict, UNDECIDED)
        if difference := system.difference:
            low, high = (100 * end for end in difference.interval)
            axes.hlines(y, low, high, color=tint, linewidth=1.6)
            axes.vlines([low, high], y - 0.14, y + 0.14, color=tint, linewidth=1)
            marker = "o" if verdict is None else MARKERS.get(verdict, "o")
            face = tint if verdict in MARKERS else "white"
            axes.plot(
                100 * difference.delta, y, marker, color=tint, markersize=5, markerfacecolor=face
            )
        axes.annotate(
            "" if verdict is None else verdict.short,
            (1.0, y),
            (3, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize=6.2,
            color=tint,
        )
    _rows(axes, [system.label for system in systems])
    axes.set_xlabel(plain(f"{RATES[study.unit]} points, variant minus {study.baseline}"))


def _rows(axes: "Axes", labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [plain(label) for label in labels])
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT, linewidth=0.5)
    axes.margins(x=0.08)


def _beside(axes: "Axes", y: float, text: str) -> None:
    """Writes `text` at the right end of row `y`."""
    axes.annotate(
        text,
        (1.0, y),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        ha="right",
        fontsize=5.8,
        color=UNDECIDED,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )


def cost(axes: "Axes", study: Study, points: Mapping[int, tuple[float, float]], axis: str) -> None:
    """Draws rate against cost for each system in `points`, and the Pareto front."""
    front = pareto(list(points.values()))
    axes.plot(
        [cost for cost, _ in front],
        [rate for _, rate in front],
        drawstyle="steps-post",
        color="#767676",
        linewidth=0.9,
        zorder=1,
    )
    for place, (cost, rate) in points.items():
        system = study.systems[place]
        colour, marker, _ = look(place)
        if system.interval is not None:
            low, high = (100 * end for end in system.interval)
            axes.vlines(cost, low, high, color=colour, linewidth=0.9, alpha=0.6)
        axes.plot(
            cost,
            rate,
            marker,
            color=colour,
            markersize=4.6,
            markerfacecolor=colour if (cost, rate) in front else "white",
            label=plain(system.label),
        )
    axes.set_xlabel(axis)
    axes.set_ylabel(f"{RATES[study.unit]} (%)")
    axes.grid(color=FAINT, linewidth=0.5)
    axes.margins(0.1)


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns the points (cost, error) that no other beats on both, ordered by cost."""
    front: list[tuple[float, float]] = []
    for cost, error in sorted(set(points)):
        if not front or error < front[-1][1]:
            front.append((cost, error))
    return front


def curves(axes: "Axes", study: Study, places: Sequence[int]) -> None:
    """Draws the dev CER by epoch of the systems with these numbers."""
    from matplotlib.ticker import MaxNLocator

    lowest = 100.0
    for place in places:
        system = study.systems[place]
        colour, _, dash = look(place)
        failed = {run.seed for run in system.runs if run.failure is not None}
        learned = [curve for curve in system.curves if curve.seed not in failed]
        for curve in system.curves:
            lowest = min(lowest, *(100 * cer for cer in curve.dev_cer))
            if curve.seed in failed:
                percent = [100 * cer for cer in curve.dev_cer]
                axes.plot(curve.epoch, percent, color=colour, linestyle=dash, linewidth=0.5)
        epochs, means, least, greatest = spread(learned)
        axes.fill_between(epochs, least, greatest, color=colour, alpha=0.16, linewidth=0)
        axes.plot(
            epochs,
            means,
            color=colour,
            linestyle=dash,
            linewidth=1.1,
            marker="." if len(epochs) == 1 else None,
            label=plain(system.label),
        )
    if lowest > 0:
        logarithmic(axes)
    axes.set_xlabel("epoch")
    axes.set_ylabel("dev CER (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=FAINT, linewidth=0.5)


def spread(
    curves: Sequence[Curve],
) -> tuple[list[int], list[float], list[float], list[float]]:
    """Returns the epochs that all curves have, and there the mean, least and greatest dev CER in %.

    Later epochs are left out, because the mean would jump where one of the runs stopped.
    """
    by_epoch = [dict(zip(curve.epoch, curve.dev_cer, strict=True)) for curve in curves]
    epochs = sorted(set.intersection(*map(set, by_epoch))) if by_epoch else []
    at = [[100 * curve[epoch] for curve in by_epoch] for epoch in epochs]
    return epochs, [sum(a) / len(a) for a in at], [min(a) for a in at], [max(a) for a in at]


def bins(axes: "Axes", study: Study, lengths: ByLength, places: Sequence[int]) -> None:
    """Draws the CER by length of the systems with these numbers."""
    bins = lengths.bins
    step = 0.7 / len(places)
    for turn, place in enumerate(places):
        system = study.systems[place]
        colour, marker, dash = look(place)
        rates = [each.systems[system.label] for each in bins]
        x = [i + step * (turn - (len(places) - 1) / 2) for i in range(len(bins))]
        for at, rate in zip(x, rates, strict=True):
            if rate.interval is not None:
                low, high = (100 * end for end in rate.interval)
                axes.vlines(at, low, high, color=colour, linewidth=1)
        axes.plot(
            x,
            [nan if rate.cer is None else 100 * rate.cer for rate in rates],
            color=colour,
            linestyle=dash,
            linewidth=0.7,
            marker=marker,
            markersize=3,
            label=plain(system.label),
        )
    names = [f"{each.low:.3g}-{each.high:.3g}\n({each.utterances:,})" for each in bins]
    axes.set_xticks(range(len(bins)), names)
    axes.set_xlabel(plain(f"{lengths.unit}s (utterances)"))
    axes.set_ylabel("CER (%)")
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
