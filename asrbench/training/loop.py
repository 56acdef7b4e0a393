"""The training loop of one run: for each epoch its batches, the dev pass, a checkpoint.

A run can be killed at any moment and continues from its last checkpoint to bit-identical weights on
a CPU: order, augmentation and dropout are keyed by (seed, epoch, batch), and the checkpoint holds
the rest. Several processes (`ranks`) can train one run: each computes its share of every batch, and
after each step they agree on every decision that depends on a clock or a signal.
"""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice

import torch

from asrbench.base.cpu import CpuTimes
from asrbench.base.distributed import Ranks
from asrbench.base.errors import RankError, UserError
from asrbench.base.memory import is_out_of_memory
from asrbench.base.process_map import available
from asrbench.base.reporting import Reporter
from asrbench.data.batch_sampler import Batches, epoch_plan, micro_batches_of, share_of
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.run_folder import Run
from asrbench.recogniser.devices import deterministic
from asrbench.recogniser.loader import Batch, load
from asrbench.training import initial_weights
from asrbench.training.checkpoint import State, resume, save
from asrbench.training.dev_pass import evaluate_epoch
from asrbench.training.diagnostics import new_findings, stuck_epochs
from asrbench.training.environment import environment
from asrbench.training.epoch_metrics import EpochMetrics
from asrbench.training.profiling import profiled
from asrbench.training.progress import Progress, epoch_line
from asrbench.training.setup import TrainingSetup, trainable
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
"""The time between two reads of the metrics, where reading waits for the device."""

ENDS: tuple[type[Interrupted] | type[TimeUp] | None, ...] = (None, TimeUp, Interrupted)
"""The reasons to stop early, in ascending order: the highest that any rank votes for counts."""


@dataclass
class _Session:
    """The state that `train` keeps for one run in this process."""

    setup: TrainingSetup
    kept: list[int]
    """The indices of the training utterances that have as many frames as the head needs."""
    reporter: Reporter
    deadline: Deadline
    stop: list[int]
    """The signals received so far."""
    stepped: Callable[[], None]
    """The function to call after each step."""
    progress: Progress
    explained: bool = False
    """Whether the profile and the size of the dev set are said."""
    step_seconds: float = 0.0
    """The longest time that a step took."""
    save_seconds: float = 0.0
    """The longest time that saving took."""


def train(
    setup: TrainingSetup,
    reporter: Reporter,
    deadline: Deadline | None = None,
    *,
    progress: Progress | None = None,
    profile: bool = False,
) -> None:
    """Trains the run of `setup` to its end, from its last checkpoint if it has one.

    `progress` is that of all runs of the command, by default of this one.

    Every rank calls this; the main rank alone locks the run folder and writes to it. Raises
    `Interrupted` on one of the `STOP_SIGNALS` and `TimeUp` at the deadline, after saving a
    checkpoint; raises `Failed` when the run cannot continue, with the last checkpoint intact.
    """
    cell, run, ranks = setup.cell, setup.run, setup.ranks
    fingerprint = setup.corpus.fingerprint
    trainer = Trainer(cell, setup.tokenizer, fingerprint, setup.device, ranks)
    state = State(trainer)
    kept, excluded = trainable(setup, trainer.recogniser)
    if excluded:
        reporter.say(
            f"{run}: leaves out {len(excluded)} of {len(setup.train)} training utterances, which "
            f"have fewer frames than their text needs; see {run.excluded_path.name}"
        )
    if cell.run.workers > available():
        reporter.say(
            f"{run}: run.workers: found {cell.run.workers}, but this process may use "
            f"{available()} cores; {available()} processes read batches ahead"
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
                f"{run}: continues at epoch {state.epoch + 1}, batch {state.metrics.batches + 1}"
            )
        else:
            env = environment(trainer.recogniser)
            sounds = {key: each.plain() for key, each in setup.augmentation.sounds.items()}
            env |= {"corpus": setup.corpus.name, "ranks": ranks.world_size, "sounds": sounds}
            with ranks.errors_shared():
                taken = initial_weights.take(trainer.recogniser)
                env |= {"init_from": asdict(taken)} if taken else {}
                if ranks.is_main:
                    run.begin(cell, env, excluded)
            trained = f", {env['trained_parameters']:,} trained" if cell.train.freeze else ""
            reporter.say(
                f"{run}: {env['parameters']:,} parameters{trained}, {len(kept)} utterances, "
                f"{setup.train.hours:.2f} h, {env['device']}, {env['precision']}"
            )
            for line in taken.lines() if taken else ():
                reporter.say(f"{run}: {line}")
            for key, each in sounds.items():
                reporter.say(f"{run}: {key}: {each['files']:,} files, {each['hours']:.2f} h")
        progress = progress or Progress([setup])
        session = _Session(setup, kept, reporter, deadline or Deadline(), stop, stepped, progress)
        while not state.complete:
            _stop_if_stuck(state, run)
            with _explains_lost_worker(setup):
                _train_epoch(state, session)
                _close_epoch(state, session)


@contextmanager
def _held(run: Run, ranks: Ranks) -> Iterator[None]:
    """Locks the run folder while the context lasts; the main rank does this for all.

    Raises `UserError` on every rank if another process has locked it.
    """
    with ExitStack() as stack:
        with ranks.errors_shared():
            if ranks.is_main:
                stack.enter_context(run.held())
        yield


# Epoch


def _train_epoch(state: State, session: _Session) -> None:
    """Trains on the remaining batches of the current epoch."""
    setup, trainer, metrics = session.setup, state.trainer, state.metrics
    epochs = setup.cell.train.epochs
    task = "  ".join([session.progress.place(setup, "/"), f"epoch {state.epoch + 1}/{epochs}"])
    plan = _plan(state, session)
    saved_at = read_at = time.monotonic()
    note, read_due = "", 0
    if setup.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(setup.device)
    cpu_before = CpuTimes.now()
    began = time.perf_counter()
    for micro_batches in _deliveries(plan[metrics.batches :], setup, state.epoch):
        waited = time.perf_counter() - began if trainer.idle else 0.0
        with _explains_out_of_memory(
            session, f"in step {state.steps + 1} ({_size(micro_batches)})"
        ):
            step_metrics = trainer.step(
                micro_batches,
                epoch=state.epoch,
                number=metrics.batches,
                progress=(state.epoch + metrics.batches / len(plan)) / epochs,
            )
        state.steps += 1
        metrics.add(micro_batches, state.steps, step_metrics)
        session.stepped()
        last = metrics.batches == len(plan)
        read_due = read_due or last or trainer.metrics_at_hand
        if read_due:
            _read(metrics, setup)
            read_at = time.monotonic()
        seconds = time.perf_counter() - began
        metrics.seconds += seconds
        metrics.wait_seconds += waited
        session.step_seconds = max(session.step_seconds, seconds)
        note = _note(metrics) if read_due else note
        session.reporter.progress(task.strip(), metrics.batches, len(plan), note)
        vote, save_due, read_due = setup.ranks.maximum(
            _vote(state, session, dev=last),
            time.monotonic() - saved_at > 60 * setup.cell.run.checkpoint_minutes,
            time.monotonic() - read_at > READ_SECONDS,
        )
        if vote or save_due:
            _save(state, session)
            saved_at = time.monotonic()
        if end := ENDS[vote]:
            where = f"in epoch {state.epoch + 1} after batch {metrics.batches} of {len(plan)}"
            raise end(f"{setup.run}: {end.why} {where}; the same command continues from there")
        began = time.perf_counter()
    metrics.other_load = _other_load(cpu_before, setup.ranks)


def _other_load(before: CpuTimes, ranks: Ranks) -> float | None:
    """Returns the share of this machine's CPU time since `before` that others than the ranks used.

    The workers of the loader have ended, so their time is known.
    """
    now = CpuTimes.now()
    used = ranks.gather((platform.node(), now.own - before.own))
    return before.others_until(now, sum(own for node, own in used if node == platform.node()))


def _plan(state: State, session: _Session) -> Batches:
    """Returns all batches of the current epoch, as indices of the training split."""
    setup, kept = session.setup, session.kept
    plan = epoch_plan(
        setup.train.samples[kept],
        seed=setup.cell.seed,
        epoch=state.epoch,
        fingerprint=setup.corpus.fingerprint,
        batch_seconds=setup.cell.train.batch_seconds,
    )
    return [[kept[i] for i in batch] for batch in plan]


def _deliveries(plan: Batches, setup: TrainingSetup, epoch: int) -> Iterator[list[Batch]]:
    """Yields this rank's share of the micro-batches of each batch of `plan`, read ahead."""
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
        with explains_lost_sound(setup):
            delivery = list(islice(loaded, len(micro_batches)))
        yield delivery


def _close_epoch(state: State, session: _Session) -> None:
    """Runs the dev pass, adds its row to the history, saves, and prints warnings."""
    setup, reporter = session.setup, session.reporter
    epochs = setup.cell.train.epochs
    with _explains_out_of_memory(session, f"in the dev pass after epoch {state.epoch + 1}"):
        # All ranks keep the same history, with the times of the main rank.
        row = setup.ranks.broadcast(evaluate_epoch(state, setup, reporter))
    state.close_epoch(row)
    _save(state, session)
    if not session.explained:
        size = f"N {row['dev_characters']:,} characters"
        reporter.say(f"{setup.run}: dev CER under {row['dev_profile']}, {size}")
        session.explained = True
    reporter.say(epoch_line(state.history, epochs, session.progress.time_left()))
    for line in new_findings(state.history, epochs):
        reporter.say(f"{setup.run}: {line}")
    (vote,) = setup.ranks.maximum(_vote(state, session, dev=False))
    if end := ENDS[vote]:
        where = f"after epoch {state.epoch} of {epochs}"
        raise end(f"{setup.run}: {end.why} {where}; the same command continues from there")


def _read(metrics: EpochMetrics, setup: TrainingSetup) -> None:
    try:
        metrics.read(setup.ranks)
    except Diverged as error:
        raise Diverged(f"{setup.run}: {error}") from None


def _save(state: State, session: _Session) -> None:
    started_at = time.perf_counter()
    _read(state.metrics, session.setup)
    if session.setup.ranks.is_main:
        save(state, session.setup.run)
    session.save_seconds = max(session.save_seconds, time.perf_counter() - started_at)


def _note(metrics: EpochMetrics) -> str:
    """Returns the loss and the speed, over the steps read so far, for the progress line."""
    return f"loss {metrics.loss:.3f}, {metrics.audio_seconds / max(metrics.seconds, 1e-9):.0f} s/s"


# Stopping


def _vote(state: State, session: _Session, *, dev: bool) -> int:
    """Returns the index in `ENDS` that this rank votes for before the next step or dev pass."""
    if session.stop:
        return ENDS.index(Interrupted)
    if state.complete or session.deadline.leaves(_needed(state, session, dev=dev)):
        return ENDS.index(None)
    return ENDS.index(TimeUp)


def _needed(state: State, session: _Session, *, dev: bool) -> float:
    """Returns the seconds until training can stop again: after the next step, or the dev pass."""
    if not dev:
        return session.step_seconds + session.save_seconds
    metrics, train = state.metrics, session.setup.cell.train
    audio_seconds = 3600 * session.setup.dev.hours
    # Before the first dev pass, the guess is the speed of training, which is slower.
    guess = audio_seconds * metrics.seconds / max(metrics.audio_seconds, 1e-9)
    dev_seconds = max((row["dev_seconds"] for row in state.history), default=guess)
    averages = state.epoch + 1 == train.epochs and train.averaged_epochs > 0
    return (1 + averages) * float(dev_seconds) + 2 * session.save_seconds


def _stop_if_stuck(state: State, run: Run) -> None:
    limit = state.trainer.cell.train.stop_if_stuck
    count = stuck_epochs(state.history, state.trainer.cell.train.epochs)
    if limit is not None and count >= limit:
        raise Stuck(
            f"{run}: found no sign of learning in {count} epochs in a row, and "
            f"train.stop_if_stuck is {limit}; the checkpoint is kept, and the command with a "
            f"higher limit continues from it"
        )


@contextmanager
def _explains_out_of_memory(session: _Session, where: str) -> Iterator[None]:
    """Turns an error of lack of memory into `OutOfMemory`, which says what to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        train, ranks = session.setup.cell.train, session.setup.ranks
        message = (
            f"{session.setup.run}: out of memory on {session.setup.device} {where}; nothing "
            f"was saved since the last checkpoint, which is intact; another run with "
            f"train.accumulate={2 * train.accumulate} or train.batch_seconds below "
            f"{train.batch_seconds:g} needs less"
        )
        raise _on_one_rank(OutOfMemory(message), ranks) from None


@contextmanager
def explains_lost_sound(setup: TrainingSetup) -> Iterator[None]:
    """Turns the error of a sound that has become unreadable during training into `Failed`."""
    try:
        yield
    except UserError as error:
        message = (
            f"{setup.run}: {error}; nothing was saved since the last checkpoint, which is "
            f"intact; restore the file, and the same command continues from there"
        )
        raise _on_one_rank(Failed(message), setup.ranks) from None


@contextmanager
def _explains_lost_worker(setup: TrainingSetup) -> Iterator[None]:
    """Turns the death of a process of the loader into `Failed`.

    torch raises it in the handler of SIGCHLD, or where it waits for a batch.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        message = (
            f"{setup.run}: a process that reads batches ahead has ended "
            f"({str(error).split('. ')[0].rstrip('. ')}); the last checkpoint is intact, and the "
            f"same command continues from it; where memory runs out, --set run.workers=0 needs less"
        )
        raise _on_one_rank(Failed(message), setup.ranks) from None


def _on_one_rank(error: Failed, ranks: Ranks) -> UserError:
    """Returns the error to raise for a failure of this rank alone.

    With several ranks it ends the whole command, because the others wait for this rank in the step.
    """
    return RankError(f"rank {ranks.rank}: {error}") if ranks.world_size > 1 else error


def _size(micro_batches: list[Batch]) -> str:
    utterances = sum(len(micro_batch.ids) for micro_batch in micro_batches if micro_batch.counts)
    largest = max(micro_batch.waves_BS.numel() for micro_batch in micro_batches) / SAMPLE_RATE_HZ
    return f"utterances: {utterances}, at most {largest:.1f} s of audio at once with padding"
