"""The sums of the epoch under way. What a step measured stays on the device until it is read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from asrbench.data.loader import Batch
from asrbench.learner import Measures
from asrbench.stopping import Diverged
from asrbench.waveform import SAMPLE_RATE_HZ


class _Unread(NamedTuple):
    step: int
    ids: list[str]
    measures: Measures


@dataclass
class Tally:
    """Sums over the batches of an epoch so far; losses and norms are those read so far."""

    batches: int = 0
    loss: float = 0.0
    ctc: float = 0.0
    attention: float = 0.0
    gradient_norm: float = 0.0
    characters: int = 0
    """Of the references, whatever unit spells them: losses are comparable across units."""
    audio_seconds: float = 0.0
    seconds: float = 0.0
    wait_seconds: float = 0.0
    """Those of `seconds` that the loader was waited for, where that left the device idle."""
    unread: list[_Unread] = field(default_factory=list, repr=False)

    def add(self, parts: Sequence[Batch], step: int, measures: Measures) -> None:
        """Counts the batch of which step number `step` was made."""
        self.batches += 1
        for part in parts:
            self.characters += sum(map(len, part.references))
            self.audio_seconds += int(part.samples_B.sum()) / SAMPLE_RATE_HZ
        self.unread.append(_Unread(step, [id for part in parts for id in part.ids], measures))

    def read(self) -> None:
        """Fetches what was measured since the last time, in one transfer that waits for the device.

        Raises `Diverged` for the first step whose loss or gradient norm is no number.
        """
        unread, self.unread = self.unread, []
        if not unread:
            return
        table = torch.stack([value for each in unread for value in each.measures])
        for each, row in zip(unread, table.view(len(unread), -1).tolist(), strict=True):
            loss, ctc, attention, gradient_norm = row
            for what, value in (("loss", loss), ("gradient norm", gradient_norm)):
                if not math.isfinite(value):
                    raise Diverged(
                        f"the {what} is {value} at step {each.step}, utterances "
                        f"{', '.join(each.ids[:3])}, ...; the last checkpoint is from before it; "
                        f"a lower train.optimizer.lr may help"
                    )
            self.loss += loss
            self.ctc += ctc
            self.attention += attention
            self.gradient_norm += gradient_norm

    def plain(self) -> dict[str, Any]:
        """What a checkpoint keeps; reads first, so that nothing is kept of a diverged training."""
        self.read()
        return {name: value for name, value in vars(self).items() if name != "unread"}
