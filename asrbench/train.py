"""Training one cell of an experiment: prepare, then batch, step, row, save.

A run can be killed at any moment and goes on from its last checkpoint to bit-identical weights on
a CPU: order, augmentation and dropout are keyed by (seed, epoch, batch), and the checkpoint holds
the rest.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch

from asrbench.augment import change_speed
from asrbench.checkpoint import State, resume, save
from asrbench.data.loader import Batch, load
from asrbench.data.plan import Batches, epoch_plan, length_plan, parts_of
from asrbench.environment import environment
from asrbench.groundwork import Prepared, alignable
from asrbench.learner import Learner
from asrbench.profiling import profiled
from asrbench.reporting import Reporter
from asrbench.runs import Run
from asrbench.score import character_errors, why_untrained
from asrbench.spec import Cell
from asrbench.stopping import (
    Deadline,
    Diverged,
    Interrupted,
    OutOfMemory,
    Stuck,
    TimeUp,
    stop_signals,
)
from asrbench.tally import Tally
from asrbench.watch import news, stuck_epochs
from asrbench.waveform import SAMPLE_RATE_HZ

READ_SECONDS = 1.0
"""Time between looks at what the steps measured, where looking waits for the device."""


@dataclass
class _Sitting:
    """What surrounds a run while this process trains it."""

    prepared: Prepared
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
    prepared: Prepared,
    reporter: Reporter,
    deadline: Deadline | None = None,
    *,
    profile: bool = False,
) -> None:
    """Trains the run of `prepared` to its end, from its last checkpoint if it has one.

    Raises `Interrupted` on SIGINT or SIGTERM and `TimeUp` at the deadline, after leaving a
    checkpoint; `Failed` when the run cannot go on, with the last checkpoint intact.
    """
    cell, run = prepared.cell, prepared.run
    learner = Learner(cell, prepared.inventory, prepared.corpus.fingerprint, prepared.device)
    state = State(learner)
    kept, excluded = alignable(prepared, learner.recogniser)
    if excluded:
        reporter.say(
            f"{run}: {len(excluded)} of {len(prepared.train)} training utterances have fewer "
            f"frames than CTC needs and are left out; see {run.excluded_path.name}"
        )
    with (
        run.held(),
        stop_signals(reporter) as stop,
        profiled(run.profile_path if profile else None, reporter) as stepped,
    ):
        if run.state_paths():
            resume(state, run, reporter)
            reporter.say(
                f"{run}: goes on at epoch {state.epoch + 1}, batch {state.tally.batches + 1}"
            )
        else:
            env = environment(learner.recogniser) | {"corpus": prepared.corpus.name}
            run.begin(cell, env, excluded)
            reporter.say(
                f"{run}: {env['parameters']:,} parameters, {len(kept)} utterances, "
                f"{prepared.train.hours:.2f} h, {env['device']}, {env['precision']}"
            )
        sitting = _Sitting(prepared, kept, reporter, deadline or Deadline(), stop, stepped)
        while not state.complete:
            _stop_if_stuck(state, run)
            _train_epoch(state, sitting)
            _close_epoch(state, sitting)


# Epoch


def _train_epoch(state: State, sitting: _Sitting) -> None:
    """Trains on what is left of the epoch's batches."""
    prepared, learner, tally = sitting.prepared, state.learner, state.tally
    epochs = prepared.cell.train.epochs
    plan = _plan(state, sitting)
    saved_at = read_at = time.monotonic()
    note = ""
    if prepared.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(prepared.device)
    began = time.perf_counter()
    for parts in _deliveries(plan[tally.batches :], prepared, state.epoch):
        waited = time.perf_counter() - began if learner.idle else 0.0
        with _out_of_memory_told(sitting, f"in step {state.steps + 1} ({_size(parts)})"):
            measures = learner.step(
                parts,
                epoch=state.epoch,
                number=tally.batches,
                progress=(state.epoch + tally.batches / len(plan)) / epochs,
            )
        state.steps += 1
        tally.add(parts, state.steps, measures)
        sitting.stepped()
        last = tally.batches == len(plan)
        look = last or learner.measures_at_hand or time.monotonic() - read_at > READ_SECONDS
        if look:
            _read(tally, prepared.run)
            read_at = time.monotonic()
        seconds = time.perf_counter() - began
        tally.seconds += seconds
        tally.wait_seconds += waited
        sitting.step_seconds = max(sitting.step_seconds, seconds)
        note = _note(tally) if look else note
        sitting.reporter.progress(
            f"epoch {state.epoch + 1}/{epochs}", tally.batches, len(plan), note
        )
        end = _end(state, sitting, dev=last)
        if end or time.monotonic() - saved_at > 60 * prepared.cell.run.checkpoint_minutes:
            _save(state, sitting)
            saved_at = time.monotonic()
        if end:
            where = f"in epoch {state.epoch + 1} after batch {tally.batches} of {len(plan)}"
            raise end(f"{prepared.run}: {end.why} {where}; the same command goes on from there")
        began = time.perf_counter()


def _plan(state: State, sitting: _Sitting) -> Batches:
    """The batches of the epoch under way, whole, as indices of the training split."""
    prepared, kept = sitting.prepared, sitting.kept
    plan = epoch_plan(
        prepared.train.samples[kept],
        seed=prepared.cell.seed,
        epoch=state.epoch,
        fingerprint=prepared.corpus.fingerprint,
        batch_seconds=prepared.cell.train.batch_seconds,
    )
    return [[kept[i] for i in batch] for batch in plan]


def _deliveries(plan: Batches, prepared: Prepared, epoch: int) -> Iterator[list[Batch]]:
    """The parts of each batch of `plan`, read ahead."""
    cell = prepared.cell
    cut = [parts_of(batch, cell.train.accumulate) for batch in plan]
    speed = partial(_at_speed, cell, epoch)
    loaded = iter(
        load(
            prepared.train,
            prepared.inventory,
            [part for parts in cut for part in parts],
            workers=cell.run.workers,
            transform=speed if cell.augment.speeds != (1.0,) else None,
            pin=prepared.device.type == "cuda",
        )
    )
    for parts in cut:
        yield list(islice(loaded, len(parts)))


def _close_epoch(state: State, sitting: _Sitting) -> None:
    """The dev pass and what follows from it: row, checkpoint, warnings."""
    prepared, reporter = sitting.prepared, sitting.reporter
    epochs = prepared.cell.train.epochs
    with _out_of_memory_told(sitting, f"in the dev pass after epoch {state.epoch + 1}"):
        row = _evaluate(state, prepared, reporter)
    state.close_epoch(row)
    _save(state, sitting)
    reporter.say(_line(row, prepared.cell))
    for line in news(state.history, epochs):
        reporter.say(f"{prepared.run}: {line}")
    if end := _end(state, sitting, dev=False):
        where = f"after epoch {state.epoch} of {epochs}"
        raise end(f"{prepared.run}: {end.why} {where}; the same command goes on from there")


def _read(tally: Tally, run: Run) -> None:
    try:
        tally.read()
    except Diverged as error:
        raise Diverged(f"{run}: {error}") from None


def _save(state: State, sitting: _Sitting) -> None:
    started_at = time.perf_counter()
    _read(state.tally, sitting.prepared.run)
    save(state, sitting.prepared.run)
    sitting.save_seconds = max(sitting.save_seconds, time.perf_counter() - started_at)


def _note(tally: Tally) -> str:
    """The live figures; right after a look, when sums and counts are of the same batches."""
    return (
        f"loss {tally.loss / max(tally.characters, 1):.3f}, "
        f"{tally.audio_seconds / max(tally.seconds, 1e-9):.0f} s/s"
    )


# Stopping


def _end(state: State, sitting: _Sitting, *, dev: bool) -> type[Interrupted] | type[TimeUp] | None:
    """What ends this sitting, if anything does, before a step more or before the dev pass."""
    if sitting.stop:
        return Interrupted
    if state.complete or sitting.deadline.leaves(_needed(state, sitting, dev=dev)):
        return None
    return TimeUp


def _needed(state: State, sitting: _Sitting, *, dev: bool) -> float:
    """Seconds until the next stop in good order: after a step more, or after the dev pass."""
    if not dev:
        return sitting.step_seconds + sitting.save_seconds
    tally, audio_seconds = state.tally, 3600 * sitting.prepared.dev.hours
    # Where none is known yet: at the speed of training, which is slower.
    guess = audio_seconds * tally.seconds / max(tally.audio_seconds, 1e-9)
    dev_seconds = max((row["dev_seconds"] for row in state.history), default=guess)
    return float(dev_seconds) + 2 * sitting.save_seconds


def _stop_if_stuck(state: State, run: Run) -> None:
    limit = state.learner.cell.train.stop_if_stuck
    count = stuck_epochs(state.history, state.learner.cell.train.epochs)
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
        train = sitting.prepared.cell.train
        raise OutOfMemory(
            f"{sitting.prepared.run}: out of memory on {sitting.prepared.device} {where}; nothing "
            f"was saved since the last checkpoint, which is intact; another run with "
            f"train.accumulate={2 * train.accumulate} or train.batch_seconds below "
            f"{train.batch_seconds:g} needs less"
        ) from None


def _size(parts: list[Batch]) -> str:
    utterances = sum(len(part.ids) for part in parts)
    largest = max(part.waves_BS.numel() for part in parts) / SAMPLE_RATE_HZ
    return f"utterances: {utterances}, at most {largest:.1f} s of audio at once with padding"


# After an epoch


def _evaluate(state: State, prepared: Prepared, reporter: Reporter) -> dict[str, Any]:
    """The row of history for the epoch that just ended: its training, and the dev split now."""
    cell, tally, recogniser = prepared.cell, state.tally, state.learner.recogniser
    started_at = time.perf_counter()
    plan = length_plan(prepared.dev.samples, cell.train.batch_seconds)
    references: list[str] = []
    hypotheses: list[str] = []
    blank_frames = frames = 0
    for done in recogniser.transcribe(
        load(prepared.dev, prepared.inventory, plan, workers=cell.run.workers), "greedy"
    ):
        references += done.references
        hypotheses += done.hypotheses
        blank_frames += done.blank_frames
        frames += done.frames
        reporter.progress("dev", len(references), len(prepared.dev))
    characters = max(tally.characters, 1)
    cer = character_errors(references, hypotheses, cell.score.profile).rate
    row = {
        "epoch": state.epoch + 1,
        "steps": state.steps,
        "loss": tally.loss / characters,
        "ctc_loss": tally.ctc / characters,
        "attention_loss": tally.attention / characters,
        "dev_cer": cer,
        "lr": state.learner.learning_rate,
        "gradient_norm": tally.gradient_norm / max(tally.batches, 1),
        "audio_seconds_per_second": tally.audio_seconds / max(tally.seconds, 1e-9),
        "blank_fraction": blank_frames / max(frames, 1),
        "empty_share": sum(not text for text in hypotheses) / len(hypotheses),
        "distinct_hypotheses": len(set(hypotheses)),
        "untrained": why_untrained(cer, references, hypotheses),
        "train_seconds": tally.seconds,
        "wait_share": tally.wait_seconds / max(tally.seconds, 1e-9),
        "dev_seconds": time.perf_counter() - started_at,
    }
    if recogniser.model.decoder is None:
        del row["ctc_loss"], row["attention_loss"]
    if prepared.device.type == "cuda":
        row["peak_memory_gb"] = torch.cuda.max_memory_allocated(prepared.device) / 1e9
    return row


def _line(row: dict[str, Any], cell: Cell) -> str:
    """One epoch in words."""
    untrained = f"  ({row['untrained']})" if row["untrained"] else ""
    return (
        f"{cell.variant} seed {cell.seed}  epoch {row['epoch']:>3}/{cell.train.epochs}  "
        f"loss {row['loss']:.3f}  dev CER {100 * row['dev_cer']:6.2f} %  "
        f"blank {100 * row['blank_fraction']:.0f} %  {row['train_seconds']:.0f} s{untrained}"
    )


def _at_speed(cell: Cell, epoch: int, wave: Any, utterance: str) -> Any:
    return change_speed(wave, cell.augment, seed=cell.seed, epoch=epoch, utterance=utterance)
