"""The cost of the runs of a study: measured once for each variant, and summed up.

`Outlook.plain` is the document that `asrbench plan --json` prints. Its keys are the fields and
properties of the records here, of `Cost` and `Worst` in `estimate.py`, and of `Fit` in `budget.py`.
Seconds, bytes and counts are plain numbers, and nothing is rounded.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from asrbench.base.reporting import Reporter
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell
from asrbench.recogniser.devices import runs_in_bf16
from asrbench.stages.plan.budget import Fit, Job, fit, makespan
from asrbench.stages.plan.estimate import Cost, estimate
from asrbench.training.setup import TrainingSetup, set_up

VERSION = 1
"""Version of the JSON document."""

DERIVED = ("step_seconds", "epoch_seconds", "seconds", "disk_bytes", "disk_bytes_done")
"""Properties of `Cost` that the document has beside its fields."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of the study."""

    variant: str
    """Name of the variant."""
    seed: int
    """Seed of the run."""
    fold: int | None
    """Number of the fold that the run is tested on; None for the splits of the corpus."""
    run: Run
    """The run folder, which may not exist yet."""
    epochs: int
    """Epochs of the whole run."""
    epochs_left: int
    """Epochs still to be trained."""
    cost: Cost | None
    """The cost of the whole run; None if it does not fit the device."""

    @property
    def status(self) -> Literal["done", "begun", "new"]:
        """Whether all, some or none of its epochs are trained."""
        if not self.epochs_left:
            return "done"
        return "new" if self.epochs_left == self.epochs else "begun"

    @property
    def seconds_left(self) -> float | None:
        """Seconds that are still needed; None if the run does not fit the device."""
        return None if self.cost is None else self.epochs_left * self.cost.epoch_seconds

    @property
    def job(self) -> Job | None:
        """The run as the time budget sees it; None if the run does not fit the device."""
        if self.cost is None:
            return None
        return Job(
            variant=self.variant,
            seed=self.seed,
            epochs=self.epochs,
            epochs_left=self.epochs_left,
            train_seconds=self.cost.train_seconds,
            other_seconds=self.cost.other_seconds,
        )

    def plain(self) -> dict[str, Any]:
        return {
            "variant": self.variant,
            "seed": self.seed,
            "fold": self.fold,
            "run": str(self.run),
            "status": self.status,
            "epochs": self.epochs,
            "epochs_left": self.epochs_left,
            "seconds_left": self.seconds_left,
            "cost": _plain_cost(self.cost),
        }


@dataclass(frozen=True)
class VariantOutlook:
    """The runs of one variant, which differ in their seed or fold and cost the same."""

    cell: Cell
    """The cell of its first run."""
    runs: tuple[PlannedRun, ...]
    cost: Cost | None
    """The cost of each run; None if it does not fit the device."""

    @property
    def epochs_left(self) -> int:
        return sum(each.epochs_left for each in self.runs)


@dataclass(frozen=True)
class Total:
    """The sum over all runs."""

    runs: int
    """Runs of the study."""
    runs_left: int
    """Runs that are not done."""
    seconds_left: float
    """Seconds of what is left, one run after another."""
    devices: int
    """Devices that the plan is for; each trains one run at a time."""
    seconds: float
    """Seconds of what is left on these devices."""
    disk_bytes: int
    """The most disk space at any time, summed over all runs."""


@dataclass(frozen=True)
class Outlook:
    """The cost of a study on this machine."""

    study: str
    """Name of the study."""
    folder: Path
    """Folder of the study, which may not exist yet."""
    device: str
    """Name of the GPU, or `cpu`."""
    threads: int
    """CPU threads that torch used."""
    precision: str
    """Precision of the forward pass: `bf16` or `fp32`."""
    devices: int
    """Devices that the plan is for."""
    hours: float | None
    """The time that the study should fit into, if one was asked for."""
    variants: tuple[VariantOutlook, ...]

    @property
    def runs(self) -> list[PlannedRun]:
        """All runs, in the order of the study."""
        return [run for variant in self.variants for run in variant.runs]

    @property
    def jobs(self) -> list[Job]:
        """The runs that fit the device, in the order of the study."""
        return [job for run in self.runs if (job := run.job) is not None]

    @cached_property
    def total(self) -> Total:
        """The cost of all runs that fit the device."""
        runs, jobs = self.runs, self.jobs
        left = [job.seconds_left for job in jobs]
        costs = [run.cost for run in runs if run.cost is not None]
        # The runs that are trained at the same time need disk space for their states as well.
        states = sorted((c.disk_bytes - c.disk_bytes_done for c in costs), reverse=True)
        return Total(
            runs=len(runs),
            runs_left=sum(run.epochs_left > 0 for run in runs),
            seconds_left=sum(left),
            devices=self.devices,
            seconds=makespan(left, self.devices),
            disk_bytes=sum(c.disk_bytes_done for c in costs) + sum(states[: self.devices]),
        )

    @cached_property
    def fit(self) -> Fit | None:
        """The part of the study that fits into `hours`; None without `hours`, or if no
        run fits the device."""
        if self.hours is None or not self.jobs:
            return None
        return fit(self.jobs, self.hours, self.devices)

    def plain(self) -> dict[str, Any]:
        """Returns the JSON document."""
        found = self.fit
        return {
            "version": VERSION,
            "study": self.study,
            "device": self.device,
            "threads": self.threads,
            "precision": self.precision,
            "runs": [run.plain() for run in self.runs],
            "total": asdict(self.total),
            "fit": None
            if found is None
            else {"hours": self.hours, "devices": self.devices, **asdict(found)},
        }


def plan_study(
    name: str,
    cells: Sequence[Cell],
    results: Path,
    reporter: Reporter,
    *,
    devices: int = 1,
    hours: float | None = None,
) -> Outlook:
    """Measures what the runs of `cells` will cost, each variant once. Creates no files.

    Raises `UserError` if a cell cannot be set up.
    """
    setups = [set_up(cell, results) for cell in cells]
    by_variant: dict[str, list[TrainingSetup]] = {}
    for each in setups:
        by_variant.setdefault(each.cell.variant, []).append(each)
    variants: list[VariantOutlook] = []
    for variant, mine in by_variant.items():
        reporter.progress("measuring", len(variants), len(by_variant), variant)
        # Runs that differ only in their seed cost the same, and folds are of the same size.
        cost = estimate(mine[0].cell.model_copy(update={"seed": 0}), results)
        runs = tuple(_planned(each, cost) for each in mine)
        variants.append(VariantOutlook(mine[0].cell, runs, cost))
    device, precision = setups[0].device, setups[0].cell.train.precision
    return Outlook(
        study=name,
        folder=setups[0].run.folder.parents[1],
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        precision="bf16" if runs_in_bf16(device, precision) else "fp32",
        devices=devices,
        hours=hours,
        variants=tuple(variants),
    )


def _planned(setup: TrainingSetup, cost: Cost | None) -> PlannedRun:
    cell, run = setup.cell, setup.run
    epochs_left = 0 if run.done else cell.train.epochs - len(run.history_so_far())
    return PlannedRun(
        variant=cell.variant,
        seed=cell.seed,
        fold=cell.fold.index if cell.fold else None,
        run=run,
        epochs=cell.train.epochs,
        epochs_left=epochs_left,
        cost=cost,
    )


def _plain_cost(cost: Cost | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    return asdict(cost) | {name: getattr(cost, name) for name in DERIVED}
