"""One step of the optimizer: a model, what it minimises, and what moves its weights.

Nothing in a step waits for the device: what it measures stays there until somebody looks.
Legend: B batch, T frames, F feature bins, N measures.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from asrbench.augment import mask_spectrum
from asrbench.data.loader import Batch
from asrbench.devices import autocast
from asrbench.objective import Losses, losses
from asrbench.optimisation import build_optimizer, learning_rate
from asrbench.recogniser import Recogniser
from asrbench.seeding import key
from asrbench.spec import Cell
from asrbench.text import Inventory


class Measures(NamedTuple):
    """Of one step, each a scalar on the device; losses are sums over the batch, in nats."""

    loss: Tensor
    ctc: Tensor
    attention: Tensor
    """0 without a decoder."""
    gradient_norm: Tensor
    """Before it was clipped."""


class Learner:
    """A recogniser and its optimizer, on one device."""

    def __init__(
        self, cell: Cell, inventory: Inventory, fingerprint: str, device: torch.device
    ) -> None:
        self.cell, self.device = cell, device
        self.recogniser = Recogniser(cell, inventory, fingerprint, device)
        self.optimizer = build_optimizer(self.recogniser.model, cell.train.optimizer)

    @property
    def learning_rate(self) -> float:
        """Of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def measures_at_hand(self) -> bool:
        """Whether what a step measured can be read without waiting for a device."""
        return self.device.type == "cpu"

    @property
    def idle(self) -> bool:
        """Whether the device has done all it was given to do. Asking does not wait for it."""
        return self.device.type != "cuda" or torch.cuda.current_stream(self.device).query()

    def step(self, parts: Sequence[Batch], *, epoch: int, number: int, progress: float) -> Measures:
        """One step, of the batch whose `parts` pass the device one after another.

        The gradient is that of the sum of their losses over the number of their symbols, as if
        they were one, but for batch norm, which sees one part at a time. `number` is that of the
        batch within `epoch`, and keys dropout; `progress` the share of the training that is over.
        """
        train = self.cell.train
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(train.schedule, train.optimizer.lr, progress)
        model = self.recogniser.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        symbols = sum(int(part.symbols_B.sum()) for part in parts)
        sums_N = torch.zeros(3, device=self.device)
        for index, part in enumerate(parts):
            torch.manual_seed(_dropout_seed(self.cell.seed, epoch, number, index))
            loss = self._losses(part, epoch)
            (loss.total / symbols).backward()  # type: ignore[no-untyped-call]
            attention = torch.zeros_like(loss.ctc) if loss.attention is None else loss.attention
            sums_N += torch.stack([loss.total, loss.ctc, attention]).detach()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), train.optimizer.clip_norm)
        self.optimizer.step()
        total, ctc, attention = sums_N.unbind()
        return Measures(total, ctc, attention, norm.detach())

    def _losses(self, part: Batch, epoch: int) -> Losses:
        recogniser = self.recogniser
        # Lengths stay on the CPU, where they came from: CTC and the masks' draws want them there.
        frames_B = recogniser.features.frames(part.samples_B)
        x_BTF, _ = recogniser.features(
            part.waves_BS.to(self.device, non_blocking=True),
            part.samples_B.to(self.device, non_blocking=True),
        )
        x_BTF = mask_spectrum(
            x_BTF,
            frames_B.tolist(),
            self.cell.augment,
            seed=self.cell.seed,
            epoch=epoch,
            utterances=part.ids,
        )
        with autocast(self.device, self.cell.train.precision):
            return losses(
                recogniser.model,
                self.cell.model.decoder,
                x_BTF,
                frames_B,
                part.targets_BU.to(self.device, non_blocking=True),
                part.symbols_B,
            )


def _dropout_seed(seed: int, epoch: int, number: int, part: int) -> int:
    """The first part draws what the batch would as a whole: one part is no other training."""
    return key(seed, epoch, "step", number, *([part] if part else []))
