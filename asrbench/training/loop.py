"""Training one cell of an experiment: set_up, then batch, step, row, save.

A run can be killed at any moment and goes on from its last checkpoint to bit-identical weights on
a CPU: order, augmentation and dropout are keyed by (seed, epoch, batch), and the checkpoint holds
the rest. Several processes can train it together (`ranks`): each takes its share of every batch,
and what depends on a clock or a signal they agree on after each step.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from asrbench.base.distributed import Ranks
from asrbench.base.errors import RankError, UserError
from asrbench.base.reporting import Reporter
from asrbench.data.batch_sampler import Batches, epoch_plan, length_plan, micro_batches_of, share_of
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell
from asrbench.recogniser.devices import deterministic
from asrbench.recogniser.loader import Batch, load
from asrbench.recogniser.recogniser import Transcribed
from asrbench.scoring.score import character_errors, why_untrained
from asrbench.text.profiles import PROFILES
from asrbench.training.checkpoint import State, resume, save
from asrbench.training.diagnostics import news, stuck_epochs
from asrbench.training.environment import environment
from asrbench.training.epoch_metrics import EpochMetrics
from asrbench.training.profiling import profiled
from asrbench.training.setup import TrainingSetup, alignable
from asrbench.training.step import Trainer
from asrbench.training.stopping import (
    Deadline,
    Diverged,
    Failed,
    Interrupted,
    OutOfMemory,
    Stuck,
    TimeUp,
    stop_signals,
)

READ_SECONDS = 1.0
"""Time between looks at what the steps measured, where looking waits for the device."""

ENDS: tuple[type[Interrupted] | type[TimeUp] | None, ...] = (None, TimeUp, Interrupted)
"""What can end a sitting; where ranks differ, the last of these that any of them wants."""


@dataclass
class _Sitting:
    """What surrounds a run while this process trains it."""

    setup: TrainingSetup
    kept: list[int]
    """Indices of the training utterances that CTC can align."""
    reporter: Reporter
    deadline: Deadline
    stop: list[int]
    """Signals received."""
    stepped: Callable[[], None]
    """To be called after each step."""
    step_seconds: float = 0.0
    save_seconds: float = 0.0
    """The longest that a step took, and that saving took."""


def train(
    setup: TrainingSetup,
    reporter: Reporter,
    deadline: Deadline | None = None,
    *,
    profile: bool = False,
) -> None:
    """Trains the run of `setup` to its end, from its last checkpoint if it has one.

    Each of its ranks calls this; the first alone holds the run and writes to it. Raises
    `Interrupted` on SIGINT or SIGTERM and `TimeUp` at the deadline, after leaving a checkpoint;
    `Failed` when the run cannot go on, with the last checkpoint intact.
    """
    cell, run, ranks = setup.cell, setup.run, setup.ranks
    fingerprint = setup.corpus.fingerprint
    trainer = Trainer(cell, setup.tokenizer, fingerprint, setup.device, ranks)
    state = State(trainer)
    kept, excluded = alignable(setup, trainer.recogniser)
    if excluded:
        reporter.say(
            f"{run}: {len(excluded)} of {len(setup.train)} training utterances have fewer "
            f"frames than CTC needs and are left out; see {run.excluded_path.name}"
        )
    with (
        _held(run, ranks),
        deterministic(cell.run.deterministic, setup.device),
        stop_signals(reporter) as stop,
        profiled(run.profile_path if profile and ranks.is_main else None, reporter) as stepped,
    ):
        if ranks.broadcast(bool(run.state_paths())):
            resume(state, run, reporter)
            reporter.say(
                f"{run}: goes on at epoch {state.epoch + 1}, batch {state.metrics.batches + 1}"
            )
        else:
            env = environment(trainer.recogniser)
            sounds = {key: each.plain() for key, each in setup.augmentation.sounds.items()}
            env |= {"corpus": setup.corpus.name, "ranks": ranks.world_size, "sounds": sounds}
            with ranks.errors_shared():
                if ranks.is_main:
                    run.begin(cell, env, excluded)
            reporter.say(
                f"{run}: {env['parameters']:,} parameters, {len(kept)} utterances, "
                f"{setup.train.hours:.2f} h, {env['device']}, {env['precision']}"
            )
            for key, each in sounds.items():
                reporter.say(f"{run}: {key} of {each['files']:,} files, {each['hours']:.2f} h")
        sitting = _Sitting(setup, kept, reporter, deadline or Deadline(), stop, stepped)
        while not state.complete:
            _stop_if_stuck(state, run)
            _train_epoch(state, sitting)
            _close_epoch(state, sitting)


@contextmanager
def _held(run: Run, ranks: Ranks) -> Iterator[None]:
    """By the first rank for all of them. Raises `UserError` on each if another process does."""
    with ExitStack() as stack:
        with ranks.errors_shared():
            if ranks.is_main:
                stack.enter_context(run.held())
        yield


# Epoch


def _train_epoch(state: State, sitting: _Sitting) -> None:
    """Trains on what is left of the epoch's batches."""
    setup, trainer, metrics = sitting.setup, state.trainer, state.metrics
    epochs = setup.cell.train.epochs
    plan = _plan(state, sitting)
    saved_at = read_at = time.monotonic()
    note, look = "", 0
    if setup.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(setup.device)
    began = time.perf_counter()
    for micro_batches in _deliveries(plan[metrics.batches :], setup, state.epoch):
        waited = time.perf_counter() - began if trainer.idle else 0.0
        with _out_of_memory_told(sitting, f"in step {state.steps + 1} ({_size(micro_batches)})"):
            measures = trainer.step(
                micro_batches,
                epoch=state.epoch,
                number=metrics.batches,
                progress=(state.epoch + metrics.batches / len(plan)) / epochs,
            )
        state.steps += 1
        metrics.add(micro_batches, state.steps, measures)
        sitting.stepped()
        last = metrics.batches == len(plan)
        look = look or last or trainer.measures_at_hand
        if look:
            _read(metrics, setup)
            read_at = time.monotonic()
        seconds = time.perf_counter() - began
        metrics.seconds += seconds
        metrics.wait_seconds += waited
        sitting.step_seconds = max(sitting.step_seconds, seconds)
        note = _note(metrics) if look else note
        sitting.reporter.progress(
            f"epoch {state.epoch + 1}/{epochs}", metrics.batches, len(plan), note
        )
        vote, save_due, look = setup.ranks.maximum(
            _vote(state, sitting, dev=last),
            time.monotonic() - saved_at > 60 * setup.cell.run.checkpoint_minutes,
            time.monotonic() - read_at > READ_SECONDS,
        )
        if vote or save_due:
            _save(state, sitting)
            saved_at = time.monotonic()
        if end := ENDS[vote]:
            where = f"in epoch {state.epoch + 1} after batch {metrics.batches} of {len(plan)}"
            raise end(f"{setup.run}: {end.why} {where}; the same command goes on from there")
        began = time.perf_counter()


def _plan(state: State, sitting: _Sitting) -> Batches:
    """The batches of the epoch under way, whole, as indices of the training split."""
    setup, kept = sitting.setup, sitting.kept
    plan = epoch_plan(
        setup.train.samples[kept],
        seed=setup.cell.seed,
        epoch=state.epoch,
        fingerprint=setup.corpus.fingerprint,
        batch_seconds=setup.cell.train.batch_seconds,
    )
    return [[kept[i] for i in batch] for batch in plan]


def _deliveries(plan: Batches, setup: TrainingSetup, epoch: int) -> Iterator[list[Batch]]:
    """This rank's share of the micro_batches of each batch of `plan`, read ahead."""
    cell, ranks = setup.cell, setup.ranks
    cut = [micro_batches_of(batch, cell.train.accumulate) for batch in plan]
    loaded = load(
        setup.train,
        setup.tokenizer,
        [
            share_of(micro_batch, ranks.rank, ranks.world_size)
            for micro_batches in cut
            for micro_batch in micro_batches
        ],
        workers=cell.run.workers,
        transform=setup.augmentation.in_epoch(epoch),
        pin=setup.device.type == "cuda",
    )
    for micro_batches in cut:
        with _lost_sound_told(setup):
            delivery = list(islice(loaded, len(micro_batches)))
        yield delivery


def _close_epoch(state: State, sitting: _Sitting) -> None:
    """The dev pass and what follows from it: row, checkpoint, warnings."""
    setup, reporter = sitting.setup, sitting.reporter
    epochs = setup.cell.train.epochs
    with _out_of_memory_told(sitting, f"in the dev pass after epoch {state.epoch + 1}"):
        # Its times are the first rank's: all keep the same history.
        row = setup.ranks.broadcast(_evaluate(state, setup, reporter))
    state.close_epoch(row)
    _save(state, sitting)
    reporter.say(_line(row, setup.cell))
    for line in news(state.history, epochs):
        reporter.say(f"{setup.run}: {line}")
    (vote,) = setup.ranks.maximum(_vote(state, sitting, dev=False))
    if end := ENDS[vote]:
        where = f"after epoch {state.epoch} of {epochs}"
        raise end(f"{setup.run}: {end.why} {where}; the same command goes on from there")


def _read(metrics: EpochMetrics, setup: TrainingSetup) -> None:
    try:
        metrics.read(setup.ranks)
    except Diverged as error:
        raise Diverged(f"{setup.run}: {error}") from None


def _save(state: State, sitting: _Sitting) -> None:
    started_at = time.perf_counter()
    _read(state.metrics, sitting.setup)
    if sitting.setup.ranks.is_main:
        save(state, sitting.setup.run)
    sitting.save_seconds = max(sitting.save_seconds, time.perf_counter() - started_at)


def _note(metrics: EpochMetrics) -> str:
    """The live figures, of the steps that were looked at."""
    return (
        f"loss {metrics.loss / max(metrics.characters, 1):.3f}, "
        f"{metrics.audio_seconds / max(metrics.seconds, 1e-9):.0f} s/s"
    )


# Stopping


def _vote(state: State, sitting: _Sitting, *, dev: bool) -> int:
    """Index of what this rank would end the sitting with, before a step more or the dev pass."""
    if sitting.stop:
        return ENDS.index(Interrupted)
    if state.complete or sitting.deadline.leaves(_needed(state, sitting, dev=dev)):
        return ENDS.index(None)
    return ENDS.index(TimeUp)


def _needed(state: State, sitting: _Sitting, *, dev: bool) -> float:
    """Seconds until the next stop in good order: after a step more, or after the dev pass."""
    if not dev:
        return sitting.step_seconds + sitting.save_seconds
    metrics, audio_seconds = state.metrics, 3600 * sitting.setup.dev.hours
    # Where none is known yet: at the speed of training, which is slower.
    guess = audio_seconds * metrics.seconds / max(metrics.audio_seconds, 1e-9)
    dev_seconds = max((row["dev_seconds"] for row in state.history), default=guess)
    return float(dev_seconds) + 2 * sitting.save_seconds


def _stop_if_stuck(state: State, run: Run) -> None:
    limit = state.trainer.cell.train.stop_if_stuck
    count = stuck_epochs(state.history, state.trainer.cell.train.epochs)
    if limit is not None and count >= limit:
        raise Stuck(
            f"{run}: found no sign of learning in {count} epochs in a row, and "
            f"train.stop_if_stuck is {limit}; the state is kept, a higher one goes on from it"
        )


@contextmanager
def _out_of_memory_told(sitting: _Sitting, where: str) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        train, ranks = sitting.setup.cell.train, sitting.setup.ranks
        told = (
            f"{sitting.setup.run}: out of memory on {sitting.setup.device} {where}; nothing "
            f"was saved since the last checkpoint, which is intact; another run with "
            f"train.accumulate={2 * train.accumulate} or train.batch_seconds below "
            f"{train.batch_seconds:g} needs less"
        )
        raise _met_alone(OutOfMemory(told), ranks) from None


@contextmanager
def _lost_sound_told(setup: TrainingSetup) -> Iterator[None]:
    """Of one that could be drawn from when training began, and now cannot be read."""
    try:
        yield
    except UserError as error:
        told = (
            f"{setup.run}: {error}; nothing was saved since the last checkpoint, which is "
            f"intact; put the file back as it was, and the same command goes on from there"
        )
        raise _met_alone(Failed(told), setup.ranks) from None


def _met_alone(error: Failed, ranks: Ranks) -> UserError:
    """The others are in the middle of the step and wait for this one: none can go on."""
    return RankError(f"rank {ranks.rank}: {error}") if ranks.world_size > 1 else error


def _size(micro_batches: list[Batch]) -> str:
    utterances = sum(len(micro_batch.ids) for micro_batch in micro_batches if micro_batch.counts)
    largest = max(micro_batch.waves_BS.numel() for micro_batch in micro_batches) / SAMPLE_RATE_HZ
    return f"utterances: {utterances}, at most {largest:.1f} s of audio at once with padding"


# After an epoch


def _evaluate(state: State, setup: TrainingSetup, reporter: Reporter) -> dict[str, Any]:
    """The row of history for the epoch that just ended: its training, and the dev split now."""
    cell, metrics = setup.cell, state.metrics
    started_at = time.perf_counter()
    batches = _dev_pass(state, setup, reporter)
    references = [text for batch in batches for text in batch.references]
    hypotheses = [text for batch in batches for text in batch.hypotheses]
    blank_frames = sum(batch.blank_frames for batch in batches)
    frames = sum(batch.frames for batch in batches)
    characters = max(metrics.characters, 1)
    edits = character_errors(references, hypotheses, cell.score.profile)
    row = {
        "epoch": state.epoch + 1,
        "steps": state.steps,
        "loss": metrics.loss / characters,
        "ctc_loss": metrics.ctc / characters,
        "attention_loss": metrics.attention / characters,
        "dev_cer": edits.rate,
        "dev_characters": edits.n,
        "dev_profile": str(PROFILES[cell.score.profile]),
        "lr": state.trainer.learning_rate,
        "gradient_norm": metrics.gradient_norm / max(metrics.batches, 1),
        "layer_gradient_norms": {
            layer: norm / max(metrics.batches, 1)
            for layer, norm in zip(state.trainer.layers, metrics.layer_norms, strict=True)
        },
        "audio_seconds_per_second": metrics.audio_seconds / max(metrics.seconds, 1e-9),
        "blank_fraction": blank_frames / max(frames, 1),
        "empty_share": sum(not text for text in hypotheses) / len(hypotheses),
        "distinct_hypotheses": len(set(hypotheses)),
        "untrained": why_untrained(edits.rate, references, hypotheses),
        "train_seconds": metrics.seconds,
        "wait_share": metrics.wait_seconds / max(metrics.seconds, 1e-9),
        "dev_seconds": time.perf_counter() - started_at,
    }
    if state.trainer.recogniser.model.decoder is None:
        del row["ctc_loss"], row["attention_loss"]
    if setup.device.type == "cuda":
        row["peak_memory_gb"] = torch.cuda.max_memory_allocated(setup.device) / 1e9
    return row


def _dev_pass(state: State, setup: TrainingSetup, reporter: Reporter) -> list[Transcribed]:
    """What became of each batch of the dev split; they are dealt over the ranks like cards."""
    train, ranks = setup.cell.train, setup.ranks
    plan = length_plan(setup.dev.samples, train.batch_seconds)
    share = plan[ranks.rank :: ranks.world_size]
    total, batches = sum(map(len, share)), []
    dev = load(setup.dev, setup.tokenizer, share, workers=setup.cell.run.workers)
    for batch in state.trainer.recogniser.transcribe(dev, "greedy"):
        batches.append(batch)
        reporter.progress("dev", sum(len(each.ids) for each in batches), total)
    dealt = ranks.gather(batches)
    return [dealt[i % ranks.world_size][i // ranks.world_size] for i in range(len(plan))]


def _line(row: dict[str, Any], cell: Cell) -> str:
    """One epoch in words."""
    untrained = f"  ({row['untrained']})" if row["untrained"] else ""
    return (
        f"{cell.variant} seed {cell.seed}  epoch {row['epoch']:>3}/{cell.train.epochs}  "
        f"loss {row['loss']:.3f}  dev CER {100 * row['dev_cer']:6.2f} % "
        f"({row['dev_profile']}, N {row['dev_characters']:,})  "
        f"blank {100 * row['blank_fraction']:.0f} %  {row['train_seconds']:.0f} s{untrained}"
    )
