"""What is said of training: how each epoch went, and about how long all runs still take."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from asrbench.base.formatting import duration
from asrbench.experiment.run_folder import Run
from asrbench.training.setup import TrainingSetup


class Progress:
    """The runs of a command, and how long those that are left will take one after another."""

    def __init__(self, setups: Sequence[TrainingSetup]) -> None:
        self._setups = list(setups)
        # Earlier epochs may be of another machine, so their time says nothing.
        self._epochs_before = [len(each.run.history_so_far()) for each in setups]
        self._given_up: set[Run] = set()

    def give_up(self, run: Run) -> None:
        """Leaves out a run that failed, whose epochs will not be trained."""
        self._given_up.add(run)

    def place(self, setup: TrainingSetup, joint: str) -> str:
        """Returns which run of how many it is, `2 of 6` with the joint ` of `; empty if alone."""
        count = len(self._setups)
        return f"run {self._setups.index(setup) + 1}{joint}{count}" if count > 1 else ""

    def seconds_left(self) -> float | None:
        """Estimates the time of all epochs that are left; None before the first one has ended.

        An epoch takes as long as those of the same variant that this command has trained, or, if
        there is none, as those of all variants.
        """
        seconds: dict[str, list[float]] = defaultdict(list)
        left: dict[str, int] = defaultdict(int)
        for each, before in zip(self._setups, self._epochs_before, strict=True):
            history, variant = each.run.history_so_far(), each.cell.variant
            seconds[variant] += map(epoch_seconds, history[before:])
            if each.run not in self._given_up:
                left[variant] += each.cell.train.epochs - len(history)
        known = [each for times in seconds.values() for each in times]
        if not known:
            return None
        return sum(n * fmean(seconds[variant] or known) for variant, n in left.items())

    def time_left(self, at_a_time: int = 1) -> str:
        """Returns the estimate in words, for that many runs at a time; empty if there is none."""
        seconds = self.seconds_left()
        return f"{duration(seconds / at_a_time)} left" if seconds else ""


def epoch_seconds(row: dict[str, Any]) -> float:
    """Returns the time of an epoch of a history, with its dev pass where that is recorded."""
    return float(row["train_seconds"] + row.get("dev_seconds", 0.0))


def epoch_line(history: Sequence[dict[str, Any]], epochs: int, time_left: str) -> str:
    """Returns the last epoch of a history as a line for the terminal, of 80 letters or so.

    `best` is the lowest dev CER so far, at its epoch.
    """
    row, best = history[-1], min(history, key=lambda row: float(row["dev_cer"]))
    parts = [
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}",
        f"loss {row['loss']:.3f}",
        f"dev CER {100 * row['dev_cer']:.2f} %",
        f"best {100 * best['dev_cer']:.2f} at {best['epoch']}",
    ]
    if "average_dev_cer" in row:
        parts.append(f"averaged {100 * row['average_dev_cer']:.2f} %")
    parts += [duration(epoch_seconds(row)), time_left]
    if row["untrained"]:
        parts.append(f"({row['untrained']})")
    return "  ".join(filter(None, parts))
