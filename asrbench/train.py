"""Training one cell of an experiment: prepare, then batch, step, row, save.

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

from asrbench.checkpoint import State, resume, save
from asrbench.data.loader import Batch, load
from asrbench.data.plan import Batches, epoch_plan, length_plan, parts_of, share_of
from asrbench.devices import deterministic
from asrbench.environment import environment
from asrbench.errors import RankError, UserError
from asrbench.groundwork import Prepared, alignable
from asrbench.learner import Learner
from asrbench.profiles import PROFILES
from asrbench.profiling import profiled
from asrbench.ranks import Ranks
from asrbench.recogniser import Transcribed
from asrbench.reporting import Reporter
from asrbench.runs import Run
from asrbench.score import character_errors, why_untrained
from asrbench.spec import Cell
from asrbench.stopping import (
    Deadline,
    Diverged,
    Failed,
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

ENDS: tuple[type[Interrupted] | type[TimeUp] | None, ...] = (None, TimeUp, Interrupted)
"""What can end a sitting; where ranks differ, the last of these that any of them wants."""


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

    Each of its ranks calls this; the first alone holds the run and writes to it. Raises
    `Interrupted` on SIGINT or SIGTERM and `TimeUp` at the deadline, after leaving a checkpoint;
    `Failed` when the run cannot go on, with the last checkpoint intact.
    """
    cell, run, ranks = prepared.cell, prepared.run, prepared.ranks
    fingerprint = prepared.corpus.fingerprint
    learner = Learner(cell, prepared.inventory, fingerprint, prepared.device, ranks)
    state = State(learner)
    kept, excluded = alignable(prepared, learner.recogniser)
    if excluded:
        reporter.say(
            f"{run}: {len(excluded)} of {len(prepared.train)} training utterances have fewer "
            f"frames than CTC needs and are left out; see {run.excluded_path.name}"
        )
    with (
        _held(run, ranks),
        deterministic(cell.run.deterministic, prepared.device),
        stop_signals(reporter) as stop,
        profiled(run.profile_path if profile and ranks.leads else None, reporter) as stepped,
    ):
        if ranks.of_first(bool(run.state_paths())):
            resume(state, run, reporter)
            reporter.say(
                f"{run}: goes on at epoch {state.epoch + 1}, batch {state.tally.batches + 1}"
            )
        else:
            env = environment(learner.recogniser)
            sounds = {key: each.plain() for key, each in prepared.augmentation.sounds.items()}
            env |= {"corpus": prepared.corpus.name, "ranks": ranks.world, "sounds": sounds}
            with ranks.together():
                if ranks.leads:
                    run.begin(cell, env, excluded)
            reporter.say(
                f"{run}: {env['parameters']:,} parameters, {len(kept)} utterances, "
                f"{prepared.train.hours:.2f} h, {env['device']}, {env['precision']}"
            )
            for key, each in sounds.items():
                reporter.say(f"{run}: {key} of {each['files']:,} files, {each['hours']:.2f} h")
        sitting = _Sitting(prepared, kept, reporter, deadline or Deadline(), stop, stepped)
        while not state.complete:
            _stop_if_stuck(state, run)
            _train_epoch(state, sitting)
            _close_epoch(state, sitting)


@contextmanager
def _held(run: Run, ranks: Ranks) -> Iterator[None]:
    """By the first rank for all of them. Raises `UserError` on each if another process does."""
    with ExitStack() as stack:
        with ranks.together():
            if ranks.leads:
                stack.enter_context(run.held())
        yield


# Epoch


def _train_epoch(state: State, sitting: _Sitting) -> None:
    """Trains on what is left of the epoch's batches."""
    prepared, learner, tally = sitting.prepared, state.learner, state.tally
    epochs = prepared.cell.train.epochs
    plan = _plan(state, sitting)
    saved_at = read_at = time.monotonic()
    note, look = "", 0
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
        look = look or last or learner.measures_at_hand
        if look:
            _read(tally, prepared)
            read_at = time.monotonic()
        seconds = time.perf_counter() - began
        tally.seconds += seconds
        tally.wait_seconds += waited
        sitting.step_seconds = max(sitting.step_seconds, seconds)
        note = _note(tally) if look else note
        sitting.reporter.progress(
            f"epoch {state.epoch + 1}/{epochs}", tally.batches, len(plan), note
        )
        vote, save_due, look = prepared.ranks.maximum(
            _vote(state, sitting, dev=last),
            time.monotonic() - saved_at > 60 * prepared.cell.run.checkpoint_minutes,
            time.monotonic() - read_at > READ_SECONDS,
        )
        if vote or save_due:
            _save(state, sitting)
            saved_at = time.monotonic()
        if end := ENDS[vote]:
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
    """This rank's share of the parts of each batch of `plan`, read ahead."""
    cell, ranks = prepared.cell, prepared.ranks
    cut = [parts_of(batch, cell.train.accumulate) for batch in plan]
    loaded = load(
        prepared.train,
        prepared.inventory,
        [share_of(part, ranks.rank, ranks.world) for parts in cut for part in parts],
        workers=cell.run.workers,
        transform=prepared.augmentation.in_epoch(epoch),
        pin=prepared.device.type == "cuda",
    )
    for parts in cut:
        with _lost_sound_told(prepared):
            delivery = list(islice(loaded, len(parts)))
        yield delivery


def _close_epoch(state: State, sitting: _Sitting) -> None:
    """The dev pass and what follows from it: row, checkpoint, warnings."""
    prepared, reporter = sitting.prepared, sitting.reporter
    epochs = prepared.cell.train.epochs
    with _out_of_memory_told(sitting, f"in the dev pass after epoch {state.epoch + 1}"):
        # Its times are the first rank's: all keep the same history.
        row = prepared.ranks.of_first(_evaluate(state, prepared, reporter))
    state.close_epoch(row)
    _save(state, sitting)
    reporter.say(_line(row, prepared.cell))
    for line in news(state.history, epochs):
        reporter.say(f"{prepared.run}: {line}")
    (vote,) = prepared.ranks.maximum(_vote(state, sitting, dev=False))
    if end := ENDS[vote]:
        where = f"after epoch {state.epoch} of {epochs}"
        raise end(f"{prepared.run}: {end.why} {where}; the same command goes on from there")


def _read(tally: Tally, prepared: Prepared) -> None:
    try:
        tally.read(prepared.ranks)
    except Diverged as error:
        raise Diverged(f"{prepared.run}: {error}") from None


def _save(state: State, sitting: _Sitting) -> None:
    started_at = time.perf_counter()
    _read(state.tally, sitting.prepared)
    if sitting.prepared.ranks.leads:
        save(state, sitting.prepared.run)
    sitting.save_seconds = max(sitting.save_seconds, time.perf_counter() - started_at)


def _note(tally: Tally) -> str:
    """The live figures, of the steps that were looked at."""
    return (
        f"loss {tally.loss / max(tally.characters, 1):.3f}, "
        f"{tally.audio_seconds / max(tally.seconds, 1e-9):.0f} s/s"
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
        train, ranks = sitting.prepared.cell.train, sitting.prepared.ranks
        told = (
            f"{sitting.prepared.run}: out of memory on {sitting.prepared.device} {where}; nothing "
            f"was saved since the last checkpoint, which is intact; another run with "
            f"train.accumulate={2 * train.accumulate} or train.batch_seconds below "
            f"{train.batch_seconds:g} needs less"
        )
        raise _met_alone(OutOfMemory(told), ranks) from None


@contextmanager
def _lost_sound_told(prepared: Prepared) -> Iterator[None]:
    """Of one that could be drawn from when training began, and now cannot be read."""
    try:
        yield
    except UserError as error:
        told = (
            f"{prepared.run}: {error}; nothing was saved since the last checkpoint, which is "
            f"intact; put the file back as it was, and the same command goes on from there"
        )
        raise _met_alone(Failed(told), prepared.ranks) from None


def _met_alone(error: Failed, ranks: Ranks) -> UserError:
    """The others are in the middle of the step and wait for this one: none can go on."""
    return RankError(f"rank {ranks.rank}: {error}") if ranks.world > 1 else error


def _size(parts: list[Batch]) -> str:
    utterances = sum(len(part.ids) for part in parts if part.counts)
    largest = max(part.waves_BS.numel() for part in parts) / SAMPLE_RATE_HZ
    return f"utterances: {utterances}, at most {largest:.1f} s of audio at once with padding"


# After an epoch


def _evaluate(state: State, prepared: Prepared, reporter: Reporter) -> dict[str, Any]:
    """The row of history for the epoch that just ended: its training, and the dev split now."""
    cell, tally = prepared.cell, state.tally
    started_at = time.perf_counter()
    batches = _dev_pass(state, prepared, reporter)
    references = [text for batch in batches for text in batch.references]
    hypotheses = [text for batch in batches for text in batch.hypotheses]
    blank_frames = sum(batch.blank_frames for batch in batches)
    frames = sum(batch.frames for batch in batches)
    characters = max(tally.characters, 1)
    edits = character_errors(references, hypotheses, cell.score.profile)
    row = {
        "epoch": state.epoch + 1,
        "steps": state.steps,
        "loss": tally.loss / characters,
        "ctc_loss": tally.ctc / characters,
        "attention_loss": tally.attention / characters,
        "dev_cer": edits.rate,
        "dev_characters": edits.n,
        "dev_profile": str(PROFILES[cell.score.profile]),
        "lr": state.learner.learning_rate,
        "gradient_norm": tally.gradient_norm / max(tally.batches, 1),
        "layer_gradient_norms": {
            layer: norm / max(tally.batches, 1)
            for layer, norm in zip(state.learner.layers, tally.layer_norms, strict=True)
        },
        "audio_seconds_per_second": tally.audio_seconds / max(tally.seconds, 1e-9),
        "blank_fraction": blank_frames / max(frames, 1),
        "empty_share": sum(not text for text in hypotheses) / len(hypotheses),
        "distinct_hypotheses": len(set(hypotheses)),
        "untrained": why_untrained(edits.rate, references, hypotheses),
        "train_seconds": tally.seconds,
        "wait_share": tally.wait_seconds / max(tally.seconds, 1e-9),
        "dev_seconds": time.perf_counter() - started_at,
    }
    if state.learner.recogniser.model.decoder is None:
        del row["ctc_loss"], row["attention_loss"]
    if prepared.device.type == "cuda":
        row["peak_memory_gb"] = torch.cuda.max_memory_allocated(prepared.device) / 1e9
    return row


def _dev_pass(state: State, prepared: Prepared, reporter: Reporter) -> list[Transcribed]:
    """What became of each batch of the dev split; they are dealt over the ranks like cards."""
    train, ranks = prepared.cell.train, prepared.ranks
    plan = length_plan(prepared.dev.samples, train.batch_seconds)
    share = plan[ranks.rank :: ranks.world]
    total, batches = sum(map(len, share)), []
    dev = load(prepared.dev, prepared.inventory, share, workers=prepared.cell.run.workers)
    for batch in state.learner.recogniser.transcribe(dev, "greedy"):
        batches.append(batch)
        reporter.progress("dev", sum(len(each.ids) for each in batches), total)
    dealt = ranks.gather(batches)
    return [dealt[i % ranks.world][i // ranks.world] for i in range(len(plan))]


def _line(row: dict[str, Any], cell: Cell) -> str:
    """One epoch in words."""
    untrained = f"  ({row['untrained']})" if row["untrained"] else ""
    return (
        f"{cell.variant} seed {cell.seed}  epoch {row['epoch']:>3}/{cell.train.epochs}  "
        f"loss {row['loss']:.3f}  dev CER {100 * row['dev_cer']:6.2f} % "
        f"({row['dev_profile']}, N {row['dev_characters']:,})  "
        f"blank {100 * row['blank_fraction']:.0f} %  {row['train_seconds']:.0f} s{untrained}"
    )
