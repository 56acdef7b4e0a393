"""Training the runs of a study, one after another or several at a time: what one of them meets is
not the others'."""

import math
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from asrbench.base.errors import RankError, UserError
from asrbench.base.reporting import Reporter
from asrbench.executors.pool import Ended, Pool, places, pool
from asrbench.experiment.run_folder import Run
from asrbench.training.loop import train
from asrbench.training.setup import TrainingSetup
from asrbench.training.stopping import Deadline, Interrupted, TimeUp, stop_signals

INTERRUPTED = 130
POLL_SECONDS = 0.2


@dataclass
class Outcome:
    """What became of the runs that are not done."""

    failed: dict[Run, str] = field(default_factory=dict)
    """And why."""
    left: list[Run] = field(default_factory=list)
    """Those there was no time for, or that were stopped."""
    interrupted: bool = False
    broken: bool = False
    """Whether one failed for what is not the user's to mend."""


def train_runs(
    setup: Sequence[TrainingSetup],
    reporter: Reporter,
    *,
    started_at: float,
    max_hours: float | None = None,
    profile: bool = False,
) -> Outcome:
    """Trains each run that is not done, until the time is up or a signal comes.

    The time is `max_hours` for all of them together, and `train.max_hours` of each, both counted
    from `started_at`, the `time.monotonic()` at which the command began.
    """
    outcome = Outcome()
    spent_hours = 0.0
    begun = False
    for each in setup:
        run = each.run
        if each.ranks.broadcast(run.done):
            reporter.say(f"{run}: done{_without_weights(run)}")
            continue
        hours = _hours(each, max_hours)
        deadline = Deadline.after(hours, started_at)
        # The first is begun in any case, so that every start of the command gets somewhere.
        late = hours <= spent_hours or not deadline.leaves(0)
        if begun and each.ranks.broadcast(late):
            outcome.left.append(run)
            continue
        begun = True
        try:
            train(each, reporter, deadline, profile=profile)
        except Interrupted as stop:
            reporter.say(str(stop))
            outcome.interrupted = True
            break
        except TimeUp as stop:
            reporter.say(str(stop))
            outcome.left.append(run)
            spent_hours = max(spent_hours, hours)
        except RankError:
            raise  # the other ranks are waiting in the middle of a step: none can go on
        except UserError as error:
            if len(setup) == 1:
                raise
            reporter.say(str(error))
            outcome.failed[run] = _reason(run, str(error))
        except Exception as error:
            if len(setup) == 1 or each.ranks.world_size > 1:
                raise
            traceback.print_exc()
            # Not the error itself: it holds on to the model, and to the memory it takes.
            outcome.failed[run] = f"{type(error).__name__}: {error}"
            outcome.broken = True
    return outcome


# Several at a time


def train_apart(
    setup: Sequence[TrainingSetup],
    reporter: Reporter,
    command: Sequence[str],
    parallel: int,
    *,
    started_at: float,
    max_hours: float | None = None,
) -> Outcome:
    """Trains each run that is not done in a process of its own, `parallel` at a time.

    Each is started by `command`, to which its variant, its seed and its time are added, and prints
    to a log in its run folder. A signal is passed on to all of them.
    """
    outcome = Outcome()
    waiting = []
    for each in setup:
        if each.run.done:
            reporter.say(f"{each.run}: done{_without_weights(each.run)}")
        else:
            waiting.append(each)
    total, begun = len(waiting), 0
    by_name = {str(each.run): each for each in waiting}
    count = min(parallel, max(1, total))
    with pool(places(count, _gpus(setup))) as those, stop_signals(reporter) as stop:
        while waiting or those.running:
            if stop and not outcome.interrupted:
                outcome.interrupted = True
                those.interrupt()
            while waiting and those.free and not stop:
                each = waiting.pop(0)
                hours = _hours(each, max_hours) - (time.monotonic() - started_at) / 3600
                if begun and hours <= 0:
                    outcome.left.append(each.run)
                    continue
                begun += 1
                those.start(str(each.run), _command(command, each, hours), each.run.log_path)
                reporter.say(f"{each.run}: started ({begun} of {total})")
            for ended in those.ended():
                _take(by_name.pop(ended.name), ended, outcome, reporter)
            if stop:
                outcome.left += [each.run for each in waiting]
                waiting = []
            _show(those, by_name, total, reporter)
            time.sleep(POLL_SECONDS)
    return outcome


def _command(command: Sequence[str], each: TrainingSetup, hours: float) -> list[str]:
    cell = each.cell
    # What is left may be nothing for the first, which is begun in any case.
    time_left = [] if math.isinf(hours) else ["--max-hours", repr(max(hours, 1e-6))]
    return [*command, "--only", cell.variant, "--seed", str(cell.seed), *time_left]


def _take(each: TrainingSetup, ended: Ended, outcome: Outcome, reporter: Reporter) -> None:
    """Says what became of the run of `each`, now that its process is over."""
    run = each.run
    if run.done:
        best = min(run.history(), key=lambda row: float(row["dev_cer"]))
        reporter.say(
            f"{run}: done, dev CER {100 * best['dev_cer']:.2f} % ({best['dev_profile']}, "
            f"N {best['dev_characters']:,})"
        )
    elif ended.status in (0, INTERRUPTED) or (outcome.interrupted and ended.status != 2):
        over = len(run.history())
        reporter.say(f"{run}: stopped after {over} of {each.cell.train.epochs} epochs")
        outcome.left.append(run)
    else:
        outcome.failed[run] = _reason(run, ended.why)
        reporter.say(f"{run}: failed: {outcome.failed[run]}; see {run.log_path.name} there")


def _show(those: Pool, by_name: dict[str, TrainingSetup], total: int, reporter: Reporter) -> None:
    """How far the study is, and the last epoch of each run under way."""
    notes = []
    for name in those.running:
        cell, history = by_name[name].cell, by_name[name].run.history()
        cer = f" CER {100 * history[-1]['dev_cer']:.1f} %" if history else ""
        notes.append(f"{cell.variant} seed {cell.seed} {len(history)}/{cell.train.epochs}{cer}")
    reporter.progress("runs", total - len(by_name), total, ", ".join(notes))


def _gpus(setup: Sequence[TrainingSetup]) -> list[str]:
    """The GPUs there are, as `CUDA_VISIBLE_DEVICES` names them, if any of the runs needs one."""
    if all(each.device.type != "cuda" for each in setup):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))


def command_of(spec: Path, sets: Sequence[str], results: Path, *, profile: bool) -> list[str]:
    """`asrbench train` with what holds for every run."""
    laid_over = [part for each in sets for part in ("--set", each)]
    program = [sys.executable, "-m", "asrbench", "train", str(spec)]
    return [*program, *laid_over, "--results", str(results), *(["--profile"] if profile else [])]


def _hours(each: TrainingSetup, max_hours: float | None) -> float:
    limits = (max_hours, each.cell.train.max_hours)
    return min((limit for limit in limits if limit is not None), default=math.inf)


def _reason(run: Run, line: str) -> str:
    """The row says which run it is of."""
    return line.removeprefix(f"{run}: ")


def _without_weights(run: Run) -> str:
    """Run folders in a repository keep what can be checked, and leave the weights out."""
    if run.weights_path("best").is_file():
        return ""
    return f", but its weights are not here; give another --results, or delete {run}"
