"""Colours, marks, axes and files of all figures. No figure uses pyplot."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrbench.base.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")

# The colours of Okabe and Ito, which colour-blind readers can tell apart, without yellow, which is
# too light in print. Markers and dashes differ as well, so that figures can be printed in grey.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vPX"
DASHES = ("solid", "dashed", "dashdot", "dotted", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))


def logarithmic(axes: "Axes") -> None:
    """Makes the y axis logarithmic, with plain numbers instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def open_frame(axes: "Axes") -> None:
    """Removes the top and the right side of the frame."""
    axes.spines[["top", "right"]].set_visible(False)


def look(variant: int) -> tuple[str, str, Any]:
    """Returns colour, marker and dash; the first 49 variants have different combinations."""
    cycle, place = divmod(variant, len(COLOURS))
    other = (place + cycle) % len(COLOURS)
    return COLOURS[place], MARKERS[other], DASHES[other]


def plain(text: str) -> str:
    """Returns ASCII, because the font that comes with matplotlib has no Hangul."""
    return text.encode("ascii", "replace").decode()


# Files


def new_figure(width: float, height: float, dots_per_inch: int) -> "Figure":
    """Returns an empty figure; its size is in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dots_per_inch, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def rendered(figure: "Figure", suffix: str) -> bytes:
    """Returns the file of a figure, `.png` or `.svg`; equal figures give equal bytes."""
    from matplotlib import rc_context

    form = suffix.removeprefix(".")
    file = io.BytesIO()
    # Without a date, and with ids of an SVG that do not depend on chance.
    with rc_context({"svg.hashsalt": "asrbench"}):
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(file, format=form, metadata=metadata)
    return file.getvalue()


def save(paths: Iterable[Path], figure: "Figure") -> None:
    """Writes a figure to each of `paths`, as PNG or SVG by its suffix."""
    for path in paths:
        write_bytes(path, rendered(figure, path.suffix.lower()))


def write_bytes(path: Path, content: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(content)
