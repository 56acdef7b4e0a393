"""Pieces of Markdown that the generated pages are made of."""

from collections.abc import Iterable, Sequence


def code(text: str) -> str:
    """Returns `text` in code style, also where it has backticks."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def plain(text: str) -> str:
    """Returns running text whose signs are no Markdown, but for the code in it, on one line."""
    pieces = " ".join(text.split()).split("`")
    for index in range(0, len(pieces), 2):
        for sign in "\\<*_[#":
            pieces[index] = pieces[index].replace(sign, f"\\{sign}")
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
