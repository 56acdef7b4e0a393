"""The sums of the epoch under way. What a step measured stays on the device until it is read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import torch

from asrbench.base.distributed import ALONE, Ranks
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.recogniser.loader import Batch
from asrbench.training.step import Measures
from asrbench.training.stopping import Diverged

LOSSES = Measures._fields.index("gradient_norm")
"""How many measures come before it, of which each rank has its share."""


class _Unread(NamedTuple):
    """Of one step: this process' share."""

    step: int
    ids: list[str]
    characters: int
    samples: int
    measures: Measures


@dataclass
class EpochMetrics:
    """Sums over an epoch so far; but for `batches` and times, of the steps that were read."""

    batches: int = 0
    loss: float = 0.0
    ctc: float = 0.0
    attention: float = 0.0
    gradient_norm: float = 0.0
    layer_norms: list[float] = field(default_factory=list)
    """Of the gradient of each layer of the trainer."""
    characters: int = 0
    """Of the references, whatever unit spells them: losses are comparable across units."""
    audio_seconds: float = 0.0
    seconds: float = 0.0
    wait_seconds: float = 0.0
    """Those of `seconds` that the loader was waited for, where that left the device idle."""
    unread: list[_Unread] = field(default_factory=list, repr=False)

    def add(self, micro_batches: Sequence[Batch], step: int, measures: Measures) -> None:
        """Counts the batch of step number `step`; `micro_batches` are those of this process."""
        self.batches += 1
        micro_batches = [micro_batch for micro_batch in micro_batches if micro_batch.counts]
        ids = [id for micro_batch in micro_batches for id in micro_batch.ids]
        characters = sum(
            len(text) for micro_batch in micro_batches for text in micro_batch.references
        )
        samples = sum(int(micro_batch.samples_B.sum()) for micro_batch in micro_batches)
        self.unread.append(_Unread(step, ids, characters, samples, measures))

    def read(self, ranks: Ranks = ALONE) -> None:
        """Fetches what was measured since the last time, in one transfer that waits for the device,
        and sums it over `ranks`, each of which has to read after the same step.

        Raises `Diverged`, on every rank, for the first step whose loss or gradient norm is no
        number.
        """
        unread, self.unread = self.unread, []
        if not unread:
            return
        measured = torch.stack([torch.hstack(each.measures) for each in unread])
        table = measured.cpu().double()
        losses, norms = table[:, :LOSSES], table[:, LOSSES:]
        counts = torch.tensor([[each.characters, each.samples] for each in unread])
        # The gradient's norms are the same on every rank, and no sums.
        sums = ranks.sum(torch.cat([losses, counts], dim=1))
        for each, row, found in zip(unread, sums.tolist(), norms.tolist(), strict=True):
            loss, ctc, attention, characters, samples = row
            norm, *layer_norms = found
            for what, value in (("loss", loss), ("gradient norm", norm)):
                if not math.isfinite(value):
                    ids = chain.from_iterable(ranks.gather(each.ids[:3]))
                    raise Diverged(
                        f"the {what} is {value} at step {each.step}, utterances "
                        f"{', '.join(ids)}, ...; the last checkpoint is from before it; "
                        f"a lower train.optimizer.lr may help"
                    )
            self.loss += loss
            self.ctc += ctc
            self.attention += attention
            self.gradient_norm += norm
            so_far = self.layer_norms or [0.0] * len(layer_norms)
            self.layer_norms = [a + b for a, b in zip(so_far, layer_norms, strict=True)]
            self.characters += int(characters)
            self.audio_seconds += samples / SAMPLE_RATE_HZ

    def plain(self) -> dict[str, Any]:
        """What a checkpoint keeps; reads first, so that nothing is kept of a diverged training."""
        self.read()
        return {name: value for name, value in vars(self).items() if name != "unread"}
