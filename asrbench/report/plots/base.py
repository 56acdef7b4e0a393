"""Colours, marks, axes and files of all figures. No figure uses pyplot."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asrbench.base.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")

# The colours of Okabe and Ito, which colour-blind readers can tell apart, without yellow, which is
# too light in print, and three of Tol's (2021). Markers and dashes differ as well, so that figures
# can be printed in grey. `page.css` has each of them for a light and a dark page.
COLOURS = (
    *("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#882255", "#332288", "#999933"),
)
MARKERS = "osD^vPX"
DASHES = ("solid", "dashed", "dashdot", "dotted", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))


def logarithmic(axes: "Axes") -> None:
    """Makes the y axis logarithmic, with plain numbers instead of powers of ten."""
    axes.set_yscale("log")
    plain_ticks(axes.yaxis)


def plain_ticks(axis: "Axis") -> None:
    """Labels a logarithmic axis with plain numbers instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def open_frame(axes: "Axes") -> None:
    """Removes the top and the right side of the frame."""
    axes.spines[["top", "right"]].set_visible(False)


class Look(NamedTuple):
    """The look of one system in every figure."""

    colour: str
    marker: str
    dash: Any


def look(variant: int, search: int = 0) -> Look:
    """Returns the look of a variant by its number; searches differ in marker and dash alone.

    The first 70 variants have different combinations of colour and marker.
    """
    cycle, place = divmod(variant, len(COLOURS))
    other = (place + cycle + search) % len(MARKERS)
    return Look(COLOURS[place], MARKERS[other], DASHES[other])


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
    """Returns the file of a figure, `.png`, `.svg` or `.pdf`; equal figures give equal bytes.

    Text in a PDF is text, in fonts that are embedded whole (type 42), as journals ask for.
    """
    from matplotlib import rc_context

    form = suffix.removeprefix(".")
    file = io.BytesIO()
    # With ids of an SVG that do not depend on chance.
    with rc_context({"svg.hashsalt": "asrbench", "pdf.fonttype": 42}):
        figure.savefig(file, format=form, metadata=_UNDATED[form])
    return file.getvalue()


_UNDATED: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def save(paths: Iterable[Path], figure: "Figure") -> None:
    """Writes a figure to each of `paths`, as PNG or SVG by its suffix."""
    for path in paths:
        write_bytes(path, rendered(figure, path.suffix.lower()))


def write_bytes(path: Path, content: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(content)
