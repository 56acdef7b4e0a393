"""What of a study fits a number of hours and devices: arithmetic over what its runs cost."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """One run, in epochs and seconds."""

    variant: str
    seed: int
    epochs: int
    left: int
    """Epochs still to be trained."""
    train_seconds: float
    """Of an epoch: its steps, which shrink with the data."""
    other_seconds: float
    """Of an epoch: the dev pass and saving, which do not."""

    @property
    def seconds_left(self) -> float:
        return self.left * (self.train_seconds + self.other_seconds)

    def anew(self, *, epochs: int | None = None, data: float = 1.0) -> float:
        """Seconds from the start, with another number of epochs or on a share of the data. Both
        make another run, so what this one has behind it does not count."""
        return (epochs or self.epochs) * (data * self.train_seconds + self.other_seconds)


@dataclass(frozen=True)
class Fit:
    """What of a study is over within the time; `None` where nothing of that kind is."""

    seconds: float
    """That the whole study takes, each run on one device."""
    whole: bool
    runs: int
    """Runs that are done or get done in time, begun in the order of the study."""
    seeds: int | None
    """As many of the seeds, from the first, fit with every variant."""
    epochs: float | None
    """Share of every run's epochs with which all fit, as runs of their own."""
    data: float | None
    """Share of the training data, in hundredths, with which all fit, as runs of their own."""


def fit(jobs: Sequence[Job], hours: float, devices: int) -> Fit:
    """What of `jobs` is over within `hours` on that many devices."""
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
        epochs=next(
            (e for e in _shares_of_epochs(jobs) if within(_with_epochs(jobs, e))),
            None,
        ),
        data=next(
            (n / 100 for n in range(99, 0, -1) if within([j.anew(data=n / 100) for j in jobs])),
            None,
        ),
    )


def makespan(seconds: Sequence[float], devices: int) -> float:
    """Time until all is done, the longest first and each to the device that is free first: at
    most 4/3 of the best there is (Graham 1969, "Bounds on multiprocessing timing anomalies")."""
    return max(ends(sorted(seconds, reverse=True), devices), default=0.0)


def ends(seconds: Sequence[float], devices: int) -> list[float]:
    """When each is over, begun in this order, each on the device that is free first."""
    free = [0.0] * devices
    times = []
    for each in seconds:
        times.append(heapq.heappushpop(free, free[0] + each) + each)
    return times


def epochs_at(job: Job, share: float) -> int:
    """Whole epochs of `job` at that share of them, one at least."""
    # Shares are fractions k / n: what should be a whole number must not fall short of it.
    return max(1, math.floor(share * job.epochs + 1e-9))


def _seeds(jobs: Sequence[Job], limit: float, devices: int) -> int | None:
    seeds = list(dict.fromkeys(job.seed for job in jobs))
    for count in range(len(seeds) - 1, 0, -1):
        chosen = [job.seconds_left for job in jobs if job.seed in seeds[:count]]
        if makespan(chosen, devices) <= limit:
            return count
    return None


def _shares_of_epochs(jobs: Sequence[Job]) -> list[float]:
    most = max(job.epochs for job in jobs)
    return [epochs / most for epochs in range(most - 1, 0, -1)]


def _with_epochs(jobs: Sequence[Job], share: float) -> list[float]:
    return [job.anew(epochs=epochs_at(job, share)) for job in jobs]
