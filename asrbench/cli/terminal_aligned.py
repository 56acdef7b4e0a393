"""An aligned pair for the eye: in colours on a terminal, in wdiff's marks where there are none."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from asrbench.analysis.segments import Segment, marked

# Told apart without colours too: what is struck was said, what is underlined was heard.
SAID, HEARD = "red strike", "blue underline"
SPACE = "␣"


def aligned(parts: Sequence[Segment], console: Console) -> Text:
    """One line, as `console` can show it."""
    return coloured(parts) if console.is_terminal else Text(printable(marked(parts)))


def coloured(parts: Sequence[Segment]) -> Text:
    """What was said but not heard struck out, what was heard instead underlined; spaces of either
    can be seen."""
    text = Text()
    for part in parts:
        if part.kind == "equal":
            text.append(printable(part.reference))
        else:
            text.append(printable(part.reference).replace(" ", SPACE), SAID)
            text.append(printable(part.hypothesis).replace(" ", SPACE), HEARD)
    return text


def printable(text: str) -> str:
    """Nothing that moves a cursor or changes a terminal: text of a corpus may be anything."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
