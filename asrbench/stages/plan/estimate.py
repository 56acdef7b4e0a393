"""Measures what a run will cost in time, memory and disk, by training some of its batches.

The weights are discarded afterwards. Times of the measured batches are carried over to all batches
of the run's own epochs by their size.
"""

import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asrbench.base.memory import is_out_of_memory
from asrbench.base.subprocess_call import SubprocessDied, call_in_subprocess
from asrbench.data.batch_sampler import Batches, epoch_plan, length_plan, micro_batches_of
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell
from asrbench.models.flops import counted
from asrbench.recogniser.devices import deterministic
from asrbench.recogniser.loader import Batch, load
from asrbench.stages.plan.extrapolation import extrapolate, quantile_batches, step_size
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.augmentation import Augmentation
from asrbench.training.checkpoint import KEPT, State, save
from asrbench.training.peak import peak_bytes, reset_peak
from asrbench.training.setup import TrainingSetup, set_up, trainable
from asrbench.training.step import Trainer

EPOCHS = 3
"""Epochs whose batches are considered; those of the other epochs are alike."""
ROUNDS, ENOUGH_SECONDS = 3, 15.0
"""Times that each batch is measured, for the median; no round starts after this many seconds."""

Samples = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Worst:
    """The most that one step needs, at the slowest speed of the augmentation.

    It is measured on the batch with the most audio and on the batch with the longest utterance.
    """

    seconds: float
    """Duration of the slowest step."""
    memory_bytes: int
    """Peak memory of the step, as `asrbench.training.peak.peak_bytes` counts it."""
    utterances: int
    """Utterances of the batch that needs the most memory."""
    padded_seconds: float
    """Seconds of audio of that batch, padding included."""


@dataclass(frozen=True)
class Cost:
    """The cost of one run, on the device it was measured on."""

    parameters: int
    """Parameters of the model."""
    trained_parameters: int
    """Those of the parameters that are not frozen."""
    flops_per_audio_second: float
    """Floating-point operations of a training step for one second of audio: matrix products and
    convolutions, forward and backward."""
    utterances: int
    """Training utterances that are used."""
    excluded: int
    """Training utterances that are left out, because they have too few frames for their text."""
    accumulate: int
    """Micro-batches of a batch; more than the spec's where its batches do not fit the device."""
    epochs: int
    """Epochs of the whole run."""
    steps: float
    """Training steps of an epoch, on average."""
    worst: Worst
    """The most that one step needs."""
    train_seconds: float
    """Seconds of an epoch's training steps, reading and augmenting their batches included."""
    dev_seconds: float
    """Seconds of one pass over the dev split."""
    save_seconds: float
    """Seconds to save one checkpoint to the system's folder of temporary files."""
    saves: int
    """Checkpoints that are saved in an epoch."""
    state_bytes: int
    """Size of one state to continue from."""
    weights_bytes: int
    """Size of the weights alone."""
    average_bytes: int
    """Size of the averaged weights; 0 unless `train.weights` asks for them."""
    kept_bytes: int
    """Size of what a state holds for the average: one sum, or the weights of each best epoch."""

    @property
    def step_seconds(self) -> float:
        """Seconds of a training step, on average."""
        return self.train_seconds / self.steps

    @property
    def other_seconds(self) -> float:
        """Seconds of an epoch that do not depend on the amount of training data."""
        return self.dev_seconds + self.saves * self.save_seconds

    @property
    def epoch_seconds(self) -> float:
        """Seconds of an epoch: training, dev pass and checkpoints."""
        return self.train_seconds + self.other_seconds

    @property
    def seconds(self) -> float:
        """Seconds of the whole run, from its first epoch."""
        return self.epochs * self.epoch_seconds

    @property
    def disk_bytes(self) -> int:
        """Disk space while the run is trained: states, each with what it holds for the average,
        and the last, best, previous best and averaged weights."""
        # One more state than is kept: the next one is written before the oldest is deleted.
        states = (KEPT + 1) * (self.state_bytes + self.kept_bytes)
        return states + 3 * self.weights_bytes + self.average_bytes

    @property
    def disk_bytes_done(self) -> int:
        """Disk space once the run is done: the last, the best and the averaged weights."""
        return 2 * self.weights_bytes + self.average_bytes


def estimate(cell: Cell, results: Path) -> Cost | None:
    """Measures what the run of `cell` costs, or returns None if it does not fit the device.

    When memory runs out, the number of micro-batches is doubled, until they are single utterances.
    Each attempt is a process of its own, so that memory is not counted twice. No file is left.
    """
    setup = set_up(cell, results)
    batches = length_plan(setup.train.samples, cell.train.batch_seconds)
    micro_batches = cell.train.accumulate
    while True:
        try:
            return call_in_subprocess(
                measure, _with(cell, accumulate=micro_batches), results, tokenizer=setup.tokenizer
            )
        except (SubprocessDied, MemoryError, RuntimeError) as error:
            if not isinstance(error, SubprocessDied) and not is_out_of_memory(error):
                raise
            if micro_batches >= max(map(len, batches)):
                return None
            micro_batches *= 2


def measure(cell: Cell, results: Path, tokenizer: Tokenizer | None = None) -> Cost:
    """Measures what the run of `cell` costs in this process. Raises an error of lack of memory.

    The states of torch's random generators are restored.
    """
    setup = set_up(cell, results, tokenizer=tokenizer)
    wanted = setup.cell.run.deterministic
    with _generators_kept(setup.device), deterministic(wanted, setup.device):
        return _Trial(setup).cost()


def flops_per_audio_second(setup: TrainingSetup, utterance: int) -> float:
    """Returns the operations of a training step on one utterance, per second of its audio.

    `asrbench.models.flops` counts them, on the CPU and in fp32.
    """
    cell = _with(setup.cell, precision="fp32", accumulate=1)
    cpu = torch.device("cpu")
    trainer = Trainer(cell, setup.tokenizer, setup.corpus.fingerprint, cpu)
    (batch,) = load(setup.train, setup.tokenizer, [[utterance]])
    with _generators_kept(cpu), counted() as counter:
        trainer.step([batch], epoch=0, number=0, progress=0.0)
    flops: int = counter.get_total_flops()
    return flops * SAMPLE_RATE_HZ / int(batch.samples_B.sum())


# Measuring


class _Trial:
    """A trainer whose weights are discarded, and the batches that it is measured on."""

    def __init__(self, setup: TrainingSetup) -> None:
        self.setup, self.cell, self.device = setup, setup.cell, setup.device
        self.trainer = Trainer(self.cell, setup.tokenizer, setup.corpus.fingerprint, self.device)
        self.kept, self.excluded = trainable(setup, self.trainer.recogniser)

    def cost(self) -> Cost:
        recogniser, train = self.trainer.recogniser, self.cell.train
        list(
            self._steps([self._by_length[0]], self._augmentation)
        )  # warm-up: kernels are chosen, memory is mapped
        worst = self._worst()
        train_seconds, slowest_seconds = self._train_seconds()
        save_seconds, state_bytes, weights_bytes = self._save()
        middle = sorted(self.kept, key=self._samples.__getitem__)[len(self.kept) // 2]
        return Cost(
            parameters=recogniser.model.parameter_count,
            trained_parameters=recogniser.model.trained_count,
            flops_per_audio_second=flops_per_audio_second(self.setup, middle),
            utterances=len(self.kept),
            excluded=len(self.excluded),
            accumulate=train.accumulate,
            epochs=train.epochs,
            steps=len(self._by_length) / len(self._plans),
            worst=replace(worst, seconds=max(worst.seconds, slowest_seconds)),
            train_seconds=train_seconds,
            dev_seconds=self._dev_seconds(),
            save_seconds=save_seconds,
            saves=1 + int(train_seconds / (60 * self.cell.run.checkpoint_minutes)),
            state_bytes=state_bytes,
            weights_bytes=weights_bytes,
            average_bytes=weights_bytes if train.averaged_epochs else 0,
            kept_bytes=weights_bytes
            * (train.averaged_epochs if train.averages_best else bool(train.averaged_epochs)),
        )

    @property
    def _samples(self) -> Samples:
        return self.setup.train.samples

    @cached_property
    def _plans(self) -> list[Batches]:
        plans = [
            epoch_plan(
                self._samples[self.kept],
                seed=self.cell.seed,
                epoch=epoch,
                fingerprint=self.setup.corpus.fingerprint,
                batch_seconds=self.cell.train.batch_seconds,
            )
            for epoch in range(min(EPOCHS, self.cell.train.epochs))
        ]
        return [[[self.kept[i] for i in batch] for batch in plan] for plan in plans]

    @cached_property
    def _by_length(self) -> Batches:
        """The batches of all considered epochs, in the order of their longest utterance."""
        batches = [batch for plan in self._plans for batch in plan]
        return sorted(batches, key=lambda batch: int(self._samples[batch].max()))

    def _train_seconds(self) -> tuple[float, float]:
        """Seconds of all steps of an epoch, on average, and of the slowest measured step."""
        chosen = quantile_batches(self._by_length)
        began = time.perf_counter()
        rounds: list[list[float]] = []
        # One loader for all rounds: workers are started once, as for an epoch.
        seconds = self._steps([chosen[0], *chosen * ROUNDS], self._augmentation)
        next(seconds)
        while len(rounds) < ROUNDS and (not rounds or time.perf_counter() - began < ENOUGH_SECONDS):
            rounds.append(list(islice(seconds, len(chosen))))
        medians = [median(times) for times in zip(*rounds, strict=True)]
        micro_batches = self.cell.train.accumulate
        total = extrapolate(
            [step_size(self._samples, micro_batches_of(batch, micro_batches)) for batch in chosen],
            medians,
            [
                step_size(self._samples, micro_batches_of(batch, micro_batches))
                for batch in self._by_length
            ],
        )
        return total / len(self._plans), max(medians)

    def _worst(self) -> Worst:
        """Measures the batch with the most audio at once and the one with the longest utterance."""
        speed = min(self.cell.augment.speeds)
        slowed = self.cell.augment.model_copy(update={"speeds": (speed,)})
        slowest = replace(self._augmentation, spec=slowed)
        candidates = {
            "most audio": max(self._by_length, key=self._audio_at_once),
            "longest": self._by_length[-1],
        }
        found = []
        for batch in candidates.values():
            reset_peak(self.device)
            (seconds,) = self._steps([batch], slowest)
            padded = len(batch) * int(self._samples[batch].max()) / SAMPLE_RATE_HZ
            padded /= speed
            found.append(Worst(seconds, peak_bytes(self.device), len(batch), padded))
        worst = max(found, key=lambda each: each.memory_bytes)
        seconds = max(each.seconds for each in found)
        return Worst(seconds, worst.memory_bytes, worst.utterances, worst.padded_seconds)

    def _audio_at_once(self, batch: list[int]) -> int:
        micro_batches = micro_batches_of(batch, self.cell.train.accumulate)
        return max(
            len(micro_batch) * int(self._samples[micro_batch].max())
            for micro_batch in micro_batches
        )

    @property
    def _augmentation(self) -> Augmentation:
        return self.setup.augmentation

    def _steps(self, plan: Batches, augmentation: Augmentation) -> Iterator[float]:
        """Yields the seconds of each step on the batches of `plan`, reading them included."""
        asked = time.perf_counter()
        for number, micro_batches in enumerate(self._deliveries(plan, augmentation)):
            given = time.perf_counter()
            self.trainer.step(micro_batches, epoch=0, number=number, progress=0.0)
            launched = time.perf_counter()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            # A GPU works while the next batch is read, so the longer of the two counts; a CPU
            # has finished what was launched.
            yield max(launched - asked, time.perf_counter() - given)
            asked = time.perf_counter()

    def _deliveries(self, plan: Batches, augmentation: Augmentation) -> Iterator[list[Batch]]:
        cut = [micro_batches_of(batch, self.cell.train.accumulate) for batch in plan]
        loaded = load(
            self.setup.train,
            self.setup.tokenizer,
            [micro_batch for micro_batches in cut for micro_batch in micro_batches],
            workers=self.cell.run.workers,
            transform=augmentation.in_epoch(0),
            pin=self.device.type == "cuda",
        )
        for micro_batches in cut:
            yield list(islice(loaded, len(micro_batches)))

    def _dev_seconds(self) -> float:
        """Seconds of a pass over the dev split."""
        dev = self.setup.dev
        plan = length_plan(dev.samples, self.cell.train.batch_seconds)
        chosen = quantile_batches(plan)
        batches = load(
            dev, self.setup.tokenizer, [chosen[0], *chosen], workers=self.cell.run.workers
        )
        _, *seconds = _between(
            self.trainer.recogniser.transcribe(batches, self.trainer.recogniser.selection)
        )
        return extrapolate(
            [step_size(dev.samples, [batch]) for batch in chosen],
            seconds,
            [step_size(dev.samples, [batch]) for batch in plan],
        )

    def _save(self) -> tuple[float, int, int]:
        """Seconds to save a checkpoint after the best epoch so far, bytes of its state, bytes of
        its weights."""
        with tempfile.TemporaryDirectory(prefix="asrbench-plan-") as folder:
            run = Run(Path(folder) / self.setup.run.folder.name)
            began = time.perf_counter()
            save(State(self.trainer), run)
            self.trainer.recogniser.save(run.weights_path("best"), 0)
            seconds = time.perf_counter() - began
            (state,) = run.state_paths()
            return seconds, state.stat().st_size, run.weights_path("last").stat().st_size


# Helpers


def _between(passed: Iterable[Any]) -> Iterator[float]:
    """Yields the seconds that each item of `passed` took to arrive."""
    asked = time.perf_counter()
    for _ in passed:
        yield time.perf_counter() - asked
        asked = time.perf_counter()


def _with(cell: Cell, **train: Any) -> Cell:
    return cell.model_copy(update={"train": cell.train.model_copy(update=train)})


def _generators_kept(device: torch.device) -> AbstractContextManager[None]:
    """Restores the states of torch's generators, which dropout seeds before each step."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    return torch.random.fork_rng(devices)
