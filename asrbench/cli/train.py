"""`asrbench train`: trains the runs of an experiment."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrbench.base.errors import UserError
from asrbench.base.formatting import NONE, duration, percent
from asrbench.cli.options import (
    Folds,
    Only,
    Results,
    Seeds,
    Sets,
    SpecDevice,
    SpecFile,
    all_sets,
    check_hours,
    chosen_cells,
    print_not_applied,
    with_found_corpus,
)
from asrbench.cli.terminal import Terminal, echo, print_error, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asrbench.executors.executor import Executor, Outcome, RunOutcome
    from asrbench.training.setup import TrainingSetup


def train(
    spec: SpecFile,
    sets: Sets = None,
    only: Only = None,
    seed: Seeds = None,
    fold: Folds = None,
    results: Results = Path("results"),
    device: SpecDevice = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved spec of each run and exit.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and exit.")] = False,
    max_hours: Annotated[
        float | None,
        typer.Option(
            "--max-hours",
            help="Stop after the current step and save a checkpoint, within this time in hours.",
        ),
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            "--parallel", min=1, help="Train this many runs at a time, each in its own process."
        ),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Save a torch profiler trace of some steps of each run."),
    ] = False,
) -> None:
    """Train every run of an experiment.

    Runs that are done are skipped, and a run that was stopped continues from its last checkpoint.

    A run that fails does not stop the others: a table at the end says why it failed, and the exit
    status is 2. When the time of --max-hours is up, the runs that are left are listed, and the exit
    status is 0. Run the same command again to continue.
    """
    started_at = time.monotonic()
    from asrbench.base.distributed import Ranks
    from asrbench.experiment.spec_file import dump_cell, load_study

    ranks = Ranks.of_environment()
    check_hours("--max-hours", max_hours)
    if parallel and ranks.world_size > 1:
        raise UserError(
            "--parallel: found under torchrun, which trains one run at a time with all processes"
        )
    sets = all_sets(sets, device)
    with ranks.errors_shared():
        study = load_study(spec, sets)
        cells = chosen_cells(study, spec, only, seed, fold)
    if ranks.is_main:
        print_not_applied(study, cells)
    if print_config:
        echo("---\n".join(map(dump_cell, cells)), end="")
        return

    with ranks.errors_shared():
        cells = with_found_corpus(cells, spec)
    from asrbench.executors.executor import TimeBudget
    from asrbench.executors.local import Parallel, Sequential, train_command
    from asrbench.training.setup import set_up_all

    setups = set_up_all(cells, results, ranks)
    if dry_run:
        if ranks.is_main:
            _print_runs(setups, results / study.name)
        return
    budget = TimeBudget(max_hours, started_at)
    executor: Executor = Sequential(budget, profile)
    if parallel:
        command = train_command(spec, sets, results, profile=profile)
        executor = Parallel(budget, command, parallel)
    with Terminal(cells[0].run.log_seconds, quiet=not ranks.is_main) as terminal:
        outcome = executor.run(setups, terminal)
        ranks.close()
    if ranks.is_main:
        _print_outcome(outcome, results / study.name)
    _print_end(outcome, _next_command(setups, results / study.name), terminal)
    raise typer.Exit(outcome.exit_status)


def _print_runs(setups: "Sequence[TrainingSetup]", folder: Path) -> None:
    rows = []
    for each in setups:
        name = str(each.run.folder.relative_to(folder))
        epochs = f"{len(each.run.history_so_far())}/{each.cell.train.epochs} epochs"
        status = "done" if each.run.done else epochs
        rows.append([name, status, f"{each.train.hours:.2f}", str(each.device)])
    print_table(["run", "status", "train hours", "device"], rows, title=f"Runs in {folder}")


def _print_outcome(outcome: "Outcome", folder: Path) -> None:
    """Prints how each run stands; the dev CER is the lowest of its epochs."""
    print_table(
        ["variant", "run", "best dev CER %", "epochs", "time", "folder", "status"],
        [_outcome_row(each) for each in outcome.runs],
        title=f"Runs in {folder}, each in the folder of its variant",
    )


def _outcome_row(outcome: "RunOutcome") -> list[str]:
    from asrbench.training.progress import epoch_seconds

    run = outcome.run
    history = run.history_so_far()
    return [
        outcome.variant,
        outcome.seed_and_fold,
        percent(min((row["dev_cer"] for row in history), default=None)),
        f"{len(history)}/{run.cell.train.epochs}" if history else NONE,
        duration(sum(map(epoch_seconds, history))),
        run.folder.name,
        ": ".join(filter(None, [outcome.status, outcome.note])),
    ]


def _next_command(setups: "Sequence[TrainingSetup]", folder: Path) -> str:
    """Returns the command that evaluates the runs, on dev where the corpus has nothing else."""
    from asrbench.data.corpus import TRAINING_SPLITS

    tested = {name for each in setups for name in each.corpus.split_names} - {*TRAINING_SPLITS}
    return f"asrbench eval {folder}" + ("" if tested else " --split dev")


def _print_end(outcome: "Outcome", next_command: str, terminal: Terminal) -> None:
    """Prints which runs are left or the next command, and how many runs failed."""
    count, failed = len(outcome.runs), outcome.failed
    left = [
        f"{each.variant} {each.seed_and_fold}" for each in outcome.runs if each.status == "left"
    ]
    if left:
        reason = "stopped" if outcome.interrupted else "the time is up"
        terminal.say(
            f"{reason}: {len(left)} of {count} runs are left ({', '.join(left)}); "
            f"run the same command again to continue"
        )
    elif len(failed) < count and not outcome.interrupted:
        terminal.say(f"next: {next_command}")
    if failed and not outcome.interrupted:
        print_error(UserError(f"{len(failed)} of {count} runs failed, see above"))
