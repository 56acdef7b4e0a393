"""The figures of a study, from its document: one column of a paper wide, as PNG and as SVG.

Every figure carries what it stands on: split, N, profile and seeds. No pyplot state.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from asrbench.base.files import atomic
from asrbench.report.plots import panels
from asrbench.report.plots.base import opened, plain
from asrbench.report.plots.panels import INK, Study, System
from asrbench.text.profiles import RATES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg")
COLUMN_INCHES = 3.5
ROW_INCHES = 0.27
DOTS_PER_INCH = 300
CAPTION_LETTERS = 86
CROWD = 7
"""Lines that one panel of lines or bars can hold and still be read."""

LOOKS: Any = {
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
    # The same figures are the same file: ids of an SVG are drawn from this.
    "svg.hashsalt": "asrbench",
}

COSTS = (
    ("step_seconds", "cost_time", "time of an optimizer step (ms)", 1e3),
    ("flops_per_audio_second", "cost_flops", "forward FLOPs per second of audio (billions)", 1e-9),
    ("parameters", "cost_parameters", "parameters (millions)", 1e-6),
)
"""Of a system's `cost`: the key, the name of its figure, the axis, and the factor to its unit."""


@dataclass(frozen=True)
class Picture:
    """A figure of the study. `name` is that of its files; `says` is its caption in full."""

    name: str
    title: str
    says: str
    draw: Callable[["Axes"], None]
    rows: int = 0
    """Of a figure that has a row for each system; the others have one height."""
    keys: int = 0
    """Entries of the legend below."""


def draw(study: Study, folder: Path) -> list[Path]:
    """Leaves a PNG and an SVG of each figure the study has the data for in `folder`."""
    paths = []
    for picture in pictures(study):
        for suffix in FORMATS:
            path = folder / f"{picture.name}{suffix}"
            with atomic(path) as temporary:
                temporary.write_bytes(rendered(picture, suffix))
            paths.append(path)
    return paths


def rendered(picture: Picture, suffix: str) -> bytes:
    """The file that `picture` is, as `suffix` of `FORMATS` says."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(LOOKS):
        caption = fill(plain(picture.says), CAPTION_LETTERS)
        height = 0.62 + ROW_INCHES * picture.rows if picture.rows else 2.1
        height += 0.1 * (caption.count("\n") + 1) + 0.125 * -(-picture.keys // 2)
        figure = Figure(
            figsize=(COLUMN_INCHES, height + 0.2), dpi=DOTS_PER_INCH, layout="constrained"
        )
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        picture.draw(axes)
        axes.set_axisbelow(True)
        opened(axes)
        if picture.keys:
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(-0.1, 1.0),
                ncols=2,
                frameon=False,
                handlelength=2.6,
                labelspacing=0.25,
            )
        figure.suptitle(plain(picture.title), fontsize=8, x=0.01, ha="left", weight="bold")
        figure.supxlabel(caption, fontsize=5.6, x=0.01, ha="left", color="#555555")
        form = suffix.removeprefix(".")
        file = io.BytesIO()
        when = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(file, format=form, metadata=when)
    return file.getvalue()


def pictures(study: Study) -> Iterator[Picture]:
    """Every figure that `study` has the data for, the plainest first."""
    systems = study["systems"]
    basis = _basis(study, f"N = {study['n']:,} {study['unit']}s")
    yield Picture(
        "rates",
        f"{RATES[study['unit']]} by variant, {study['split']}",
        f"Dots: seeds. Bar: mean and 95 % interval. Dashed: the baseline. {basis}",
        partial(panels.rates, study=study),
        rows=len(systems),
    )
    if compared := [system for system in systems if system["verdict"] is not None]:
        family = sum(system["difference"] is not None for system in compared)
        yield Picture(
            "differences",
            f"Difference to {study['baseline']}, {study['split']}",
            "Left of zero: fewer errors than the baseline. Bar: 95 % interval; the verdict is "
            f"corrected for the number of variants compared, {family} (Holm). {basis}",
            partial(panels.forest, study=study, systems=compared),
            rows=len(compared),
        )
    yield from _costs(study, basis)
    yield from _learning(study)
    yield from _lengths(study)


def _basis(study: Study, size: str) -> str:
    """What every figure of the split stands on."""
    speakers = f" of {study['speakers']:,} speakers" if study.get("speakers") else ""
    return (
        f"{study['corpus']['name']} {study['split']}: {study['utterances']:,} utterances{speakers},"
        f" {size}, profile {study['profile']}, {_seeds(study)}."
    )


def _seeds(study: Study) -> str:
    seeds = study["seeds"]
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"


def _costs(study: Study, basis: str) -> Iterator[Picture]:
    """A figure for each measure of cost that at least two trained systems have."""
    for key, name, axis, factor in COSTS:
        points = {
            place: (factor * system["cost"][key], 100 * system["rate"])
            for place, system in enumerate(study["systems"])
            if system["trained"] and system["cost"][key] is not None
        }
        if len({cost for cost, _ in points.values()}) < 2:
            continue
        left_out = len(study["systems"]) - len(points)
        without = f" Not shown: {left_out} untrained or of unknown cost." if left_out else ""
        yield Picture(
            name,
            f"{RATES[study['unit']]} against {axis.partition(' (')[0]}",
            f"Lower left is better. Bar: 95 % interval. Line: the Pareto front, which nothing "
            f"beats on both.{without} {basis}",
            partial(panels.cost, study=study, points=points, axis=axis),
            keys=len(points),
        )


def _crowd(study: Study, able: Callable[[System], bool]) -> tuple[list[int], str]:
    """Which systems a panel of lines shows, and in words which it does not."""
    places = [place for place, system in enumerate(study["systems"]) if able(system)]
    if len(places) <= CROWD:
        return places, ""

    first = study["systems"][places[0]]

    def apart(place: int) -> float:
        return abs(float(study["systems"][place]["rate"] - first["rate"]))

    others = sorted(places[1:], key=apart, reverse=True)[: CROWD - 1]
    said = f" {CROWD} of {len(places)}: {first['label']}, and those furthest from it."
    return [places[0], *sorted(others)], said


def _learning(study: Study) -> Iterator[Picture]:
    places, rest = _crowd(study, lambda system: bool(system["curves"]))
    if places:
        dev = study["dev"]
        size = f"N = {dev['n']:,} characters, " if dev["n"] else ""
        yield Picture(
            "learning",
            "CER on dev while training",
            f"Line: mean over the seeds that learned; band: from the least to the greatest of "
            f"them. Thin: a seed that never learned.{rest} {study['corpus']['name']} dev, {size}"
            f"profile {dev['profile']}, greedy decoding, {_seeds(study)}.",
            partial(panels.curves, study=study, places=places),
            keys=len(places),
        )


def _lengths(study: Study) -> Iterator[Picture]:
    """A figure for each measure of length: seconds, and characters of the reference."""
    for measure, part in (study.get("lengths") or {}).items():
        bins = part["bins"] if part else []
        if len(bins) < 2:
            continue
        places, rest = _crowd(study, partial(_known, known=bins[0]["systems"]))
        basis = _basis(study, f"N = {sum(one['n'] for one in bins):,} characters")
        if places:
            yield Picture(
                f"length_{part['unit']}s",
                f"CER by {measure.replace('_', ' ')}",
                f"Mean over seeds and 95 % interval, in bins of about equally many utterances; "
                f"runs that never learned left out.{rest} {basis}",
                partial(panels.bins, study=study, part=part, places=places),
                keys=len(places),
            )


def _known(system: System, known: Mapping[str, Any]) -> bool:
    return bool(system["trained"]) and system["label"] in known
