"""What all pictures share: colours, marks, axes. No pyplot state anywhere."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which the colour-blind tell apart, without yellow, which print loses.
# Marker and dash differ as well, so that the picture survives a grey printer.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vPX"
DASHES = ("solid", "dashed", "dashdot", "dotted", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))


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
