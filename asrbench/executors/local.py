"""Executors for this machine: one run after another in this process, or several in parallel."""

import math
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from asrbench.base.errors import RankError, UserError
from asrbench.base.reporting import Reporter
from asrbench.base.resources import resource_error
from asrbench.executors.executor import INTERRUPTED, Outcome, TimeBudget
from asrbench.executors.pool import Finished, Pool, machine_slots
from asrbench.experiment.run_folder import AVERAGE, Run, chosen_row
from asrbench.training.loop import train
from asrbench.training.progress import Progress
from asrbench.training.setup import TrainingSetup
from asrbench.training.stopping import Interrupted, TimeUp, stop_signals

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Sequential:
    """An executor that trains one run after another in this process."""

    budget: TimeBudget
    profile: bool = False
    """Whether each run leaves a trace of the torch profiler."""

    def run(self, setups: Sequence[TrainingSetup], reporter: Reporter) -> Outcome:
        """Trains each run that is not done, until the time is up or a signal comes.

        An error of the only run is raised, and so is a bug in a run that several ranks train.
        """
        left: list[Run] = []
        failed: dict[Run, str] = {}
        progress = Progress(setups)
        interrupted = broken = started = False
        used_hours = 0.0
        for number, each in enumerate(setups):
            run = each.run
            if each.ranks.broadcast(run.done):
                _skip(run, reporter)
                continue
            # The first run is started in any case, so that every start makes some progress.
            late = self.budget.hours(each) <= used_hours or self.budget.hours_left(each) <= 0
            if started and each.ranks.broadcast(late):
                left.append(run)
                continue
            started = True
            _say_place(each, progress, reporter)
            try:
                deadline = self.budget.deadline(each)
                train(each, reporter, deadline, progress=progress, profile=self.profile)
            except Interrupted as stop:
                reporter.say(str(stop))
                interrupted = True
                left += [later.run for later in setups[number:] if not later.run.done]
                break
            except TimeUp as stop:
                reporter.say(str(stop))
                left.append(run)
                # Training stops a little before the deadline, so the clock alone cannot tell.
                used_hours = max(used_hours, self.budget.hours(each))
            except RankError:
                raise  # the other ranks wait in the middle of a step: none of them can continue
            except UserError as error:
                if len(setups) == 1:
                    raise
                reporter.say(str(error))
                progress.give_up(run)
                failed[run] = _without_run_name(run, str(error))
            except Exception as error:
                if len(setups) == 1 or each.ranks.world_size > 1:
                    raise
                progress.give_up(run)
                # The text only: the error itself keeps the model and its memory alive.
                if line := resource_error(error):
                    reporter.say(f"{run}: {line}")
                    failed[run] = str(line)
                    continue
                traceback.print_exc()
                failed[run] = f"{type(error).__name__}: {error}"
                broken = True
        return Outcome.of(setups, left=left, failed=failed, interrupted=interrupted, broken=broken)


@dataclass(frozen=True)
class Parallel:
    """An executor that trains several runs at a time, each in a process of its own.

    The output of each process goes to `train.log` in its run folder. A signal is passed on to all.
    """

    budget: TimeBudget
    command: Sequence[str]
    """The command that trains a study; `--only`, `--seed`, `--fold`, `--max-hours` are appended."""
    count: int
    """The most runs at a time."""

    def run(self, setups: Sequence[TrainingSetup], reporter: Reporter) -> Outcome:
        waiting = []
        for each in setups:
            if each.run.done:
                _skip(each.run, reporter)
            else:
                waiting.append(each)
        count = min(self.count, max(1, len(waiting)))
        with Pool(machine_slots(count, _gpus(setups))) as pool, stop_signals(reporter) as stop:
            session = _Session(self, pool, reporter, waiting)
            while session.waiting or pool.running:
                if stop:
                    session.interrupt()
                session.start_runs()
                session.collect_runs()
                session.show_progress()
                time.sleep(POLL_SECONDS)
        return Outcome.of(
            setups, left=session.left, failed=session.failed, interrupted=session.interrupted
        )


class _Session:
    """The state of `Parallel.run` while its processes are running."""

    def __init__(
        self,
        executor: Parallel,
        pool: Pool,
        reporter: Reporter,
        waiting: Sequence[TrainingSetup],
    ) -> None:
        self.executor, self.pool, self.reporter = executor, pool, reporter
        self.waiting = list(waiting)
        self.unfinished = {str(each.run): each for each in waiting}
        self.total, self.started = len(waiting), 0
        self.progress, self.epochs, self.time_left = Progress(waiting), 0, ""
        self.left: list[Run] = []
        self.failed: dict[Run, str] = {}
        self.interrupted = False

    def start_runs(self) -> None:
        """Starts waiting runs in the free slots, while there is time."""
        while self.waiting and self.pool.has_free_slot:
            each = self.waiting.pop(0)
            hours_left = self.executor.budget.hours_left(each)
            # The first run is started in any case, so that every start makes some progress.
            if self.started and hours_left <= 0:
                self.left.append(each.run)
                continue
            self.started += 1
            command = [*self.executor.command, *_choice_of(each, hours_left)]
            self.pool.start(str(each.run), command, each.run.log_path)
            self.reporter.say(f"{each.run}: started ({self.started} of {self.total})")

    def collect_runs(self) -> None:
        """Reports the runs whose process has ended."""
        for finished in self.pool.finished():
            each = self.unfinished.pop(finished.name)
            run = each.run
            if run.done:
                self.reporter.say(f"{run}: done, {_dev_cer(run)}")
            elif self._was_stopped(finished):
                epochs = f"{len(run.history_so_far())} of {each.cell.train.epochs} epochs"
                self.reporter.say(f"{run}: stopped after {epochs}")
                self.left.append(run)
            else:
                self.progress.give_up(run)
                self.failed[run] = _without_run_name(run, finished.reason)
                self.reporter.say(f"{run}: failed: {self.failed[run]}; see its {run.log_path.name}")

    def interrupt(self) -> None:
        """Tells every running process to save and stop, once, and starts no other run."""
        if not self.interrupted:
            self.interrupted = True
            self.pool.interrupt()
        self.left += [each.run for each in self.waiting]
        self.waiting = []

    def show_progress(self) -> None:
        """Shows how many runs are finished, the time left, and each running run's last epoch."""
        notes, epochs = [], 0
        for name in self.pool.running:
            cell, history = self.unfinished[name].cell, self.unfinished[name].run.history_so_far()
            best = min((row["dev_cer"] for row in history), default=None)
            cer = "" if best is None else f" best {100 * best:.1f} %"
            named = f"{cell.variant} {cell.seed_and_fold}"
            notes.append(f"{named} {len(history)}/{cell.train.epochs}{cer}")
            epochs += len(history)
        if epochs != self.epochs:
            self.epochs = epochs
            self.time_left = self.progress.time_left(self.executor.count)
        done = self.total - len(self.unfinished)
        self.reporter.progress(
            "runs", done, self.total, ", ".join(filter(None, [*notes, self.time_left]))
        )

    def _was_stopped(self, finished: Finished) -> bool:
        """A signal that ends a process before it can catch it counts as a stop, too."""
        return finished.status in (0, INTERRUPTED) or (self.interrupted and finished.status != 2)


def train_command(spec: Path, sets: Sequence[str], results: Path, *, profile: bool) -> list[str]:
    """Returns the command that trains the whole study of `spec` on this machine."""
    set_options = [part for each in sets for part in ("--set", each)]
    program = [sys.executable, "-m", "asrbench", "train", str(spec)]
    return [*program, *set_options, "--results", str(results), *(["--profile"] if profile else [])]


def _choice_of(setup: TrainingSetup, hours_left: float) -> list[str]:
    """The options that choose one run of a study, and its time."""
    cell = setup.cell
    # The first run is started even if no time is left, and `--max-hours 0` is an error.
    limit = [] if math.isinf(hours_left) else ["--max-hours", repr(max(hours_left, 1e-6))]
    fold = ["--fold", str(cell.fold.index)] if cell.fold else []
    return ["--only", cell.variant, "--seed", str(cell.seed), *fold, *limit]


def _gpus(setups: Sequence[TrainingSetup]) -> list[str]:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them; none if no run needs one."""
    if all(each.device.type != "cuda" for each in setups):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))


def _dev_cer(run: Run) -> str:
    """Returns the dev CER of the weights that are tested, for the terminal."""
    row = chosen_row(run.rule, run.history())
    rate = row["average_dev_cer" if run.rule == AVERAGE else "dev_cer"]
    return f"dev CER {100 * rate:.2f} % ({row['dev_profile']}, N {row['dev_characters']:,})"


def _without_run_name(run: Run, line: str) -> str:
    """Removes the run's name from an error line that is shown beside the name."""
    return line.removeprefix(f"{run}: ")


def _say_place(setup: TrainingSetup, progress: Progress, reporter: Reporter) -> None:
    """Says which run of how many begins, and how long all of them still take; nothing if alone."""
    if place := progress.place(setup, " of "):
        cell = setup.cell
        named = f"{place}: {cell.variant} {cell.seed_and_fold}"
        reporter.say(", ".join(filter(None, [named, progress.time_left()])))


def _skip(run: Run, reporter: Reporter) -> None:
    """Says that a run is done, and deletes what it needs no more if a kill has left that."""
    for path in run.states_left_over():
        path.unlink(missing_ok=True)
    reporter.say(f"{run}: done{_missing_weights(run)}")


def _missing_weights(run: Run) -> str:
    """Says so if a finished run has no weights, as in a repository that keeps results only."""
    if run.weights_path().is_file():
        return ""
    return f", but its weights are missing; give another --results, or delete {run} to train again"
