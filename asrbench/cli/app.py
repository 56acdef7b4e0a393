"""The commands: parse, call, print. The one place that knows typer and the terminal.

Heavy imports stand inside the commands: `asrbench --help` loads no torch.
"""

import errno
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

import asrbench
from asrbench.base.errors import UserError
from asrbench.base.memory import reuse_memory
from asrbench.cli.compare import compare
from asrbench.cli.corpus import corpus
from asrbench.cli.inspect import inspect
from asrbench.cli.options import (
    Device,
    Only,
    OtherDevice,
    Results,
    Seeds,
    Sets,
    SpecFile,
    check_hours,
    chosen,
    laid_over,
)
from asrbench.cli.plan import plan
from asrbench.cli.prep import SETTINGS, prep_app
from asrbench.cli.score import score
from asrbench.cli.terminal import Terminal, print_error, print_table

if TYPE_CHECKING:
    from asrbench.training.setup import TrainingSetup


_DISK = {
    errno.EACCES: "choose a place that is yours, or change its rights",
    errno.EPERM: "choose a place that is yours, or change its rights",
    errno.EROFS: "choose another place",
    errno.ENOSPC: "make room, or choose another place",
    errno.EDQUOT: "make room, or choose another place",
}
"""What a disk refuses, and what to do about it."""


class _OneLineErrors(TyperGroup):
    """A user's error is one line and exit status 2; a bug keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            print_error(error)
            raise typer.Exit(2) from None
        except OSError as error:
            if error.errno not in _DISK:
                raise
            where = "" if error.filename is None else f"{error.filename}: "
            print_error(UserError(f"{where}{error.strerror}; {_DISK[error.errno]}"))
            raise typer.Exit(2) from None


app = typer.Typer(cls=_OneLineErrors, help=asrbench.__doc__, **SETTINGS)
app.add_typer(prep_app, name="prep")


@app.callback()
def _before_torch() -> None:
    reuse_memory()


Decode = Annotated[
    Literal["greedy", "attention", "joint"],
    typer.Option("--decode", help="CTC best path, the decoder alone, or both together."),
]


# corpus, plan, train, eval, compare


app.command()(corpus)
app.command()(plan)


@app.command()
def train(
    spec: SpecFile,
    sets: Sets = None,
    only: Only = None,
    seed: Seeds = None,
    results: Results = Path("results"),
    device: OtherDevice = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved spec of each run and stop.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained, create nothing.")
    ] = False,
    max_hours: Annotated[
        float | None,
        typer.Option("--max-hours", help="Stop in good order within this time, in hours."),
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option("--parallel", min=1, help="Train so many runs at a time, each by itself."),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Leave a torch profiler trace of some steps of each run."),
    ] = False,
) -> None:
    """Train every run of an experiment.

    A run that is done is left alone, one that was cut short goes on where it stopped. One that
    fails stops no other; a table at the end says why, and the exit status is 2. When the time of
    --max-hours is up, the runs that are left are named, and the exit status is 0: nothing went
    wrong, and the same command goes on.
    """
    started_at = time.monotonic()
    from asrbench.base.distributed import Ranks
    from asrbench.experiment.spec_file import dump_cell, load_study

    ranks = Ranks.of_environment()
    check_hours("--max-hours", max_hours)
    if parallel and ranks.world_size > 1:
        raise UserError("--parallel: found under torchrun, which gives one run all processes")
    sets = laid_over(sets, device)
    with ranks.errors_shared():
        study = load_study(spec, sets)
    cells = chosen(study, spec, only, seed)
    if print_config:
        typer.echo("---\n".join(map(dump_cell, cells)), nl=False)
        return

    from asrbench.cli import train as end
    from asrbench.executors import local as stage
    from asrbench.training.setup import set_up_all

    setup = set_up_all(cells, results, ranks)
    if dry_run:
        if ranks.is_main:
            _print_plan(setup)
        return
    with Terminal(cells[0].run.log_seconds, quiet=not ranks.is_main) as terminal:
        if parallel:
            command = stage.command_of(spec, sets, results, profile=profile)
            outcome = stage.train_apart(
                setup, terminal, command, parallel, started_at=started_at, max_hours=max_hours
            )
        else:
            outcome = stage.train_runs(
                setup, terminal, started_at=started_at, max_hours=max_hours, profile=profile
            )
        ranks.close()
        if ranks.is_main and (parallel or outcome.failed):
            end.print_outcome(setup, outcome)
        end.conclude(outcome, terminal, count=len(setup), folder=results / study.name)


@app.command("eval")
def evaluate(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN_OR_DIR...", help="Run folders.")],
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Split to decode; repeatable.")
    ] = None,
    decode: Decode = "greedy",
    device: Device = "auto",
) -> None:
    """Decode a split with trained runs, and score it.

    Leaves every hypothesis and the figures in the run folders. Test is the default.
    """
    from asrbench.experiment.run_folder import Run
    from asrbench.stages import evaluate as stage

    evaluated = 0
    with Terminal() as terminal:
        for run in Run.find(paths):
            if not run.weights_path(stage.CHECKPOINT).is_file():
                terminal.say(f"{run}: has no weights here, left out")
                continue
            if decode != "greedy" and run.cell.model.decoder.kind == "none":
                terminal.say(f"{run}: has no decoder, left out of --decode {decode}")
                continue
            for name in split or ["test"]:
                figures = stage.evaluate(run, name, decode, device, terminal)
                evaluated += 1
                terminal.say(f"{run}  {name} {decode}")
                for line in _score_lines(figures):
                    terminal.say(f"  {line}")
    if not evaluated:
        raise UserError(f"{paths[0]}: found no run to evaluate; `asrbench train` leaves weights")
    typer.echo(f"next: asrbench compare {' '.join(map(str, paths))}")


app.command()(inspect)


app.command()(compare)


@app.command()
def models() -> None:
    """Print the registry of models.

    Parameters are those at full size, with 80 feature bins and 2,001 symbols.
    """
    import torch

    from asrbench.experiment.registry import MODELS
    from asrbench.models.encoders.deepspeech2 import DeepSpeech2

    rows = []
    for name, entry in MODELS.items():
        with torch.device("meta"):
            model = DeepSpeech2(entry.model, bins=80, symbols=2001, seed=None)
        rows.append([name, f"{model.parameter_count / 1e6:.1f} M", entry.differs, entry.source])
    print_table(["model", "parameters", "what differs", "source"], rows)


@app.command()
def transcribe(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    files: Annotated[list[Path], typer.Argument(help="Audio: wav, flac, ogg, mp3; any rate.")],
    decode: Decode = "greedy",
    device: Device = "auto",
) -> None:
    """Print the text of audio files.

    One line a file: path, tab, text.
    """
    from asrbench.experiment.run_folder import Run
    from asrbench.stages import evaluate as stage

    found = Run.find([run])
    if len(found) > 1:
        raise UserError(f"{run}: found {len(found)} runs, allowed: one; the first is {found[0]}")
    for path, text in stage.transcribe(found[0], files, decode, device):
        typer.echo(f"{path}\t{text}")


app.command()(score)


# Printing


def _print_plan(setup: list["TrainingSetup"]) -> None:
    rows = []
    for each in setup:
        history = each.run.history()
        status = "done" if each.run.done else f"{len(history)}/{each.cell.train.epochs} epochs"
        rows.append([str(each.run), status, f"{each.train.hours:.2f}", str(each.device)])
    print_table(["run", "status", "train hours", "device"], rows)


def _score_lines(figures: dict[str, Any]) -> list[str]:
    """Characters, then the rest, each within 80 columns. Jamo where there is Hangul."""
    characters, words, jamo = figures["characters"], figures["words"], figures["jamo"]
    lines = [
        f"CER {100 * figures['cer']:.2f} % (S {characters['substitutions']:,} "
        f"D {characters['deletions']:,} I {characters['insertions']:,} N {characters['n']:,}, "
        f"{figures['profile']})",
        f"WER {100 * figures['wer']:.2f} %  sWER {100 * figures['swer']:.2f} % (N {words['n']:,})"
        + (
            f"  jamo {100 * figures['jer']:.2f} % (N {jamo['n']:,})"
            if jamo["n"] != characters["n"]
            else ""
        )
        + f"  RTF {figures['real_time_factor']:.3f}",
    ]
    if unknown := figures["unknown_symbols"]:
        lines.append(f"{unknown:,} reference symbols unknown to the model")
    return lines
