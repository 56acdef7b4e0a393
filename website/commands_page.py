"""The page on the commands, made of what `--help` prints."""

import inspect
import re
from collections.abc import Iterator

import typer
from markdown_parts import code, plain, table
from typer.core import TyperCommand

from asrbench.cli.app import app

HEAD = """# Options of every command

`asrbench COMMAND --help` prints the same in the terminal. An error that you can fix is one line on
standard error, with exit status 2. `asrbench --version` prints the version, and
`asrbench --install-completion` lets the shell complete commands and options.

"""

LIMITS = re.compile(r"^(.*?)(?:  \[(.*)\])?$", re.DOTALL)
"""The help of an option, and what follows in brackets: its range, its default, or `required`."""


def commands() -> Iterator[tuple[str, TyperCommand]]:
    """Yields every command with its full name, as `prep an4`, in the order of `--help`."""
    group = typer.main.get_command(app)
    for name in group.list_commands(typer.Context(group)):  # type: ignore[attr-defined]
        command = group.commands[name]  # type: ignore[attr-defined]
        recipes = getattr(command, "commands", None)
        if recipes is None:
            yield name, command
        else:
            yield from ((f"{name} {recipe}", each) for recipe, each in recipes.items())


def commands_page() -> str:
    """Returns the Markdown of the page."""
    return HEAD + "".join(_text(name, command) for name, command in commands())


def _text(name: str, command: TyperCommand) -> str:
    context = typer.Context(command, info_name=f"asrbench {name}")
    usage = command.get_usage(context).split(maxsplit=1)[1]
    usage = f"    {' '.join(usage.split())}\n\n"
    records = [each.get_help_record(context) for each in command.params]
    rows = [_row(*record) for record in records if record]
    return (
        f"## asrbench {name}\n\n{_paragraphs(command.help or '')}{usage}"
        + table(["argument or option", "meaning", "range, default"], rows)
        + "\n"
    )


def _paragraphs(text: str) -> str:
    """Returns the paragraphs of a help. One that would be a heading is an example, and so code."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "".join(f"{code(p) if p.startswith('#') else plain(p)}\n\n" for p in paragraphs)


def _row(name: str, text: str) -> list[str]:
    about = LIMITS.match(text)
    assert about is not None
    return [code(name), plain(about[1]), plain(about[2] or "")]
