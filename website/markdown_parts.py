"""Pieces of Markdown that the generated pages are made of."""

import re
from collections.abc import Iterable, Sequence
from html import escape

SIGN = re.compile(r"[\\*_\[#]")
"""The signs that Markdown may read as something else than themselves."""


def code(text: str) -> str:
    """Returns `text` in code style, also where it has backticks."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def plain(text: str) -> str:
    """Returns running text whose signs are no Markdown, but for the code in it, on one line."""
    pieces = " ".join(text.split()).split("`")
    pieces[::2] = [SIGN.sub(r"\\\g<0>", escape(each, quote=False)) for each in pieces[::2]]
    return "`".join(pieces)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table. A cell may hold `|`, also within code, and no line break."""
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def anchor(name: str) -> str:
    """Returns the target of links to `#name`."""
    return f'<a id="{name}"></a>'
