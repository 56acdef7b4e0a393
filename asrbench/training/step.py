"""One step of the optimizer: a model, what it minimises, and what moves its weights.

Nothing in a step waits for the device: what it measures stays there until somebody looks.
Where several processes train one run, each makes the step with its share of every micro-batch, and
all come out with the same weights. Legend: B batch, T frames, F feature bins, N losses, L layers.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from asrbench.base.distributed import ALONE, Ranks
from asrbench.base.seeding import key
from asrbench.experiment.spec import Cell, DecoderSpec
from asrbench.models.encoders.deepspeech2 import DeepSpeech2
from asrbench.models.layers.masking import MaskedBatchNorm
from asrbench.models.objective import Losses, losses
from asrbench.recogniser.devices import autocast
from asrbench.recogniser.loader import Batch
from asrbench.recogniser.recogniser import Recogniser
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.augmentation import mask_spectrum
from asrbench.training.optimisation import build_optimizer, learning_rate


class Measures(NamedTuple):
    """Of one step, on the device; losses are sums over this process' share of the batch, in nats.

    Scalars, but for the last.
    """

    loss: Tensor
    ctc: Tensor
    attention: Tensor
    """0 without a decoder."""
    gradient_norm: Tensor
    """Of the whole batch, before it was clipped."""
    layer_norms_L: Tensor
    """The same of each of the trainer's `layers`."""


class _Objective(nn.Module):
    """Features to losses: what torch wraps to sum the gradients of several processes."""

    def __init__(self, model: DeepSpeech2, decoder: DecoderSpec) -> None:
        super().__init__()
        self.model, self.decoder = model, decoder

    def forward(
        self, x_BTF: Tensor, frames_B: Tensor, targets_BU: Tensor, target_lengths_B: Tensor
    ) -> Losses:
        return losses(self.model, self.decoder, x_BTF, frames_B, targets_BU, target_lengths_B)


class Trainer:
    """A recogniser and its optimizer, on one device; one of `ranks` that train it alike."""

    def __init__(
        self,
        cell: Cell,
        tokenizer: Tokenizer,
        fingerprint: str,
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        self.cell, self.device, self.ranks = cell, device, ranks
        self.recogniser = Recogniser(cell, tokenizer, fingerprint, device)
        self.optimizer = build_optimizer(self.recogniser.model, cell.train.optimizer)
        self._objective: nn.Module = _Objective(self.recogniser.model, cell.model.decoder)
        self.layers = layers_of(self.recogniser.model)
        """Parameters by the layer they are in, for the norms of their gradients."""
        self._counts = True
        """Whether the micro_batch under way is more than a dummy batch."""
        if ranks.world_size > 1:
            self._share_out()

    def _share_out(self) -> None:
        """Has gradients summed over ranks while they are computed, and statistics of batch norm."""
        self._objective = DistributedDataParallel(
            self._objective, broadcast_buffers=False, gradient_as_bucket_view=True
        )
        for module in self.recogniser.model.modules():
            if isinstance(module, MaskedBatchNorm):
                module.everywhere = lambda sums: self.ranks.sum(sums * self._counts)

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

    def step(
        self, micro_batches: Sequence[Batch], *, epoch: int, number: int, progress: float
    ) -> Measures:
        """One step, of the batch whose `micro_batches` pass the device one after another.

        The gradient is that of the sum of their losses over the number of their symbols, as if
        they were one, but for batch norm, which sees one micro-batch at a time. Of several ranks
        each has its share of each micro-batch, and the sums, batch norm's too, are over all of
        them: how many there are changes the draws of dropout, and nothing else but rounding.
        `number` is that of the batch within `epoch`, and keys dropout; `progress` the share of the
        training that is over.
        """
        train = self.cell.train
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(train.schedule, train.optimizer.lr, progress)
        self.recogniser.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        symbols = int(
            self.ranks.sum(
                torch.stack(
                    [micro_batch.target_lengths_B.sum() for micro_batch in micro_batches]
                ).sum()
            )
        )
        sums_N = torch.zeros(3, device=self.device)
        for index, micro_batch in enumerate(micro_batches):
            torch.manual_seed(_dropout_seed(self.cell.seed, epoch, number, index, self.ranks.rank))
            self._counts = micro_batch.counts
            with self._gradients_summed(last=index == len(micro_batches) - 1):
                loss = self._losses(micro_batch, epoch)
                # Times the number of ranks, for what torch takes of their gradients is the mean.
                weight = self.ranks.world_size * micro_batch.counts
                (loss.total * weight / symbols).backward()  # type: ignore[no-untyped-call]
            attention = torch.zeros_like(loss.ctc) if loss.attention is None else loss.attention
            sums_N += micro_batch.counts * torch.stack([loss.total, loss.ctc, attention]).detach()
        norm, layer_norms_L = self._clip(train.optimizer.clip_norm)
        self.optimizer.step()
        total, ctc, attention = sums_N.unbind()
        return Measures(total, ctc, attention, norm, layer_norms_L)

    def _clip(self, limit: float) -> tuple[Tensor, Tensor]:
        """Scales the gradient down to the norm `limit`; its norm before, and that of each layer."""
        norms = [
            get_total_norm([p.grad for p in layer if p.grad is not None])
            for layer in self.layers.values()
        ]
        norms_L = torch.stack([norm.to(self.device) for norm in norms])
        norm = torch.linalg.vector_norm(norms_L)
        clip_grads_with_norm_(self.recogniser.model.parameters(), limit, norm)
        return norm, norms_L

    def _gradients_summed(self, *, last: bool) -> AbstractContextManager[None]:
        """Where there are several ranks: over them, with the last micro-batch, once for all."""
        if last or not isinstance(self._objective, DistributedDataParallel):
            return nullcontext()
        return self._objective.no_sync()

    def _losses(self, micro_batch: Batch, epoch: int) -> Losses:
        recogniser = self.recogniser
        # Lengths stay on the CPU, where they came from: CTC and the masks' draws want them there.
        frames_B = recogniser.features.frames(micro_batch.samples_B)
        x_BTF, _ = recogniser.features(
            micro_batch.waves_BS.to(self.device, non_blocking=True),
            micro_batch.samples_B.to(self.device, non_blocking=True),
        )
        x_BTF = mask_spectrum(
            x_BTF,
            frames_B.tolist(),
            self.cell.augment,
            seed=self.cell.seed,
            epoch=epoch,
            utterances=micro_batch.ids,
        )
        with autocast(self.device, self.cell.train.precision):
            found: Losses = self._objective(
                x_BTF,
                frames_B,
                micro_batch.targets_BU.to(self.device, non_blocking=True),
                micro_batch.target_lengths_B,
            )
        return found


def layers_of(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Parameters under the names of the modules they are in: `front_end`, `recurrence.0`, and so
    on to `head`, in the order of the model."""
    layers: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        module, number, *_ = name.split(".")
        layer = f"{module}.{number}" if number.isdigit() else module
        layers.setdefault(layer, []).append(parameter)
    return layers


def _dropout_seed(seed: int, epoch: int, number: int, micro_batch: int, rank: int) -> int:
    """The first micro-batch draws what the whole batch would: one micro-batch changes nothing."""
    micro_batches = [micro_batch] if micro_batch else []
    ranks = [f"rank {rank}"] if rank else []
    return key(seed, epoch, "step", number, *micro_batches, *ranks)
