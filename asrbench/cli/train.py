"""What `asrbench train` prints at its end, and the status it leaves with."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from asrbench.base.errors import UserError
from asrbench.base.reporting import Reporter
from asrbench.cli.terminal import print_error, print_table

if TYPE_CHECKING:
    from asrbench.executors.local import Outcome
    from asrbench.training.setup import TrainingSetup


def print_outcome(setup: "Sequence[TrainingSetup]", outcome: "Outcome") -> None:
    """A row for each run: done, left, or failed and why."""
    rows = []
    for each in setup:
        run, epochs = each.run, each.cell.train.epochs
        over = len(run.history())
        became = "done" if run.done else "failed" if run in outcome.failed else "left"
        note = outcome.failed.get(run, "" if run.done else f"{over} of {epochs} epochs so far")
        rows.append([each.cell.variant, str(each.cell.seed), became, note])
    print_table(["variant", "seed", "is", ""], rows)


def conclude(outcome: "Outcome", reporter: Reporter, *, count: int, folder: Path) -> None:
    """Says what comes next, of `count` runs in `folder`; leaves with the status that says it too.

    Raises `UserError` if a run failed.
    """
    from asrbench.executors.local import INTERRUPTED

    left = f"{len(outcome.left)} of {count} runs are left ({', '.join(map(str, outcome.left))})"
    if outcome.interrupted:
        if outcome.left:
            reporter.say(f"stopped: {left}; the same command goes on")
        raise typer.Exit(INTERRUPTED)
    if outcome.left:
        reporter.say(f"the time is up: {left}; the same command goes on")
    else:
        reporter.say(f"next: asrbench eval {folder}")
    if outcome.broken:
        print_error(UserError(f"{len(outcome.failed)} of {count} runs failed, see above"))
        raise typer.Exit(1)
    if outcome.failed:
        raise UserError(f"{len(outcome.failed)} of {count} runs failed, see above")
