"""The panels of a study's figures. Each function draws on given axes and writes no file."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from asrbench.analysis.lengths import ByLength
from asrbench.report.answer import is_judged
from asrbench.report.plots.base import Look, logarithmic, look, plain, plain_ticks
from asrbench.report.study import Curve, Study, StudySystem
from asrbench.stats.verdicts import Verdict
from asrbench.text.profiles import RATES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT = "#222222", "#d9d9d9"
UNDECIDED = "#767676"
"""The colour of what is no finding."""
MARKERS = {Verdict.BETTER: "v", Verdict.WORSE: "^", Verdict.EQUIVALENT: "s"}
"""The filled marks of findings; every other verdict has a hollow one."""


def looks(study: Study) -> dict[str, Look]:
    """Returns the look of every system by label: one colour for a variant, whatever its search."""
    variants = list(dict.fromkeys(system.variant for system in study.all_systems))
    found: dict[str, Look] = {}
    searches = dict.fromkeys(variants, 0)
    for system in study.all_systems:
        variant = system.variant
        found[system.label] = look(variants.index(variant), searches[variant])
        searches[variant] += 1
    return found


def rates(axes: "Axes", study: Study) -> None:
    """Draws the rate of every system, its interval and its seeds."""
    systems = study.systems
    if systems[0].trained:
        axes.axvline(100 * systems[0].rate, color="#767676", linestyle=(0, (4, 3)), linewidth=0.8)
    for y, system in enumerate(systems):
        colour, marker, _ = looks(study)[system.label]
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
        verdict, colour = system.verdict, looks(study)[system.label].colour
        if difference := system.difference:
            low, high = (100 * end for end in difference.interval)
            axes.hlines(y, low, high, color=colour, linewidth=1.6)
            axes.vlines([low, high], y - 0.14, y + 0.14, color=colour, linewidth=1)
            marker = "o" if verdict is None else MARKERS.get(verdict, "o")
            face = colour if verdict in MARKERS else "white"
            axes.plot(
                100 * difference.delta, y, marker, color=colour, markersize=5, markerfacecolor=face
            )
        axes.annotate(
            _verdict_word(system),
            (1.0, y),
            (3, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize=6.2,
            color=INK if verdict in MARKERS else UNDECIDED,
        )
    _rows(axes, [system.label for system in systems])
    axes.set_xlabel(plain(f"{RATES[study.unit]} points, variant minus {study.baseline}"))


def _verdict_word(system: StudySystem) -> str:
    word = "" if system.verdict is None else system.verdict.short
    return f"{word} (control)" if system.is_control else word


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


WIDE = 10
"""Costs whose greatest is more than so many times the least are drawn on a logarithmic axis."""


def cost(axes: "Axes", study: Study, points: Mapping[int, tuple[float, float]], axis: str) -> None:
    """Draws rate against cost for each system in `points`, and the Pareto front.

    Systems that are not judged are drawn faintly and are not on the front.
    """
    judged = {place for place in points if is_judged(study.systems[place])}
    front = pareto([points[place] for place in points if place in judged])
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
        colour, marker, _ = looks(study)[system.label]
        faint = 1 if place in judged else 0.5
        if system.interval is not None:
            low, high = (100 * end for end in system.interval)
            axes.vlines(cost, low, high, color=colour, linewidth=0.9, alpha=0.6 * faint)
        on_front = place in judged and (cost, rate) in front
        axes.plot(
            cost,
            rate,
            marker,
            color=colour,
            alpha=faint,
            markersize=4.6,
            markerfacecolor=colour if on_front else "white",
            label=plain(system.label),
        )
    costs = [cost for cost, _ in points.values()]
    if min(costs) > 0 and max(costs) > WIDE * min(costs):
        axes.set_xscale("log")
        plain_ticks(axes.xaxis)
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
        colour, _, dash = looks(study)[system.label]
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


def length_differences(axes: "Axes", study: Study, lengths: ByLength, label: str) -> None:
    """Draws the difference of one system to the baseline in each bin of lengths.

    A line is as wide as its bin, and its interval stands at the middle.
    """
    colour = looks(study)[label].colour
    axes.axhline(0, color=INK, linewidth=0.7)
    for each in lengths.bins:
        if difference := each.differences.get(label):
            middle, delta = (each.low + each.high) / 2, 100 * difference.delta
            low, high = (100 * end for end in difference.interval)
            axes.vlines(middle, low, high, color=colour, linewidth=1)
            axes.hlines(delta, each.low, each.high, color=colour, linewidth=2)
    axes.set_title(plain(label), fontsize=6.5, loc="left", pad=2)
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    axes.set_xlabel(plain(f"{lengths.unit}s"))
    axes.set_ylabel("points")
