"""The protocol of executors, with the time budget they get and the outcome they return."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from asrbench.base.reporting import Reporter
from asrbench.experiment.run_folder import Run
from asrbench.training.setup import TrainingSetup
from asrbench.training.stopping import Deadline

INTERRUPTED = 130
"""The exit status of a command that a signal stopped: 128 + SIGINT."""


@dataclass(frozen=True)
class TimeBudget:
    """The time that one command may take for all of its runs."""

    max_hours: float | None = None
    """Hours from `started_at`; no limit if None."""
    started_at: float = 0.0
    """The reading of `clock`, in seconds, at which the command started."""
    clock: Callable[[], float] = time.monotonic

    def hours(self, setup: TrainingSetup) -> float:
        """Returns the lower of `max_hours` and the run's own `train.max_hours`."""
        limits = (self.max_hours, setup.cell.train.max_hours)
        return min((limit for limit in limits if limit is not None), default=math.inf)

    def hours_left(self, setup: TrainingSetup) -> float:
        return self.hours(setup) - (self.clock() - self.started_at) / 3600

    def deadline(self, setup: TrainingSetup) -> Deadline:
        return Deadline(self.started_at + 3600 * self.hours(setup), self.clock)


@dataclass(frozen=True)
class RunOutcome:
    """How one run stands when its command ends."""

    run: Run
    variant: str
    seed_and_fold: str
    status: Literal["done", "left", "failed"]
    """A run that is left has epochs to train: the time was up, or a signal stopped the command."""
    note: str
    """Why the run failed, or how many of its epochs are trained; empty for a run that is done."""


@dataclass(frozen=True)
class Outcome:
    """How the runs of a command stand when it ends."""

    runs: tuple[RunOutcome, ...]
    interrupted: bool
    """A signal stopped the command."""
    broken: bool
    """A run failed with an error that is a bug, not one that the user can fix."""

    @classmethod
    def of(
        cls,
        setups: Sequence[TrainingSetup],
        *,
        left: Sequence[Run],
        failed: Mapping[Run, str],
        interrupted: bool,
        broken: bool = False,
    ) -> "Outcome":
        """`failed` maps each failed run to its reason; runs neither failed nor left are done."""
        runs = []
        for each in setups:
            run, cell = each.run, each.cell
            named = (run, cell.variant, cell.seed_and_fold)
            if run in failed:
                runs.append(RunOutcome(*named, "failed", failed[run]))
            elif run in left:
                note = f"{len(run.history_so_far())} of {cell.train.epochs} epochs so far"
                runs.append(RunOutcome(*named, "left", note))
            else:
                runs.append(RunOutcome(*named, "done", ""))
        return cls(tuple(runs), interrupted, broken)

    @property
    def left(self) -> list[Run]:
        return [each.run for each in self.runs if each.status == "left"]

    @property
    def failed(self) -> dict[Run, str]:
        """The failed runs, each with its reason."""
        return {each.run: each.note for each in self.runs if each.status == "failed"}

    @property
    def exit_status(self) -> int:
        """The exit status of the command: 130 interrupted, 1 a bug, 2 a failed run, else 0.

        Runs that are left because the time was up are no error.
        """
        if self.interrupted:
            return INTERRUPTED
        if self.broken:
            return 1
        return 2 if self.failed else 0


class Executor(Protocol):
    """Trains the runs of a study somewhere."""

    def run(self, setups: Sequence[TrainingSetup], reporter: Reporter) -> Outcome:
        """Trains each run that is not done, and returns how all of them stand afterwards.

        A run that fails does not stop the others.
        """
