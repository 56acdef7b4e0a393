"""Prints tables of figures on the terminal or as Markdown, and runs a benchmark as a command."""

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import typer
from measure import Figures

from asrbench.base.errors import UserError
from asrbench.cli.terminal import print_error, print_table


class Table(NamedTuple):
    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""


def times(ratio: dict[str, float], digits: int = 2) -> str:
    """Returns the median, the least and the greatest of the turns, as in `9.41 (9.20-9.63)`."""
    median, low, high = (f"{ratio[key]:.{digits}f}" for key in ("median", "low", "high"))
    return f"{median} ({low}-{high})"


def per_cent(share: dict[str, float]) -> str:
    return times({key: 100 * value for key, value in share.items()}, 1)


def machine_table(figures: Figures) -> Table:
    machine = figures["machine"]
    rows = [
        ["CPU", f"{machine['cpu']}, {machine['cores']} cores; threads: {machine['threads']}"],
        ["device", machine["device"]],
        ["software", f"Python {machine['python']}, torch {machine['torch']}"],
        ["other processes", _others(machine)],
        ["commit", figures["commit"] or "-"],
        ["date", figures["date"]],
    ]
    return Table("Machine", ["property", "value"], rows)


def _others(machine: dict[str, Any]) -> str:
    before = f"load average before the benchmark {machine['load_before']:.1f}"
    if "cores_of_others" not in machine:
        return before
    return f"{machine['cores_of_others']:.2f} of {machine['cores']} cores used; {before}"


def show(figures: Figures, tables: list[Table], as_json: bool) -> None:
    if as_json:
        json.dump(figures, sys.stdout, indent=2)
        print()
        return
    for table in (machine_table(figures), *tables):
        print_table(table.header, table.rows, title=table.title)
        if table.note:
            print(f"{table.note}\n")


def markdown(table: Table) -> str:
    columns = range(1, len(table.header))
    figures = [all(row[i][:1] in "0123456789-" for row in table.rows) for i in columns]
    lines = [
        f"| {' | '.join(table.header)} |",
        f"| --- | {' | '.join('---:' if right else '---' for right in figures)} |",
        *(f"| {' | '.join(row)} |" for row in table.rows),
    ]
    return "\n".join([f"**{table.title}**", "", *lines, *(["", table.note] if table.note else [])])


def run(main: Callable[..., None]) -> None:
    """Runs `main` as a command. A `UserError` is printed as one line, with exit status 2."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except UserError as error:
        print_error(error)
        raise SystemExit(2) from None
