"""The layout of a table: which columns stand beside each other, and how wide each of them is.

A table that is too wide for the terminal first breaks its heads into two lines, then its texts.
Figures, paths and ids are never broken. What still has no room stands in a further table below,
whose first column is repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

GAP = 2
"""Columns of the terminal between two columns of the table."""
EDGES = 2
"""Columns of the terminal that a table has before its first column and after its last."""


@dataclass(frozen=True)
class TableColumn:
    """One column: its head and its cells."""

    head: str
    cells: tuple[str, ...]

    @property
    def has_figures(self) -> bool:
        """Whether every cell is a figure, a list or range of them, or stands for none."""
        return all(cell[:1] in "0123456789+-" for cell in self.cells)

    @property
    def natural(self) -> int:
        """The width in which nothing is broken."""
        return max(_widest(self.head), self._body)

    @property
    def with_broken_head(self) -> int:
        """The width in which the head has two lines."""
        return max(_half(self.head), self._body)

    @property
    def least(self) -> int:
        """The width in which texts are broken between any two words, too."""
        if self.has_figures:
            return self.with_broken_head
        return max(_half(self.head), *map(_longest_word, self.cells), 0)

    @property
    def _body(self) -> int:
        return max(map(_widest, self.cells), default=0)


def laid_out(columns: Sequence[TableColumn], room: int | None) -> list[dict[int, int]]:
    """Returns, for each table that is to be printed, the width of each of its columns by number.

    `room` is the width of the terminal; None for no limit, which gives one table.
    """
    if room is None:
        return [{k: column.natural for k, column in enumerate(columns)}]
    return [_fitted(columns, block, room) for block in _blocks(columns, room)]


def table_width(widths: Sequence[int]) -> int:
    """Returns the width of a table whose columns have these widths."""
    return sum(widths) + GAP * (len(widths) - 1) + EDGES


def _blocks(columns: Sequence[TableColumn], room: int) -> list[list[int]]:
    """Returns the columns of each table, of which every one begins with the first column."""
    blocks = [[0]]
    for number in range(1, len(columns)):
        wider = [*blocks[-1], number]
        if blocks[-1][1:] and table_width([columns[k].least for k in wider]) > room:
            wider = [0, number]
            blocks.append(wider)
        blocks[-1] = wider
    return blocks


def _fitted(columns: Sequence[TableColumn], block: Sequence[int], room: int) -> dict[int, int]:
    """Returns widths that together are at most `room`, or the least if there is none."""
    widths = {k: columns[k].natural for k in block}
    narrower = (
        {k: columns[k].with_broken_head for k in block},
        {k: columns[k].least for k in block},
    )
    for bounds in narrower:
        for k in sorted(block, key=lambda k: -widths[k]):
            excess = table_width([*widths.values()]) - room
            widths[k] -= max(0, min(excess, widths[k] - bounds[k]))
    return widths


def _widest(text: str) -> int:
    return max(map(cell_len, text.splitlines()), default=0)


def _half(text: str) -> int:
    """Returns the least width in which the words of a text stand in two lines."""
    words = text.split()
    halves = ((" ".join(words[:k]), " ".join(words[k:])) for k in range(max(1, len(words))))
    return min(max(map(cell_len, lines)) for lines in halves)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)
