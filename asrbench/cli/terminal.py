"""Output to the user: a progress bar on a terminal, lines in a log, tables, and errors in red."""

import os
import re
import time
from types import TracebackType

import typer
from rich import box
from rich.console import Console
from rich.markup import escape as without_markup
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from asrbench.base.distributed import prints_errors
from asrbench.base.errors import RankError, UserError

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""Characters that change a terminal: controls (C0 but tab and line feed, C1), the directions of
writing (bidi), and surrogates, which no terminal can be sent."""


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
        self.console.print(_escaped(line), soft_wrap=True)

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


def print_table(header: list[str], rows: list[list[str]], *, title: str | None = None) -> None:
    """Prints a table to standard output; columns of figures are aligned to the right."""
    console = Console(highlight=False)
    if title is not None:
        console.print(_escaped(title), style="bold", soft_wrap=True)
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for number, name in enumerate(header):
        figures = all(row[number][:1] in "0123456789+-" for row in rows)
        table.add_column(_escaped(name), justify="right" if figures else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_escaped, row))
    console.print(table)


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
