"""`asrbench plan`: prints what a study will cost, before it is launched."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from asrbench.cli.terminal import Terminal, echo, echo_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asrbench.stages.plan.budget import Fit, Job
    from asrbench.stages.plan.estimate import Cost
    from asrbench.stages.plan.outlook import Outlook, VariantOutlook


def plan(
    spec: SpecFile,
    sets: Sets = None,
    only: Only = None,
    seed: Seeds = None,
    fold: Folds = None,
    hours: Annotated[
        float | None, typer.Option("--hours", help="Say what fits into this time, in hours.")
    ] = None,
    gpus: Annotated[
        int,
        typer.Option("--gpus", min=1, help="Devices to plan for; each trains one run at a time."),
    ] = 1,
    results: Results = Path("results"),
    device: SpecDevice = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every figure as one JSON document.")
    ] = False,
) -> None:
    """Measure what a study will cost, before it is launched.

    Trains a few batches of each variant, the largest ones included, and discards the weights. This
    takes about half a minute per variant.

    Times are those of this machine as it is now: leave it idle meanwhile, and set the number of
    threads that training will use.
    """
    from asrbench.experiment.spec_file import load_study

    check_hours("--hours", hours)
    study = load_study(spec, all_sets(sets, device))
    cells = with_found_corpus(chosen_cells(study, spec, only, seed, fold), spec)
    print_not_applied(study, cells)

    from asrbench.stages.plan.outlook import plan_study

    with Terminal(cells[0].run.log_seconds, quiet=as_json) as terminal:
        outlook = plan_study(study.name, cells, results, terminal, devices=gpus, hours=hours)
    if as_json:
        echo_json(json.dumps(outlook.plain(), indent=2))
        return
    _print_steps(outlook)
    _print_study(outlook)
    for line in (*_size_lines(outlook), _total_line(outlook), *_fit_lines(outlook)):
        echo(line)


# Tables


def _print_steps(outlook: "Outlook") -> None:
    """Prints the cost of a training step of each variant that fits the device."""
    rows = [_step_row(each, each.cost) for each in outlook.variants if each.cost is not None]
    if not rows:
        return
    threads = f"{outlook.threads} thread{'s' * (outlook.threads > 1)}"
    title = f"{outlook.study}: a training step on {outlook.device}, {threads}, {outlook.precision}"
    header = ["variant", "params", "GFLOP", "step", "worst", "memory", "not alignable"]
    print_table(header, rows, title=title)
    memory = "of the process" if outlook.device == "cpu" else "of tensors"
    echo(
        "GFLOP: for one second of audio, forward and backward. worst: the slowest step.\n"
        f"memory: peak memory {memory} in a step. not alignable: training utterances\n"
        "that are left out, because they have too few frames for their text.\n"
    )


def _print_study(outlook: "Outlook") -> None:
    """Prints the cost of the runs of each variant that fits the device."""
    rows = [_study_row(each, each.cost) for each in outlook.variants if each.cost is not None]
    if rows:
        header = ["variant", "runs", "epochs left", "epoch", "run", "left", "disk"]
        print_table(header, rows, title=f"{outlook.study}: the study, in {outlook.folder}")


def _step_row(variant: "VariantOutlook", cost: "Cost") -> list[str]:
    return [
        variant.cell.variant,
        _parameters(cost),
        f"{cost.flops_per_audio_second / 1e9:.2f}",
        _duration(cost.step_seconds),
        _duration(cost.worst.seconds),
        _bytes(cost.worst.memory_bytes),
        str(cost.excluded),
    ]


def _parameters(cost: "Cost") -> str:
    """Returns the number of parameters, and how many are trained where some are frozen."""
    frozen = cost.trained_parameters < cost.parameters
    trained = f" ({cost.trained_parameters / 1e6:.2f}M trained)" if frozen else ""
    return f"{cost.parameters / 1e6:.2f}M{trained}"


def _study_row(variant: "VariantOutlook", cost: "Cost") -> list[str]:
    return [
        variant.cell.variant,
        str(len(variant.runs)),
        f"{variant.epochs_left} of {len(variant.runs) * variant.cell.train.epochs}",
        _duration(cost.epoch_seconds),
        _duration(cost.seconds),
        _duration(variant.epochs_left * cost.epoch_seconds),
        _bytes(len(variant.runs) * cost.disk_bytes_done),
    ]


# Lines


def _size_lines(outlook: "Outlook") -> list[str]:
    """One line for each variant whose batches do not fit the device as the spec has them."""
    lines = []
    for each in outlook.variants:
        cell, cost = each.cell, each.cost
        if cost is None:
            lines.append(
                f"{cell.variant}: does not fit the device, even with one utterance at a time; its "
                f"cost is not counted; give it a smaller model"
            )
        elif cost.accumulate > cell.train.accumulate:
            lines.append(
                f"{cell.variant}: its batches do not fit the device; its figures are for "
                f"train.accumulate={cost.accumulate}: set that"
            )
    return lines


def _total_line(outlook: "Outlook") -> str:
    total = outlook.total
    parallel = (
        f", {_duration(total.seconds)} on {total.devices} devices" if total.devices > 1 else ""
    )
    return (
        f"{total.runs_left} of {total.runs} runs are left: {_duration(total.seconds_left)} one "
        f"after another{parallel}; disk: {_bytes(total.disk_bytes)} at most"
    )


def _fit_lines(outlook: "Outlook") -> list[str]:
    """Sentences that say which part of the study fits into `--hours`; none without it."""
    fit, devices = outlook.fit, outlook.devices
    if fit is None:
        return []
    time = f"{outlook.hours:g} h on {devices} device{'s' * (devices > 1)}"
    if fit.whole:
        return [f"the whole study fits into {time}: it takes {_duration(fit.seconds)}"]
    shares = {variant.cell.train.share for variant in outlook.variants}
    parts = _parts_that_fit(fit, outlook.jobs, shares)
    nothing = ["  nothing; but `asrbench train --max-hours` saves what it did, to continue later"]
    first = f"the study takes {_duration(fit.seconds)} and does not fit into {time}; what fits:"
    return [first, *(parts or nothing)]


def _parts_that_fit(fit: "Fit", jobs: "Sequence[Job]", shares: set[float]) -> list[str]:
    """Says what fits, with the option that asks for it. `shares` are those of the training data."""
    lines = []
    if fit.runs:
        lines.append(f"  {fit.runs} of {len(jobs)} runs, in the order of the study")
    seeds = list(dict.fromkeys(job.seed for job in jobs))
    if fit.seeds is not None:
        options = " ".join(f"--seed {seed}" for seed in seeds[: fit.seeds])
        lines.append(f"  {fit.seeds} of {len(seeds)} seeds of every variant: {options}")
    if fit.epochs is not None:
        lines.append(f"  every run, from its start, with {_epochs(fit.epochs, jobs)}")
    if fit.data is not None:
        line = f"  every run, from its start, on {100 * fit.data:.0f} % of the data"
        alike = f": --set train.share={fit.data * min(shares):g}" if len(shares) == 1 else ""
        lines.append(line + alike)
    return lines


def _epochs(share: float, jobs: "Sequence[Job]") -> str:
    from asrbench.stages.plan.budget import epochs_at

    if len({job.epochs for job in jobs}) > 1:
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
