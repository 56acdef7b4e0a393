"""The application: the list of commands, and how errors are printed.

Commands import what is heavy inside their functions, so that `asrbench --help` loads no torch.
"""

import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from asrbench import __version__
from asrbench.base.errors import UserError
from asrbench.base.memory import check_least_memory, reuse_memory
from asrbench.base.resources import resource_error
from asrbench.base.signals import end_with_caller, one_interrupt
from asrbench.cli.check import check
from asrbench.cli.compare import compare
from asrbench.cli.corpus import corpus
from asrbench.cli.doctor import doctor
from asrbench.cli.evaluate import evaluate
from asrbench.cli.export import export
from asrbench.cli.init import init
from asrbench.cli.inspect import inspect
from asrbench.cli.lm import lm
from asrbench.cli.models import models
from asrbench.cli.output import fill_closed_streams, lasting_output, write_any_character
from asrbench.cli.plan import plan
from asrbench.cli.prep import SETTINGS, prep_app
from asrbench.cli.schema import schema
from asrbench.cli.score import score
from asrbench.cli.terminal import echo, print_error
from asrbench.cli.train import train
from asrbench.cli.transcribe import transcribe
from asrbench.cli.verify import verify


class _Commands(TyperGroup):
    """The commands of the application.

    An error that the user can fix is printed as one line, and the exit status is 2. Any other
    error is a bug and keeps its traceback.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names in the order of `--help`: typer puts groups last, here `prep`."""
        return sorted(super().list_commands(ctx), key=lambda name: name != "prep")

    def invoke(self, ctx: Any) -> Any:
        with one_interrupt():
            return self._invoke(ctx)

    def _invoke(self, ctx: Any) -> Any:
        fill_closed_streams()
        write_any_character()
        try:
            _check_working_directory()
            with lasting_output():
                return super().invoke(ctx)
        except UserError as error:
            line = type(error)(str(error))
        except Exception as error:
            if (found := resource_error(error)) is None:
                raise
            line = found
        # Here nothing holds the frames of the error, nor the memory that it ran out of, any more.
        print_error(line)
        raise typer.Exit(2)


def _check_working_directory() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UserError("the working directory was deleted; change to another one") from None


class _App(typer.Typer):
    """The application, which Ctrl-C ends even before a command has begun."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)


HELP = "An honest ablation runner: does this attention make this speech recogniser better?"

app = _App(
    cls=_Commands,
    help=HELP,
    # Commands take the names of their help option from here.
    context_settings={"help_option_names": ["-h", "--help"]},
    **SETTINGS | {"add_completion": True},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        echo(f"asrbench {__version__}")
        raise typer.Exit


@app.callback()
def _before_commands(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    end_with_caller()
    if context.invoked_subcommand != "doctor":  # which says what is wrong with the machine
        check_least_memory()
    reuse_memory()


# In the order in which a study uses them, which is that of `asrbench --help`.
app.add_typer(prep_app, name="prep")
app.command()(corpus)
app.command()(init)
app.command()(plan)
app.command()(train)
app.command()(lm)
app.command("eval")(evaluate)
app.command()(inspect)
app.command()(compare)
app.command()(verify)
app.command()(models)
app.command()(check)
app.command()(transcribe)
app.command()(export)
app.command()(score)
app.command()(schema)
app.command()(doctor)
