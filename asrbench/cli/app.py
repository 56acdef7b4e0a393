"""The application: the list of commands, and how errors are printed.

Commands import what is heavy inside their functions, so that `asrbench --help` loads no torch.
"""

from typing import Any

import typer
from typer.core import TyperGroup

from asrbench.base.errors import UserError
from asrbench.base.files import disk_error
from asrbench.base.memory import is_out_of_memory, reuse_memory
from asrbench.base.signals import end_with_caller
from asrbench.cli.check import check
from asrbench.cli.compare import compare
from asrbench.cli.corpus import corpus
from asrbench.cli.evaluate import evaluate
from asrbench.cli.export import export
from asrbench.cli.inspect import inspect
from asrbench.cli.lm import lm
from asrbench.cli.models import models
from asrbench.cli.output import lasting_output, write_any_character
from asrbench.cli.plan import plan
from asrbench.cli.prep import SETTINGS, prep_app
from asrbench.cli.score import score
from asrbench.cli.terminal import print_error
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
        write_any_character()
        try:
            with lasting_output():
                return super().invoke(ctx)
        except UserError as error:
            print_error(error)
            raise typer.Exit(2) from None
        except OSError as error:
            if (line := disk_error(error)) is None:
                raise
            print_error(line)
            raise typer.Exit(2) from None
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            detail = (str(error).splitlines() or ["no details"])[0][:200]
            print_error(UserError(f"out of memory: {detail}; use less at a time"))
            raise typer.Exit(2) from None


HELP = "An honest ablation runner: does this attention make this speech recogniser better?"

app = typer.Typer(cls=_Commands, help=HELP, **SETTINGS)


@app.callback()
def _before_commands() -> None:
    end_with_caller()
    reuse_memory()


# In the order in which a study uses them, which is that of `asrbench --help`.
app.add_typer(prep_app, name="prep")
app.command()(corpus)
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
