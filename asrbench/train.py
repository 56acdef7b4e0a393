"""Training one cell of an experiment: prepare, then batch, loss, step, row, save.

A run can be killed at any moment and goes on from its last checkpoint to bit-identical weights on
a CPU: order, augmentation and dropout are keyed by (seed, epoch, batch), and the checkpoint holds
the rest.
"""

import math
import platform
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

import asrbench
from asrbench.augment import change_speed, mask_spectrum
from asrbench.checkpoint import State, Tally, resume, save
from asrbench.data.corpus import Corpus, Split
from asrbench.data.loader import Batch, load
from asrbench.data.plan import epoch_plan, length_plan
from asrbench.devices import autocast, resolve_device, runs_in_bf16
from asrbench.errors import UserError
from asrbench.objective import frames_needed, losses
from asrbench.optimisation import build_optimizer, learning_rate
from asrbench.recogniser import Recogniser
from asrbench.reporting import Reporter
from asrbench.runs import Run
from asrbench.score import character_errors, why_untrained
from asrbench.seeding import key
from asrbench.spec import Cell
from asrbench.text import Inventory
from asrbench.waveform import SAMPLE_RATE_HZ


class Interrupted(Exception):
    """Training stopped where it was told to, with a state to go on from."""


class Diverged(UserError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Prepared:
    """What training needs and does not change."""

    cell: Cell
    corpus: Corpus
    train: Split
    dev: Split
    inventory: Inventory
    run: Run
    device: torch.device


def prepare(cell: Cell, results: Path) -> Prepared:
    """Opens what `cell` names. Raises `UserError`, with nothing created."""
    corpus, train, dev, inventory = _opened(Path(cell.corpus), cell.text.unit)
    run = Run.of(results, cell, corpus.fingerprint)
    return Prepared(cell, corpus, train, dev, inventory, run, resolve_device(cell.run.device))


@lru_cache(maxsize=1)
def _opened(folder: Path, unit: str) -> tuple[Corpus, Split, Split, Inventory]:
    """Kept, because the cells of a study share it and its texts are many."""
    corpus = Corpus.open(folder)
    for name in ("train", "dev"):
        if name not in corpus.split_names:
            found = ", ".join(corpus.split_names)
            raise UserError(
                f"{corpus.folder}: found the splits {found}, but training needs '{name}'; "
                f"prepare it with --dev N or --split"
            )
    train = corpus.split("train")
    return corpus, train, corpus.split("dev"), Inventory.of(unit, train.texts)


def train(prepared: Prepared, reporter: Reporter) -> None:
    """Trains the run of `prepared` to its end, from its last checkpoint if it has one.

    Raises `Interrupted` on SIGINT or SIGTERM, after leaving a checkpoint; `Diverged` when the loss
    is not finite, with the last checkpoint intact.
    """
    cell, run = prepared.cell, prepared.run
    recogniser = Recogniser(cell, prepared.inventory, prepared.corpus.fingerprint, prepared.device)
    state = State(recogniser, build_optimizer(recogniser.model, cell.train.optimizer))
    kept, excluded = _alignable(prepared, recogniser)
    if excluded:
        reporter.say(
            f"{run}: {len(excluded)} of {len(prepared.train)} training utterances have fewer "
            f"frames than CTC needs and are left out; see {run.excluded_path.name}"
        )
    with run.held(), _stop_signals(reporter) as stop:
        if run.state_path.is_file():
            resume(state, run)
            reporter.say(
                f"{run}: goes on at epoch {state.epoch + 1}, batch {state.tally.batches + 1}"
            )
        else:
            env = _environment(prepared, recogniser)
            run.begin(cell, env, excluded)
            reporter.say(
                f"{run}: {env['parameters']:,} parameters, {len(kept)} utterances, "
                f"{prepared.train.hours:.2f} h, {env['device']}, {env['precision']}"
            )
        while state.epoch < cell.train.epochs:
            _train_epoch(state, prepared, kept, stop, reporter)
            row = _evaluate(state, prepared, reporter)
            if row["dev_cer"] < state.best_cer:
                state.best_cer = row["dev_cer"]
                recogniser.save(run.weights_path("best"), row["epoch"])
            state.history.append(row)
            state.tally = Tally()
            save(state, run)
            reporter.say(_line(row, cell))
            if stop:
                raise Interrupted(
                    f"{run}: stopped after epoch {state.epoch} of {cell.train.epochs}; "
                    f"the same command goes on from there"
                )


# Epoch


def _train_epoch(
    state: State, prepared: Prepared, kept: list[int], stop: list[int], reporter: Reporter
) -> None:
    cell, tally, model = prepared.cell, state.tally, state.recogniser.model
    model.train()
    plan = [
        [kept[i] for i in batch]
        for batch in epoch_plan(
            prepared.train.samples[kept],
            seed=cell.seed,
            epoch=state.epoch,
            fingerprint=prepared.corpus.fingerprint,
            batch_seconds=cell.train.batch_seconds,
        )
    ]
    speed = partial(_at_speed, cell, state.epoch)
    batches = load(
        prepared.train,
        prepared.inventory,
        plan[tally.batches :],
        workers=cell.run.workers,
        transform=speed if cell.augment.speeds != (1.0,) else None,
        pin=prepared.device.type == "cuda",
    )
    saved_at = time.monotonic()
    started_at = time.perf_counter()
    for batch in batches:
        progress = (state.epoch + tally.batches / len(plan)) / cell.train.epochs
        _step(state, prepared, batch, progress)
        now = time.perf_counter()
        tally.seconds, started_at = tally.seconds + now - started_at, now
        reporter.progress(
            f"epoch {state.epoch + 1}/{cell.train.epochs}",
            tally.batches,
            len(plan),
            f"loss {tally.loss / tally.characters:.3f}, "
            f"{tally.audio_seconds / tally.seconds:.0f} s/s",
        )
        due = time.monotonic() - saved_at > 60 * cell.run.checkpoint_minutes
        if stop or due:
            save(state, prepared.run)
            saved_at = time.monotonic()
            started_at = time.perf_counter()
        if stop:
            raise Interrupted(
                f"{prepared.run}: stopped in epoch {state.epoch + 1} after batch "
                f"{tally.batches} of {len(plan)}; the same command goes on from there"
            )


def _step(state: State, prepared: Prepared, batch: Batch, progress: float) -> None:
    """One batch, one step of the optimizer; `state.tally` knows of it afterwards."""
    cell, recogniser, tally = prepared.cell, state.recogniser, state.tally
    rate = learning_rate(cell.train.schedule, cell.train.optimizer.lr, progress)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    torch.manual_seed(key(cell.seed, state.epoch, "step", tally.batches))
    x_BTF, frames_B = recogniser.features(
        batch.waves_BS.to(prepared.device, non_blocking=True),
        batch.samples_B.to(prepared.device, non_blocking=True),
    )
    x_BTF = mask_spectrum(
        x_BTF,
        recogniser.features.frames(batch.samples_B).tolist(),
        cell.augment,
        seed=cell.seed,
        epoch=state.epoch,
        utterances=batch.ids,
    )
    with autocast(prepared.device, cell.train.precision):
        loss = losses(
            recogniser.model,
            cell.model.decoder,
            x_BTF,
            frames_B,
            batch.targets_BU.to(prepared.device, non_blocking=True),
            batch.symbols_B.to(prepared.device, non_blocking=True),
        )
    total = loss.total.item()
    _check_finite("loss", total, state, prepared, batch)
    state.optimizer.zero_grad(set_to_none=True)
    (loss.total / batch.symbols_B.sum()).backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(
        recogniser.model.parameters(), cell.train.optimizer.clip_norm
    ).item()
    _check_finite("gradient norm", norm, state, prepared, batch)
    state.optimizer.step()
    state.steps += 1
    tally.batches += 1
    tally.loss += total
    tally.ctc += loss.ctc.item()
    tally.attention += 0.0 if loss.attention is None else loss.attention.item()
    tally.characters += sum(map(len, batch.references))
    tally.audio_seconds += int(batch.samples_B.sum()) / SAMPLE_RATE_HZ
    tally.gradient_norm += norm


def _check_finite(what: str, value: float, state: State, prepared: Prepared, batch: Batch) -> None:
    """Before the step that would spoil the weights."""
    if not math.isfinite(value):
        raise Diverged(
            f"{prepared.run}: the {what} is {value} at step {state.steps + 1}, utterances "
            f"{', '.join(batch.ids[:3])}, ...; the last checkpoint is from before it; "
            f"a lower train.optimizer.lr may help"
        )


def _evaluate(state: State, prepared: Prepared, reporter: Reporter) -> dict[str, Any]:
    """The row of history for the epoch that just ended: its training, and the dev split now."""
    cell, tally = prepared.cell, state.tally
    started_at = time.perf_counter()
    plan = length_plan(prepared.dev.samples, cell.train.batch_seconds)
    references: list[str] = []
    hypotheses: list[str] = []
    blank_frames = frames = 0
    for done in state.recogniser.transcribe(
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
        "lr": state.optimizer.param_groups[0]["lr"],
        "gradient_norm": tally.gradient_norm / max(tally.batches, 1),
        "audio_seconds_per_second": tally.audio_seconds / max(tally.seconds, 1e-9),
        "blank_fraction": blank_frames / max(frames, 1),
        "empty_share": sum(not text for text in hypotheses) / len(hypotheses),
        "distinct_hypotheses": len(set(hypotheses)),
        "untrained": why_untrained(cer, references, hypotheses),
        "train_seconds": tally.seconds,
        "dev_seconds": time.perf_counter() - started_at,
    }
    if state.recogniser.model.decoder is None:
        del row["ctc_loss"], row["attention_loss"]
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


# Before the first step


def _alignable(
    prepared: Prepared, recogniser: Recogniser
) -> tuple[list[int], list[dict[str, Any]]]:
    """Indices of the training utterances that CTC can align, at the fastest speed drawn, and a
    row for each of the others. Raises `UserError` if none can be."""
    split, fastest = prepared.train, max(prepared.cell.augment.speeds)
    samples = (torch.from_numpy(split.samples.copy()) / fastest).floor().long()
    frames = recogniser.model.output_lengths(recogniser.features.frames(samples)).tolist()
    kept, excluded = [], []
    for i, text in enumerate(split.texts):
        needed = frames_needed(prepared.inventory.encode(text))
        if frames[i] >= needed:
            kept.append(i)
        else:
            excluded.append({"id": split.ids[i], "frames": frames[i], "needed": needed})
    if not kept:
        raise UserError(
            f"{prepared.corpus.folder}: no training utterance has the frames CTC needs; "
            f"lower model.front_end.time_stride or features.hop_ms"
        )
    return kept, excluded


def _environment(prepared: Prepared, recogniser: Recogniser) -> dict[str, Any]:
    device = prepared.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    bf16 = runs_in_bf16(device, prepared.cell.train.precision)
    return {
        "asrbench": asrbench.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "precision": "bf16" if bf16 else "fp32",
        "commit": _commit(),
        "corpus": prepared.corpus.name,
        "fingerprint": prepared.corpus.fingerprint,
        "parameters": recogniser.model.parameter_count,
        "symbols": len(prepared.inventory),
    }


def _commit() -> str | None:
    """The commit this program runs from, with `+` when the tree differs from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        ours = subprocess.run(
            [*git, "ls-files", "--error-unmatch", "train.py"], capture_output=True
        )
        if ours.returncode != 0:
            return None  # installed inside somebody else's repository
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "status", "--porcelain", "."], capture_output=True)
    except OSError:
        return None
    return head.stdout.strip() + ("+" if changed.stdout else "") if head.returncode == 0 else None


@contextmanager
def _stop_signals(reporter: Reporter) -> Iterator[list[int]]:
    """Yields a list that SIGINT or SIGTERM writes itself into; a second one acts as ever."""
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: object) -> None:
        received.append(number)
        reporter.say("stopping after this batch or dev pass; once more stops at once")
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
