"""What a run will cost, from a minute of really running it: time, memory, disk.

A throw-away trainer makes steps on batches of the run's own epochs, and on the worst of them. What
is measured on a few batches is carried over to all of them by how long and how many they are.
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
from scipy.optimize import nnls

from asrbench.base.subprocess_call import Died, apart
from asrbench.data.batch_sampler import Batches, epoch_plan, length_plan, micro_batches_of
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell
from asrbench.models.flops import counted
from asrbench.recogniser.devices import deterministic
from asrbench.recogniser.loader import Batch, load
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.augmentation import Augmentation
from asrbench.training.checkpoint import KEPT, State, save
from asrbench.training.peak import peak_bytes, reset_peak
from asrbench.training.setup import TrainingSetup, alignable, set_up
from asrbench.training.step import Trainer

EPOCHS = 3
"""Epochs whose plans are looked at; those of the others are alike."""
SAMPLED = 8
"""Batches that are measured, at as many quantiles of their length."""
ROUNDS, ENOUGH_SECONDS = 3, 15.0
"""Times that each is, for the median; no round begins after so many seconds."""

Samples = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Worst:
    """The greatest that a step takes: on the batch with the most audio to pad to, or the longest
    utterance, at the slowest speed drawn."""

    seconds: float
    memory_bytes: int
    """See `asrbench.training.peak.peak_bytes`."""
    utterances: int
    padded_seconds: float
    """Audio of the batch that took the most memory, padding included."""


@dataclass(frozen=True)
class Cost:
    """Of one run, on the device it was measured on."""

    parameters: int
    flops_per_audio_second: float
    """Of a training step, forward and backward: matrix products and convolutions."""
    utterances: int
    excluded: int
    """Training utterances left out, for CTC cannot align them; `utterances` are the others."""
    accumulate: int
    """Parts of a batch: more than the spec's where its batches do not fit the device."""
    epochs: int
    steps: float
    """Of an epoch, on average."""
    worst: Worst
    train_seconds: float
    """Of an epoch: its steps, reading and augmenting their batches included."""
    dev_seconds: float
    save_seconds: float
    """Of one checkpoint, in the system's folder of temporary files."""
    saves: int
    """Of an epoch."""
    state_bytes: int
    weights_bytes: int

    @property
    def step_seconds(self) -> float:
        """Of a step, on average."""
        return self.train_seconds / self.steps

    @property
    def other_seconds(self) -> float:
        """Of an epoch: what does not shrink with the training data."""
        return self.dev_seconds + self.saves * self.save_seconds

    @property
    def epoch_seconds(self) -> float:
        return self.train_seconds + self.other_seconds

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.epochs * self.epoch_seconds

    @property
    def disk_bytes(self) -> int:
        """While the run is trained: states, the last and the best weights, the best before."""
        # One state more, for the next is whole before the oldest goes.
        return (KEPT + 1) * self.state_bytes + 3 * self.weights_bytes

    @property
    def disk_bytes_done(self) -> int:
        """Once it is done: the last and the best weights."""
        return 2 * self.weights_bytes


def estimate(cell: Cell, results: Path) -> Cost | None:
    """What the run of `cell` costs from start to end; nothing if it fits the device in no way.

    A batch that runs out of memory is tried in more micro-batches. Each trial is a process of its
    own, so that one's memory is not counted with another's. No file is left behind.
    """
    setup = set_up(cell, results)
    batches = length_plan(setup.train.samples, cell.train.batch_seconds)
    micro_batches = cell.train.accumulate
    while True:
        try:
            return apart(
                measure, _with(cell, accumulate=micro_batches), results, tokenizer=setup.tokenizer
            )
        except (Died, torch.OutOfMemoryError):
            if micro_batches >= max(map(len, batches)):
                return None
            micro_batches *= 2


def measure(cell: Cell, results: Path, tokenizer: Tokenizer | None = None) -> Cost:
    """What the run of `cell` costs. Raises `torch.OutOfMemoryError`.

    Torch's generators are afterwards as they were.
    """
    setup = set_up(cell, results, tokenizer=tokenizer)
    wanted = setup.cell.run.deterministic
    with _generators_kept(setup.device), deterministic(wanted, setup.device):
        return _Trial(setup).cost()


def flops_per_audio_second(setup: TrainingSetup, utterance: int) -> float:
    """Floating-point operations of a training step on that one utterance, by its length.

    Counted as `asrbench.models.flops` does, whatever the run's device and precision.
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
    """A trainer that is thrown away, and the batches it is tried on."""

    def __init__(self, setup: TrainingSetup) -> None:
        self.setup, self.cell, self.device = setup, setup.cell, setup.device
        self.trainer = Trainer(self.cell, setup.tokenizer, setup.corpus.fingerprint, self.device)
        self.kept, self.excluded = alignable(setup, self.trainer.recogniser)

    def cost(self) -> Cost:
        recogniser, train = self.trainer.recogniser, self.cell.train
        list(self._steps([self._by_length[0]], self._augmentation))  # kernels found, pages touched
        worst = self._worst()
        train_seconds, slowest_seconds = self._train_seconds()
        save_seconds, state_bytes, weights_bytes = self._save()
        middle = sorted(self.kept, key=self._samples.__getitem__)[len(self.kept) // 2]
        return Cost(
            parameters=recogniser.model.parameter_count,
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
        """The batches of all plans, in order of their longest utterance."""
        batches = [batch for plan in self._plans for batch in plan]
        return sorted(batches, key=lambda batch: int(self._samples[batch].max()))

    def _train_seconds(self) -> tuple[float, float]:
        """Of an epoch's steps, on average; and of the slowest that was measured."""
        chosen = _quantiles(self._by_length)
        began = time.perf_counter()
        rounds: list[list[float]] = []
        # One loader for all rounds: workers are started once, as for an epoch.
        seconds = self._steps([chosen[0], *chosen * ROUNDS], self._augmentation)
        next(seconds)
        while len(rounds) < ROUNDS and (not rounds or time.perf_counter() - began < ENOUGH_SECONDS):
            rounds.append(list(islice(seconds, len(chosen))))
        medians = [median(times) for times in zip(*rounds, strict=True)]
        micro_batches = self.cell.train.accumulate
        total = _carried_over(
            [_size(self._samples, micro_batches_of(batch, micro_batches)) for batch in chosen],
            medians,
            [
                _size(self._samples, micro_batches_of(batch, micro_batches))
                for batch in self._by_length
            ],
        )
        return total / len(self._plans), max(medians)

    def _worst(self) -> Worst:
        """Of the batch with the most audio at once, and of that with the longest utterance."""
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
        """Seconds of each step on the batches of `plan`, reading them included."""
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
        """Of the dev pass."""
        dev = self.setup.dev
        plan = length_plan(dev.samples, self.cell.train.batch_seconds)
        chosen = _quantiles(plan)
        batches = load(
            dev, self.setup.tokenizer, [chosen[0], *chosen], workers=self.cell.run.workers
        )
        _, *seconds = _between(self.trainer.recogniser.transcribe(batches, "greedy"))
        return _carried_over(
            [_size(dev.samples, [batch]) for batch in chosen],
            seconds,
            [_size(dev.samples, [batch]) for batch in plan],
        )

    def _save(self) -> tuple[float, int, int]:
        """Seconds of a checkpoint after an epoch that is the best so far; bytes of its state and
        of its weights."""
        with tempfile.TemporaryDirectory(prefix="asrbench-plan-") as folder:
            run = Run(Path(folder) / self.setup.run.folder.name)
            began = time.perf_counter()
            save(State(self.trainer), run)
            self.trainer.recogniser.save(run.weights_path("best"), 0)
            seconds = time.perf_counter() - began
            (state,) = run.state_paths()
            return seconds, state.stat().st_size, run.weights_path("last").stat().st_size


# From some batches to all


def _quantiles(batches: Batches) -> Batches:
    """`SAMPLED` of them, or all, each in the middle of an equal share of their order."""
    count = min(SAMPLED, len(batches))
    return [batches[int((i + 0.5) * len(batches) / count)] for i in range(count)]


def _size(samples: Samples, micro_batches: Batches) -> list[float]:
    """What the time of a step grows with: itself, audio with padding (products), the longest
    utterance (frames that wait for each other), and both at once (attention); in seconds."""
    longest = [int(samples[micro_batch].max()) / SAMPLE_RATE_HZ for micro_batch in micro_batches]
    padded = [
        len(micro_batch) * each for micro_batch, each in zip(micro_batches, longest, strict=True)
    ]
    both = [a * b for a, b in zip(padded, longest, strict=True)]
    return [1.0, sum(padded), sum(longest), sum(both)]


def _carried_over(
    sizes: list[list[float]], seconds: list[float], all_sizes: list[list[float]]
) -> float:
    """Seconds of batches of `all_sizes` together, where batches of `sizes` took `seconds`.

    By least squares with no share below zero: nothing grows faster for being smaller.
    """
    known, wanted = np.array(sizes), np.array(all_sizes)
    scale = known.max(axis=0)
    shares, _ = nnls(known / scale, np.array(seconds))
    return float((wanted / scale @ shares).sum())


def _between(passed: Iterable[Any]) -> Iterator[float]:
    """Seconds that each item of `passed` took to come."""
    asked = time.perf_counter()
    for _ in passed:
        yield time.perf_counter() - asked
        asked = time.perf_counter()


def _with(cell: Cell, **train: Any) -> Cell:
    return cell.model_copy(update={"train": cell.train.model_copy(update=train)})


def _generators_kept(device: torch.device) -> AbstractContextManager[None]:
    """Dropout seeds torch's generators before each step; afterwards they are as they were."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    return torch.random.fork_rng(devices)
