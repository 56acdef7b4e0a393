"""The metrics of the current epoch. Those of a step stay on the device until they are read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import torch

from asrbench.base.distributed import ALONE, Ranks
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.recogniser.loader import Batch
from asrbench.training.step import StepMetrics
from asrbench.training.stopping import Diverged


class _Unread(NamedTuple):
    """This rank's part of one step whose metrics have not been read yet."""

    step: int
    ids: list[str]
    characters: int
    samples: int
    metrics: StepMetrics


@dataclass
class EpochMetrics:
    """Sums over the current epoch. `batches` and times count all steps, the rest those read."""

    batches: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    """Sums in nats, by the name of each loss; training minimises `total`."""
    gradient_norm: float = 0.0
    layer_norms: list[float] = field(default_factory=list)
    """The sum of the gradient norms of each of the trainer's layers."""
    characters: int = 0
    """Characters of the references, whatever the unit: losses are comparable across units."""
    audio_seconds: float = 0.0
    seconds: float = 0.0
    wait_seconds: float = 0.0
    """The part of `seconds` in which the device was idle and training waited for the loader."""
    other_load: float | None = None
    """The share of the machine's CPU time that other processes used; None if not known.

    It is that of the time since training began, or resumed, in this epoch.
    """
    unread: list[_Unread] = field(default_factory=list, repr=False)

    def add(self, micro_batches: Sequence[Batch], step: int, metrics: StepMetrics) -> None:
        """Adds the batch of step number `step`; `micro_batches` are this rank's share of it."""
        self.batches += 1
        counted = [batch for batch in micro_batches if batch.counts]
        ids = [id for batch in counted for id in batch.ids]
        characters = sum(len(text) for batch in counted for text in batch.references)
        samples = sum(int(batch.samples_B.sum()) for batch in counted)
        self.unread.append(_Unread(step, ids, characters, samples, metrics))

    def read(self, ranks: Ranks = ALONE) -> None:
        """Fetches the metrics of all steps since the last read and sums them over `ranks`.

        One transfer waits for the device; all ranks must read after the same step. Raises
        `Diverged`, on every rank, for the first step whose loss or gradient norm is not finite.
        """
        unread, self.unread = self.unread, []
        if not unread:
            return
        names = list(unread[0].metrics.losses)
        measured = torch.stack(
            [
                torch.hstack([*m.losses.values(), m.gradient_norm, m.layer_norms_L])
                for m in (each.metrics for each in unread)
            ]
        )
        table = measured.cpu().double()
        losses, norms = table[:, : len(names)], table[:, len(names) :]
        counts = torch.tensor([[each.characters, each.samples] for each in unread])
        # Gradient norms are equal on all ranks, so they are not summed.
        sums = ranks.sum(torch.cat([losses, counts], dim=1))
        for each, row, found in zip(unread, sums.tolist(), norms.tolist(), strict=True):
            *values, characters, samples = row
            by_name = dict(zip(names, values, strict=True))
            norm, *layer_norms = found
            for what, value in (("loss", by_name["total"]), ("gradient norm", norm)):
                if not math.isfinite(value):
                    ids = chain.from_iterable(ranks.gather(each.ids[:3]))
                    raise Diverged(
                        f"the {what} is {value} at step {each.step}, utterances "
                        f"{', '.join(ids)}, ...; the last checkpoint is from before that step; "
                        f"a lower train.optimizer.lr may help"
                    )
            self.losses = {name: self.losses.get(name, 0.0) + v for name, v in by_name.items()}
            self.gradient_norm += norm
            so_far = self.layer_norms or [0.0] * len(layer_norms)
            self.layer_norms = [a + b for a, b in zip(so_far, layer_norms, strict=True)]
            self.characters += int(characters)
            self.audio_seconds += samples / SAMPLE_RATE_HZ

    @property
    def loss(self) -> float:
        """The loss that training minimises, in nats per character, over the steps read so far."""
        return self.losses.get("total", 0.0) / max(self.characters, 1)

    def loss_parts(self) -> dict[str, float]:
        """Returns the other losses by name, in nats per character; empty if there is only one."""
        return {
            name: value / max(self.characters, 1)
            for name, value in self.losses.items()
            if name != "total"
        }

    def plain(self) -> dict[str, Any]:
        """Returns the metrics as plain data, for a checkpoint.

        Reads first, so that training that has diverged raises `Diverged` instead of being saved.
        """
        self.read()
        return {name: value for name, value in vars(self).items() if name != "unread"}
