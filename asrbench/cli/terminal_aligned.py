"""Aligned texts on the terminal: in colours, or in the notation of wdiff without a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from asrbench.analysis.segments import EditSegment, marked
from asrbench.cli.terminal import printable

# Readable without colours too: the reference is struck through, the hypothesis is underlined.
REFERENCE, HYPOTHESIS = "red strike", "blue underline"
SPACE = "␣"


def aligned(segments: Sequence[EditSegment], console: Console) -> Text:
    """Returns one line in the form that `console` can show."""
    return coloured(segments) if console.is_terminal else Text(printable(marked(segments)))


def coloured(segments: Sequence[EditSegment]) -> Text:
    """Returns the hypothesis with its edits in colours; spaces in edits are visible."""
    text = Text()
    for segment in segments:
        if segment.kind == "equal":
            text.append(printable(segment.reference))
        else:
            text.append(printable(segment.reference).replace(" ", SPACE), REFERENCE)
            text.append(printable(segment.hypothesis).replace(" ", SPACE), HYPOTHESIS)
    return text
