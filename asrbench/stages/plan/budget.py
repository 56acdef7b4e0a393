"""Computes what part of a study fits into a number of hours on a number of devices."""

import heapq
import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """One run with its epochs and their duration."""

    variant: str
    seed: int
    epochs: int
    epochs_left: int
    """Epochs still to be trained."""
    train_seconds: float
    """Seconds of an epoch's training steps, which are proportional to the training data."""
    other_seconds: float
    """Seconds of an epoch's dev pass and checkpoints, which do not depend on the training data."""

    @property
    def seconds_left(self) -> float:
        return self.epochs_left * (self.train_seconds + self.other_seconds)

    def seconds_anew(self, *, epochs: int | None = None, data: float = 1.0) -> float:
        """Returns the seconds of a new run, with other epochs or on a share of the data.

        Epochs that this run has behind it do not count, because the new run has another spec.
        """
        return (epochs or self.epochs) * (data * self.train_seconds + self.other_seconds)


@dataclass(frozen=True)
class Fit:
    """The part of a study that is done in time; a field is None where nothing of that kind fits."""

    seconds: float
    """Seconds of the whole study on the devices; each run is trained on one of them."""
    whole: bool
    """Whether the whole study fits; the fields below are None then, except `runs`."""
    runs: int
    """Runs that are done or finish in time, if they are started in the order of the study."""
    seeds: int | None
    """The number of seeds, from the first, of which every variant fits."""
    epochs: float | None
    """The share of every run's epochs with which all runs fit; they are new runs."""
    data: float | None
    """The share of the training data, in hundredths, with which all runs fit; they are new runs."""


def fit(jobs: Sequence[Job], hours: float, devices: int) -> Fit:
    """Returns what part of `jobs` is done within `hours` on `devices` devices."""
    limit = 3600 * hours

    def within(seconds: Sequence[float]) -> bool:
        return makespan(seconds, devices) <= limit

    left = [job.seconds_left for job in jobs]
    if within(left):
        return Fit(makespan(left, devices), True, len(jobs), None, None, None)
    return Fit(
        seconds=makespan(left, devices),
        whole=False,
        runs=sum(end <= limit for end in ends(left, devices)),
        seeds=_seeds(jobs, limit, devices),
        epochs=_share_of_epochs(jobs, lambda share: within(_with_epochs(jobs, share))),
        data=next(
            (
                n / 100
                for n in range(99, 0, -1)
                if within([j.seconds_anew(data=n / 100) for j in jobs])
            ),
            None,
        ),
    )


def makespan(seconds: Sequence[float], devices: int) -> float:
    """Returns the seconds until all jobs are done, if the longest is always started first.

    Each job goes to the device that is free first. This is at most 4/3 of the optimum (Graham
    1969, "Bounds on multiprocessing timing anomalies").
    """
    return max(ends(sorted(seconds, reverse=True), devices), default=0.0)


def ends(seconds: Sequence[float], devices: int) -> list[float]:
    """Returns when each job ends, started in this order, each on the first free device."""
    free = [0.0] * min(devices, len(seconds))
    times = []
    for each in seconds:
        times.append(heapq.heappushpop(free, free[0] + each) + each)
    return times


def epochs_at(job: Job, share: float) -> int:
    """Returns the whole number of epochs in a share of the epochs of `job`, at least 1."""
    # Shares are fractions k / n: rounding must not make k out of k epochs into k - 1.
    return max(1, math.floor(share * job.epochs + 1e-9))


def _seeds(jobs: Sequence[Job], limit: float, devices: int) -> int | None:
    seeds = list(dict.fromkeys(job.seed for job in jobs))
    for count in range(len(seeds) - 1, 0, -1):
        chosen = [job.seconds_left for job in jobs if job.seed in seeds[:count]]
        if makespan(chosen, devices) <= limit:
            return count
    return None


def _share_of_epochs(jobs: Sequence[Job], fits: Callable[[float], bool]) -> float | None:
    """Returns the largest share of the epochs that fits: a number of epochs over the most.

    It is found by bisection, because fewer epochs never take longer: a job that becomes shorter
    lets every device become free no later than before.
    """
    most = max(job.epochs for job in jobs)
    epochs = range(1, most)
    found = bisect_left(epochs, True, key=lambda number: not fits(number / most))
    return found / most if found else None


def _with_epochs(jobs: Sequence[Job], share: float) -> list[float]:
    return [job.seconds_anew(epochs=epochs_at(job, share)) for job in jobs]
