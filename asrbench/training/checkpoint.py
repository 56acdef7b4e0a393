"""All that changes while a run is trained, and how it is kept so that a run can go on.

A state is one file, named by its content and so known to be whole. What others read (weights,
history) is made from it afterwards, and made again when a run goes on: a kill between the two, or
a state that is found damaged, leaves nothing that contradicts the state in use.
"""

from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from asrbench.base.errors import UserError, pick
from asrbench.base.files import digest, flush, temporary_beside
from asrbench.base.reporting import Reporter
from asrbench.experiment.run_folder import Run
from asrbench.recogniser.recogniser import Recogniser
from asrbench.training.epoch_metrics import EpochMetrics
from asrbench.training.step import Trainer

KEPT = 2
"""The newest state, and the one before it should that be damaged."""


@dataclass
class State:
    """All that changes while a run is trained."""

    trainer: Trainer
    history: list[dict[str, Any]] = field(default_factory=list)
    metrics: EpochMetrics = field(default_factory=EpochMetrics)
    """Of the epoch under way; its `batches` is the cursor into the epoch's plan."""
    steps: int = 0
    best_epoch: int | None = None
    """Number, from 1, of the epoch whose weights are in `best.safetensors`."""

    @property
    def epoch(self) -> int:
        """Index of the epoch under way, from 0: the number of those that are over."""
        return len(self.history)

    @property
    def complete(self) -> bool:
        return self.epoch >= self.trainer.cell.train.epochs

    def close_epoch(self, row: dict[str, Any]) -> None:
        """Takes `row` into the history; the next epoch begins."""
        self.history.append(row)
        self.metrics = EpochMetrics()
        if self.best_epoch is None or row["dev_cer"] < self.history[self.best_epoch - 1]["dev_cer"]:
            self.best_epoch = self.epoch


def save(state: State, run: Run) -> None:
    """Leaves a state to go on from, unless the run is complete; then what is read by others.

    For the first rank to call, when all have read the metrics. Raises `Diverged`, with nothing
    saved, if a step since the last look made no number.
    """
    stored = {
        "metrics": state.metrics.plain(),
        "model": state.trainer.recogniser.model.state_dict(),
        "optimizer": state.trainer.optimizer.state_dict(),
        "history": state.history,
        "steps": state.steps,
        "best_epoch": state.best_epoch,
        "identity": run.folder.name,
        "tokenizer": state.trainer.recogniser.tokenizer.digest,
    }
    with temporary_beside(run.state_path(state.steps, "new")) as temporary:
        torch.save(stored, temporary)
        flush(temporary)
        temporary.replace(run.state_path(state.steps, digest(temporary)))
    _publish(state, run)


def resume(state: State, run: Run, reporter: Reporter) -> None:
    """Takes the newest whole state up again, and says which were damaged.

    A state holds nothing of ranks, and any number of them can go on from it: the first reads it
    and sends it to the others. Raises `UserError`, on every rank, if none is whole, or if it is
    another run's, or spelled with another tokenizer.
    """
    ranks = state.trainer.ranks
    with ranks.errors_shared():
        stored = _newest_whole(run, reporter) if ranks.is_main else {}
        if ranks.is_main:
            _check_tokenizer(state, stored, run)
    stored = ranks.broadcast(stored)
    state.trainer.recogniser.model.load_state_dict(stored["model"])
    state.trainer.optimizer.load_state_dict(stored["optimizer"])
    state.history, state.metrics = stored["history"], EpochMetrics(**stored["metrics"])
    state.steps, state.best_epoch = stored["steps"], stored["best_epoch"]
    if ranks.is_main:
        for stray in run.folder.rglob("*.tmp-*"):
            stray.unlink()
        _publish(state, run)


def _check_tokenizer(state: State, stored: dict[str, Any], run: Run) -> None:
    """Weights are a run's own, but their symbols may have been learned again, and otherwise."""
    found = state.trainer.recogniser.tokenizer.digest
    if stored["tokenizer"] != found:
        raise UserError(
            f"{run}: found a state whose symbols are another tokenizer ({stored['tokenizer']}) "
            f"than that of its training texts ({found}), and no {run.weights_path('last').name} "
            f"to take it from; delete the folder and train it again"
        )


def _newest_whole(run: Run, reporter: Reporter) -> dict[str, Any]:
    damaged: list[Path] = []
    for path in run.state_paths():
        stored = _read(path)
        if stored is None:
            damaged.append(path)
            continue
        pick(f"{path}: run", stored["identity"], [run.folder.name])
        for each in damaged:
            reporter.say(f"{each}: is damaged and was deleted; {path.name} before it is used")
            each.unlink()
        return stored
    raise UserError(
        f"{damaged[0]}: is damaged, and there is no other state to go on from; "
        f"delete {run.folder} and train it again"
    )


def _read(path: Path) -> dict[str, Any] | None:
    """What was stored there, on the CPU; nothing if it is not what its name says."""
    if path.stem.rpartition("-")[2] != digest(path):
        return None
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, EOFError, UnpicklingError):
        return None


def _publish(state: State, run: Run) -> None:
    """What others read of the state; the history last, for it says when a run is done."""
    _publish_best(state, run)
    state.trainer.recogniser.save(run.weights_path("last"), state.epoch)
    run.write_history(state.history)
    for path in run.state_paths()[0 if state.complete else KEPT :]:
        path.unlink()
    if state.complete:
        run.weights_path("best.previous").unlink(missing_ok=True)


def _publish_best(state: State, run: Run) -> None:
    """Makes `best.safetensors` the weights of the state's best epoch.

    The best before it is kept: between two states at most one epoch ends, so if the state before
    this one is ever needed, its best is one of the two.
    """
    best, previous = run.weights_path("best"), run.weights_path("best.previous")
    if state.best_epoch is not None and Recogniser.epoch_of(best) == state.best_epoch:
        return
    if state.best_epoch == state.epoch and not state.metrics.batches:
        if best.is_file():
            best.replace(previous)
        state.trainer.recogniser.save(best, state.epoch)
    elif state.best_epoch is not None and Recogniser.epoch_of(previous) == state.best_epoch:
        previous.replace(best)
    else:
        # Weights of an epoch that the state knows nothing of; the next epoch's are the best.
        best.unlink(missing_ok=True)
        state.best_epoch = None
