"""Output to the user: a progress bar on a terminal, lines in a log, tables, and errors in red."""

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.markup import escape as without_markup
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from asrbench.base.distributed import prints_errors
from asrbench.base.errors import RankError, UserError
from asrbench.cli.terminal_table import TableColumn, laid_out, table_width

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""Characters that change a terminal: controls (C0 but tab and line feed, C1), the directions of
writing (bidi), and surrogates, which no terminal can be sent."""

MOST_COLUMNS = 100
"""Longest line of a paragraph; longer ones are hard to read."""

_WORD = re.compile(r"(?:\S+ = )?(?:`[^`]*`|(?<!\S)'[^']*'|\S)+\s*")
"""A word, or words in quotes, and the spaces behind."""


def printable(text: str) -> str:
    """Returns the text with U+FFFD for every character that could change the terminal.

    Ids, names and texts come from files of other people.
    """
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def echo(text: str, end: str = "\n") -> None:
    """Prints text to standard output, as `printable` returns it."""
    typer.echo(printable(text) + end, nl=False)


def echo_json(document: str) -> None:
    """Prints a JSON document to standard output, and as `\\u001b` what `printable` replaces."""
    typer.echo(_UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", document))


class Terminal:
    """A `Reporter` that prints to standard output, or nothing if it is quiet."""

    def __init__(self, log_seconds: float = 30.0, *, quiet: bool = False) -> None:
        self.console = Console(highlight=False, quiet=quiet)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("", note="")
        self._description = ""
        self._log_seconds = log_seconds
        self._logged_at = time.monotonic()

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        _print_paragraph(self.console, Text(printable(line)))

    def progress(self, task: str, done: int, total: int, note: str = "") -> None:
        if not self.console.is_terminal:
            self._log(f"{task}: {done}/{total}  {note}".rstrip())
            return
        if task != self._description:
            self._description = task
            self._bar.reset(self._task, total=total, description=_escaped(task), note="")
        self._bar.start()
        self._bar.update(self._task, completed=done, total=total, note=_escaped(note))

    def _log(self, line: str) -> None:
        if time.monotonic() - self._logged_at >= self._log_seconds:
            self._logged_at = time.monotonic()
            self.say(line)


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str | None = None,
    styles: Mapping[str, str] | None = None,
) -> None:
    """Prints a table to standard output; columns of figures are aligned to the right.

    On a terminal it is laid out by `asrbench.cli.terminal_table`, elsewhere it is as wide as it
    has to be. Cells whose text is in `styles` have that style of rich.
    """
    console = Console(highlight=False)
    if title is not None:
        print_text(title, style="bold")
    columns = [
        TableColumn(printable(head), tuple(printable(row[k]) for row in rows))
        for k, head in enumerate(header)
    ]
    for widths in laid_out(columns, console.width if console.is_terminal else None):
        table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
        for k, width in widths.items():
            justify: JustifyMethod = "right" if columns[k].has_figures else "left"
            table.add_column(Text(columns[k].head), justify=justify, width=width)
        for row in range(len(rows)):
            cells = (columns[k].cells[row] for k in widths)
            table.add_row(*(Text(cell, (styles or {}).get(cell, "")) for cell in cells))
        Console(highlight=False, width=table_width([*widths.values()])).print(table)


def print_text(
    text: str, *, lead: str = "", style: str = "", styles: Mapping[str, str] | None = None
) -> None:
    """Prints a paragraph to standard output, on a terminal with line breaks between words.

    What stands in quotes is not broken, so that a command or a path can be copied whole. `lead`
    stands before the first line, and the other lines are as far to the right. A phrase in `styles`
    that stands between a colon and a full stop, as in `ds2: better.`, has that style of rich.
    """
    console = Console(highlight=False)
    shown = Text(printable(text), style)
    for phrase, each in (styles or {}).items():
        if (at := shown.plain.find(f": {phrase}.")) >= 0:
            shown.stylize(each, at + 2, at + 2 + len(phrase))
    _print_paragraph(console, shown, lead)


def _print_paragraph(console: Console, text: Text, lead: str = "") -> None:
    room = min(console.width, MOST_COLUMNS) - len(lead) if console.is_terminal else sys.maxsize
    for number, line in enumerate(text.divide(_breaks(text.plain, room))):
        line.rstrip()
        console.print(Text(" " * len(lead) if number else lead) + line, soft_wrap=True)


def _breaks(text: str, room: int) -> Iterator[int]:
    """Yields where a new line begins, so that lines of several words are at most `room` wide."""
    column = 0
    for word in _WORD.finditer(text):
        if column and column + cell_len(word[0].rstrip()) > room:
            yield word.start()
            column = 0
        column += cell_len(word[0])


def print_note(text: str) -> None:
    """Prints a note to standard error, for commands whose output is a document."""
    typer.echo(f"note: {printable(text)}", err=True)


def print_error(error: UserError) -> None:
    """Prints an error in red, and under torchrun only by the first process of the machine."""
    if not prints_errors() and not isinstance(error, RankError):
        time.sleep(1)  # torchrun ends all processes when one ends, so let the first one print
        return
    line = " ".join(str(error).splitlines())
    try:
        console = Console(stderr=True, highlight=False)
        console.print(f"[red]error:[/] {_escaped(line)}", soft_wrap=True)
    except MemoryError:
        os.write(2, f"error: {printable(line)}\n".encode())


def _escaped(text: str) -> str:
    """Returns text that rich prints as it is."""
    return without_markup(printable(text))
