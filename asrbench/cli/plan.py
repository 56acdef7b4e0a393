"""`asrbench plan`: what a study will cost, before it is launched.

`--json` prints one document:

    study, device, threads, precision
    runs       a list: variant, seed, run (its folder), status (done, begun, new), epochs,
               epochs_left, seconds_left, cost; seconds_left and cost are null where a run does
               not fit the device
    total      runs, runs_left, seconds_left (all of them, one after another), devices, seconds
               (on so many), disk_bytes (at most, all runs together)
    fit        null without --hours; else hours, devices, seconds, whole (does it all fit?), and
               where it does not runs, seeds, epochs, data: see `asrbench.stages.plan.budget.Fit`

    cost       the fields of `asrbench.stages.plan.estimate.Cost`, `worst` as an object, and with
               them step_seconds, epoch_seconds, seconds, disk_bytes, disk_bytes_done

Seconds, bytes and counts are plain numbers; nothing is rounded.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrbench.cli.options import (
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
from asrbench.cli.terminal import Terminal, print_table

if TYPE_CHECKING:
    from asrbench.experiment.spec import Cell
    from asrbench.stages.plan.budget import Fit, Job
    from asrbench.stages.plan.estimate import Cost
    from asrbench.training.setup import TrainingSetup


def plan(
    spec: SpecFile,
    sets: Sets = None,
    only: Only = None,
    seed: Seeds = None,
    hours: Annotated[
        float | None, typer.Option("--hours", help="Say what fits this time, in hours.")
    ] = None,
    gpus: Annotated[
        int, typer.Option("--gpus", min=1, help="Devices the runs are dealt over, one run each.")
    ] = 1,
    results: Results = Path("results"),
    device: OtherDevice = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every figure as one JSON document.")
    ] = False,
) -> None:
    """Say what a study will cost, before it is launched.

    Really trains a few batches of each variant, the worst one too, and throws the weights away:
    half a minute or so a variant. Times are of this machine as it is now; leave it alone
    meanwhile, and set as many threads as training will have.
    """
    from asrbench.experiment.spec_file import load_study
    from asrbench.stages.plan.budget import fit

    check_hours("--hours", hours)
    study = load_study(spec, laid_over(sets, device))
    cells = chosen(study, spec, only, seed)

    from asrbench.training.setup import set_up

    setup = [set_up(cell, results) for cell in cells]
    with Terminal(cells[0].run.log_seconds, quiet=as_json) as terminal:
        outlook = _Outlook(study.name, setup, _measured(cells, results, terminal), gpus)
    fits = None if hours is None or not outlook.jobs else fit(outlook.jobs, hours, gpus)
    if as_json:
        found = None if fits is None else {"hours": hours, "devices": gpus, **asdict(fits)}
        typer.echo(json.dumps({**outlook.plain(), "fit": found}, indent=2))
        return
    outlook.print()
    if fits is not None:
        assert hours is not None
        for line in _fit_lines(fits, outlook.jobs, hours, gpus):
            typer.echo(line)


def _measured(
    cells: "Sequence[Cell]", results: Path, terminal: Terminal
) -> "dict[Cell, Cost | None]":
    """By cell without its seed, for seeds cost the same."""
    from asrbench.stages.plan.estimate import estimate

    distinct = list(dict.fromkeys(map(_seedless, cells)))
    costs = {}
    for number, cell in enumerate(distinct):
        terminal.progress("measuring", number, len(distinct), cell.variant)
        costs[cell] = estimate(cell, results)
    return costs


def _seedless(cell: "Cell") -> "Cell":
    return cell.model_copy(update={"seed": 0})


@dataclass(frozen=True)
class _Outlook:
    """The runs of a study, and what each costs."""

    study: str
    setup: "list[TrainingSetup]"
    costs: "dict[Cell, Cost | None]"
    """By cell without its seed; none of one that does not fit the device."""
    devices: int

    @property
    def jobs(self) -> "list[Job]":
        """Of the runs whose cost is known, in the order of the study."""
        return [job for each in self.setup if (job := self._job(each)) is not None]

    def _cost(self, each: "TrainingSetup") -> "Cost | None":
        return self.costs[_seedless(each.cell)]

    def _job(self, each: "TrainingSetup") -> "Job | None":
        from asrbench.stages.plan.budget import Job

        cell, cost = each.cell, self._cost(each)
        if cost is None:
            return None
        return Job(
            variant=cell.variant,
            seed=cell.seed,
            epochs=cell.train.epochs,
            left=_epochs_left(each),
            train_seconds=cost.train_seconds,
            other_seconds=cost.other_seconds,
        )

    def _total(self) -> dict[str, Any]:
        from asrbench.stages.plan.budget import makespan

        left = [job.seconds_left for job in self.jobs]
        costs = [cost for each in self.setup if (cost := self._cost(each)) is not None]
        # Those under way have their states too.
        states = sorted((c.disk_bytes - c.disk_bytes_done for c in costs), reverse=True)
        return {
            "runs": len(self.setup),
            "runs_left": sum(_epochs_left(each) > 0 for each in self.setup),
            "seconds_left": sum(left),
            "devices": self.devices,
            "seconds": makespan(left, self.devices),
            "disk_bytes": sum(c.disk_bytes_done for c in costs) + sum(states[: self.devices]),
        }

    # For programs

    def plain(self) -> dict[str, Any]:
        """See the head of this file."""
        device, threads, precision = _place(self.setup[0])
        return {
            "study": self.study,
            "device": device,
            "threads": threads,
            "precision": precision,
            "runs": [self._plain_run(each) for each in self.setup],
            "total": self._total(),
        }

    def _plain_run(self, each: "TrainingSetup") -> dict[str, Any]:
        cell, job = each.cell, self._job(each)
        left = _epochs_left(each)
        return {
            "variant": cell.variant,
            "seed": cell.seed,
            "run": str(each.run),
            "status": "done" if not left else "new" if left == cell.train.epochs else "begun",
            "epochs": cell.train.epochs,
            "epochs_left": left,
            "seconds_left": None if job is None else job.seconds_left,
            "cost": _plain_cost(self._cost(each)),
        }

    # For people

    def print(self) -> None:
        device, threads, precision = _place(self.setup[0])
        on = f"{device}, {threads} thread{'s' * (threads > 1)}, {precision}"
        measured = {cell: cost for cell, cost in self.costs.items() if cost is not None}
        steps = [_step_row(cell, cost) for cell, cost in measured.items()]
        header = ["variant", "params", "GFLOP", "step", "worst", "memory", "CTC cannot"]
        if steps:
            print_table(header, steps, title=f"{self.study}: a training step on {on}")
            typer.echo(
                "GFLOP: of a second of audio, forward and backward. worst, memory: of the batch\n"
                f"that takes most{_of_what(device)}. CTC cannot: utterances it cannot align.\n"
            )
            header = ["variant", "runs", "epochs left", "epoch", "run", "left", "disk"]
            rows = [self._study_row(cell, cost) for cell, cost in measured.items()]
            print_table(header, rows, title=f"{self.study}: the study, in {_folder(self.setup)}")
        for line in (*self._too_large(), *self._total_lines()):
            typer.echo(line)

    def _study_row(self, cell: "Cell", cost: "Cost") -> list[str]:
        mine = [each for each in self.setup if _seedless(each.cell) == cell]
        left = sum(map(_epochs_left, mine))
        return [
            cell.variant,
            str(len(mine)),
            f"{left} of {len(mine) * cell.train.epochs}",
            _duration(cost.epoch_seconds),
            _duration(cost.seconds),
            _duration(left * cost.epoch_seconds),
            _bytes(len(mine) * cost.disk_bytes_done),
        ]

    def _too_large(self) -> list[str]:
        lines = []
        for cell, cost in self.costs.items():
            if cost is None:
                lines.append(
                    f"{cell.variant}: does not fit the device, not even an utterance at a time; "
                    f"give it a smaller model, and count it in then"
                )
            elif cost.accumulate > cell.train.accumulate:
                lines.append(
                    f"{cell.variant}: does not fit the device as it is; its figures are with "
                    f"train.accumulate={cost.accumulate}: set that"
                )
        return lines

    def _total_lines(self) -> list[str]:
        total = self._total()
        many = (
            f", {_duration(total['seconds'])} on {self.devices} devices" if self.devices > 1 else ""
        )
        return [
            f"{total['runs_left']} of {total['runs']} runs are left: "
            f"{_duration(total['seconds_left'])} one after another{many}; "
            f"disk: {_bytes(total['disk_bytes'])} at most"
        ]


def _folder(setup: "Sequence[TrainingSetup]") -> str:
    """The folder of the study."""
    return str(setup[0].run.folder.parents[1])


def _epochs_left(each: "TrainingSetup") -> int:
    if each.run.done:
        return 0
    return each.cell.train.epochs - len(each.run.history())


def _place(each: "TrainingSetup") -> tuple[str, int, str]:
    """Device, threads and precision of what was measured."""
    import torch

    from asrbench.recogniser.devices import runs_in_bf16

    name = torch.cuda.get_device_name(each.device) if each.device.type == "cuda" else "cpu"
    bf16 = runs_in_bf16(each.device, each.cell.train.precision)
    return name, torch.get_num_threads(), "bf16" if bf16 else "fp32"


def _of_what(device: str) -> str:
    return " (memory of the process)" if device == "cpu" else " (memory of tensors)"


def _plain_cost(cost: "Cost | None") -> dict[str, Any] | None:
    if cost is None:
        return None
    derived = ("step_seconds", "epoch_seconds", "seconds", "disk_bytes", "disk_bytes_done")
    return asdict(cost) | {name: getattr(cost, name) for name in derived}


def _step_row(cell: "Cell", cost: "Cost") -> list[str]:
    return [
        cell.variant,
        f"{cost.parameters / 1e6:.2f}M",
        f"{cost.flops_per_audio_second / 1e9:.2f}",
        _duration(cost.step_seconds),
        _duration(cost.worst.seconds),
        _bytes(cost.worst.memory_bytes),
        str(cost.excluded),
    ]


def _fit_lines(fits: "Fit", jobs: "Sequence[Job]", hours: float, devices: int) -> list[str]:
    """What is over within the time, in words."""
    on = f"{hours:g} h on {devices} device{'s' * (devices > 1)}"
    if fits.whole:
        return [f"all of it fits {on}: it takes {_duration(fits.seconds)}"]
    lines = []
    if fits.runs:
        lines.append(f"  {fits.runs} of {len(jobs)} runs, in the order of the study")
    seeds = list(dict.fromkeys(job.seed for job in jobs))
    if fits.seeds is not None:
        chosen = " ".join(f"--seed {seed}" for seed in seeds[: fits.seeds])
        lines.append(f"  {fits.seeds} of {len(seeds)} seeds of every variant: {chosen}")
    if fits.epochs is not None:
        lines.append(f"  every run with {_epochs(fits.epochs, jobs)}, as a run of its own")
    if fits.data is not None:
        share = f"{100 * fits.data:.0f} % of the training data"
        lines.append(f"  every run on {share}, as a run of its own")
    nothing = ["  nothing; but a run that --max-hours stops goes on another time"]
    told = f"it takes {_duration(fits.seconds)} and does not fit {on}; what does:"
    return [told, *(lines or nothing)]


def _epochs(share: float, jobs: "Sequence[Job]") -> str:
    from asrbench.stages.plan.budget import epochs_at

    all_epochs = {job.epochs for job in jobs}
    if len(all_epochs) > 1:
        return f"{100 * share:.0f} % of its epochs"
    epochs = epochs_at(jobs[0], share)
    return f"{epochs} of {jobs[0].epochs} epochs: --set train.epochs={epochs}"


# Figures


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
