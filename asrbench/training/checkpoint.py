"""Checkpoints: the state of a run, how it is saved, and how training resumes from it.

A state is one file whose name holds a digest of its content, so that damage is noticed. `save`
writes the weights and the history, which other commands read, from the state afterwards, and
`resume` writes them again. So they agree with the state in use even if the process was killed in
between, or if a state is damaged.
"""

from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from asrbench.base.errors import UserError, pick
from asrbench.base.files import digest, flush, temporary_beside, writing
from asrbench.base.records import checked
from asrbench.base.reporting import Reporter
from asrbench.experiment.run_folder import Run
from asrbench.experiment.run_records import Count, EpochRow
from asrbench.recogniser import weights_file
from asrbench.recogniser.recogniser import Recogniser
from asrbench.training.epoch_metrics import EpochMetrics
from asrbench.training.step import Trainer
from asrbench.training.weight_average import WeightAverage

KEPT = 2
"""The number of states that are kept: the newest, and the previous one in case that is damaged."""

_REMEDY = "resume with that version, or delete the folder and train the run again"


@dataclass(frozen=True)
class _Stored:
    """What a state holds, by which a file of another version is told."""

    metrics: dict[str, Any]
    model: dict[str, Any]
    optimizer: dict[str, Any]
    history: list[EpochRow]
    steps: Count
    best_epoch: Count | None
    identity: str
    tokenizer: str
    average: dict[str, Any] = field(default_factory=dict)


@dataclass
class State:
    """Everything that changes while a run is trained."""

    trainer: Trainer
    history: list[dict[str, Any]] = field(default_factory=list)
    metrics: EpochMetrics = field(default_factory=EpochMetrics)
    """The metrics of the current epoch; `batches` is the position within the epoch's batches."""
    steps: int = 0
    best_epoch: int | None = None
    """The number, from 1, of the epoch whose weights are in `best.safetensors`."""
    average: WeightAverage = field(default_factory=WeightAverage)
    """The average of the weights after some epochs; empty under other rules than `average`."""

    @property
    def epoch(self) -> int:
        """The index, from 0, of the current epoch; also the number of finished epochs."""
        return len(self.history)

    @property
    def complete(self) -> bool:
        return self.epoch >= self.trainer.cell.train.epochs

    @property
    def averaged(self) -> Recogniser | None:
        """The recogniser with the averaged weights; None until all their epochs are done."""
        epochs = self.trainer.cell.train.averaged_epochs
        if not epochs or self.average.epochs < epochs:
            return None
        # The mean of equal numbers can differ from them in the last bit.
        own = self.trainer.recogniser.model.state_dict()
        frozen = {name: own[name] for name in self.trainer.frozen.tensors & own.keys()}
        return self.trainer.recogniser.with_weights(self.average.mean() | frozen)

    def average_weights(self, dev_cer: float) -> None:
        """Adds the weights after the current epoch to the average, if they are part of it.

        The best epochs are kept, and added after the last one. `dev_cer` is that of the epoch.
        """
        train, model = self.trainer.cell.train, self.trainer.recogniser.model
        if train.averages_best:
            rates = [*(row["dev_cer"] for row in self.history), dev_cer]
            self.average.keep_best(model, rates, train.averaged_epochs)
            if len(rates) == train.epochs:
                self.average.add_best()
        elif self.epoch >= train.epochs - train.averaged_epochs:
            self.average.add(model)

    def close_epoch(self, row: dict[str, Any]) -> None:
        """Ends the current epoch: appends `row` to the history and starts new metrics."""
        self.history.append(row)
        self.metrics = EpochMetrics()
        if self.best_epoch is None or row["dev_cer"] < self.history[self.best_epoch - 1]["dev_cer"]:
            self.best_epoch = self.epoch


def save(state: State, run: Run) -> None:
    """Saves a state to resume from, then writes the weights and the history.

    If the run is complete, its states are deleted at the end. Only the main rank calls this, after
    all ranks have read the metrics. Raises `Diverged`, with nothing saved, if the loss or the
    gradient of a step since the last read is not finite. Raises `UserError` if the disk is full;
    the newest state is then intact, and `resume` writes what is missing beside it.
    """
    stored = {
        "metrics": state.metrics.plain(),
        "model": state.trainer.recogniser.model.state_dict(),
        "optimizer": state.trainer.optimizer.state_dict(),
        "history": state.history,
        "steps": state.steps,
        "best_epoch": state.best_epoch,
        "average": vars(state.average),
        "identity": run.folder.name,
        "tokenizer": state.trainer.recogniser.tokenizer.digest,
    }
    with temporary_beside(run.state_path(state.steps, "new")) as temporary:
        with writing(temporary) as file:
            torch.save(stored, file)
        flush(temporary)
        temporary.replace(run.state_path(state.steps, digest(temporary)))
    publish(state, run)


def resume(state: State, run: Run, reporter: Reporter) -> None:
    """Restores the newest intact state, and reports the damaged ones.

    A state does not depend on the world size, so any number of ranks can resume from it: the main
    rank reads it and broadcasts it. Raises `UserError`, on every rank, if no state is intact, if
    the state belongs to another run, or if it was trained with another tokenizer.
    """
    ranks = state.trainer.ranks
    with ranks.errors_shared():
        stored = _newest_whole(run, reporter) if ranks.is_main else {}
        if ranks.is_main:
            _check_tokenizer(state, stored, run)
    stored = ranks.broadcast(stored)
    try:
        state.trainer.recogniser.model.load_state_dict(stored["model"])
        state.trainer.optimizer.load_state_dict(stored["optimizer"])
        state.history, state.metrics = stored["history"], EpochMetrics(**stored["metrics"])
        state.steps, state.best_epoch = stored["steps"], stored["best_epoch"]
        # States of earlier versions have none.
        state.average = WeightAverage(**stored.get("average", {}))
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise UserError(f"{run}: found a state of another version of asrbench; {_REMEDY}") from None
    if ranks.is_main:
        _delete_damaged_best(run, reporter)
        publish(state, run)
        if state.best_epoch is not None and not run.weights_path("best").is_file():
            reporter.say(
                f"{run.weights_path('best')}: is lost, the weights of epoch {state.best_epoch}, "
                f"which are the best so far; training continues and writes the file when a later "
                f"epoch is better; otherwise restore it, or delete {run} and train the run again"
            )


def _delete_damaged_best(run: Run, reporter: Reporter) -> None:
    """Deletes and reports damaged files of the best weights, which no state could tell from whole
    ones."""
    for path in map(run.weights_path, ("best", "best.previous")):
        if path.is_file():
            try:
                weights_file.read(path)
            except UserError as error:
                reporter.say(f"{error}; it was deleted")
                path.unlink()


def _check_tokenizer(state: State, stored: dict[str, Any], run: Run) -> None:
    """Raises `UserError` if the tokenizer was learned again and differs from the state's."""
    found = state.trainer.recogniser.tokenizer.digest
    if stored["tokenizer"] != found:
        raise UserError(
            f"{run}: found a state with another tokenizer ({stored['tokenizer']}) than the one "
            f"learned from its training texts ({found}), and no {run.weights_path('last').name} "
            f"that holds it; delete the folder and train the run again"
        )


def _newest_whole(run: Run, reporter: Reporter) -> dict[str, Any]:
    damaged: list[Path] = []
    for path in run.state_paths():
        stored = read_state(path)
        if stored is None:
            damaged.append(path)
            continue
        checked(stored, _Stored, str(path), _REMEDY)
        pick(f"{path}: run", stored["identity"], [run.folder.name])
        for each in damaged:
            reporter.say(f"{each}: is damaged and was deleted; training resumes from {path.name}")
            each.unlink()
        return stored
    raise UserError(
        f"{damaged[0]}: is damaged, and there is no other state to resume from; "
        f"delete {run.folder} and train the run again"
    )


def read_state(path: Path) -> dict[str, Any] | None:
    """Returns the stored state, on the CPU; None if the file does not match its digest."""
    if path.stem.rpartition("-")[2] != digest(path):
        return None
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, EOFError, UnpicklingError):
        return None


def publish(state: State, run: Run) -> None:
    """Writes the weights, then the history, which is last because its length says a run is done."""
    _publish_best(state, run)
    state.trainer.recogniser.save(run.weights_path("last"), state.epoch)
    if averaged := state.averaged:
        averaged.save(run.weights_path("average"), state.epoch)
    run.write_history(state.history)
    for path in run.states_left_over() if state.complete else run.state_paths()[KEPT:]:
        path.unlink()


def _publish_best(state: State, run: Run) -> None:
    """Makes `best.safetensors` the weights of the state's best epoch.

    Keeps the previous best weights too. At most one epoch ends between two states, so if training
    has to resume from the previous state, its best weights are one of the two files.
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
        # The file is lost, or holds another epoch than the best one. Only an epoch that is better
        # than that one may take its place.
        best.unlink(missing_ok=True)
