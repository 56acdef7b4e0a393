"""The training step: forward pass, losses, gradients, clipping, and the update of the weights.

A step never waits for the device: its metrics stay there until they are read. Where several ranks
train one run, each computes its share of every micro-batch, and all end with the same weights.
Legend: B batch, T frames, F feature bins, L layers.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from asrbench.base.distributed import ALONE, Ranks
from asrbench.base.seeding import key
from asrbench.experiment.spec import Cell
from asrbench.models.heads.head import Losses
from asrbench.models.layers.masking import MaskedBatchNorm
from asrbench.recogniser.decoder import check_decode
from asrbench.recogniser.devices import autocast
from asrbench.recogniser.loader import Batch
from asrbench.recogniser.recogniser import Recogniser
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.augmentation import mask_spectrum
from asrbench.training.freezing import freeze
from asrbench.training.optimisation import build_optimizer, learning_rate


@dataclass(frozen=True)
class StepMetrics:
    """The metrics of one step, as tensors on the device."""

    losses: Losses
    """The losses, summed over this rank's share of the batch, in nats."""
    gradient_norm: Tensor
    """The norm of the whole batch's gradient before clipping, a scalar."""
    layer_norms_L: Tensor
    """The gradient norm of each of the trainer's `layers` before clipping."""


class Trainer:
    """A recogniser and its optimizer on one device, as one of `ranks` that train the same run."""

    def __init__(
        self,
        cell: Cell,
        tokenizer: Tokenizer,
        fingerprint: str,
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        """Raises `UserError` for a search in `cell.decode` that the head does not have, and for
        names in `train.freeze` that cannot be frozen."""
        self.cell, self.device, self.ranks = cell, device, ranks
        self.recogniser = Recogniser(cell, tokenizer, fingerprint, device)
        check_decode(cell.decode, self.recogniser.model.head)
        self.frozen = freeze(self.recogniser.model, cell.train.freeze)
        """What training leaves as it is."""
        self.optimizer = build_optimizer(self.recogniser.model, cell.train.optimizer)
        self._model: nn.Module = self.recogniser.model
        """The model that training calls; with several ranks it is a `DistributedDataParallel`."""
        self.layers = _trained(self.recogniser.model.layers())
        """The trained parameters by layer, for their gradient norms."""
        self._counts = True
        """False while this rank computes a dummy batch."""
        if ranks.world_size > 1:
            self._distribute()

    def _distribute(self) -> None:
        """Makes every step sum gradients and the statistics of batch norm over ranks."""
        self._model = DistributedDataParallel(
            self._model, broadcast_buffers=False, gradient_as_bucket_view=True
        )
        for module in self.recogniser.model.modules():
            if isinstance(module, MaskedBatchNorm):
                module.everywhere = lambda sums: self.ranks.sum(sums * self._counts)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def metrics_at_hand(self) -> bool:
        """True if the metrics of a step can be read without waiting for a device."""
        return self.device.type == "cpu"

    @property
    def idle(self) -> bool:
        """True if the device has finished all its work. Reading this does not wait for it."""
        return self.device.type != "cuda" or torch.cuda.current_stream(self.device).query()

    def step(
        self, micro_batches: Sequence[Batch], *, epoch: int, number: int, progress: float
    ) -> StepMetrics:
        """Makes one optimizer step on a batch, one micro-batch after another.

        The loss is the sum of all losses divided by the number of symbols, as if the batch were
        computed at once, except that batch norm normalises each micro-batch alone. Each rank
        computes its share of each micro-batch, and losses, gradients and batch norm are summed over
        ranks. So the world size changes the draws of dropout and the rounding, and nothing else.
        `number` is the index of the batch within `epoch` and keys dropout; `progress` is the share
        of the training that is over.
        """
        train = self.cell.train
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(train.schedule, train.optimizer.lr, progress)
        self.recogniser.model.train()
        self.frozen.hold()
        self.optimizer.zero_grad(set_to_none=True)
        symbols = int(
            self.ranks.sum(torch.stack([m.target_lengths_B.sum() for m in micro_batches]).sum())
        )
        sums: Losses = {}
        for index, micro_batch in enumerate(micro_batches):
            torch.manual_seed(_dropout_seed(self.cell.seed, epoch, number, index, self.ranks.rank))
            self._counts = micro_batch.counts
            with self._gradients_summed(last=index == len(micro_batches) - 1):
                losses = self._losses(micro_batch, epoch)
                # Multiplies by the world size, because torch averages gradients over ranks.
                weight = self.ranks.world_size * micro_batch.counts
                (losses["total"] * weight / symbols).backward()  # type: ignore[no-untyped-call]
            for name, loss in losses.items():
                counted = micro_batch.counts * loss.detach()
                sums[name] = sums[name] + counted if name in sums else counted
        norm, layer_norms_L = self._clip(train.optimizer.clip_norm)
        self.optimizer.step()
        return StepMetrics(sums, norm, layer_norms_L)

    def _clip(self, limit: float) -> tuple[Tensor, Tensor]:
        """Scales the gradient down to the norm `limit` if its norm is larger.

        Returns the norm before clipping, of the whole gradient and of each layer.
        """
        norms = [
            get_total_norm([p.grad for p in layer if p.grad is not None])
            for layer in self.layers.values()
        ]
        norms_L = torch.stack([norm.to(self.device) for norm in norms])
        norm = torch.linalg.vector_norm(norms_L)
        clip_grads_with_norm_(self.recogniser.model.parameters(), limit, norm)
        return norm, norms_L

    def _gradients_summed(self, *, last: bool) -> AbstractContextManager[None]:
        """Returns a context that sums gradients over ranks for the last micro-batch only."""
        if last or not isinstance(self._model, DistributedDataParallel):
            return nullcontext()
        return self._model.no_sync()

    def _losses(self, batch: Batch, epoch: int) -> Losses:
        recogniser = self.recogniser
        # Lengths stay on the CPU, because CTC and the draws of masks need them there.
        frames_B = recogniser.features.frames(batch.samples_B)
        x_BTF, _ = recogniser.features(
            batch.waves_BS.to(self.device, non_blocking=True),
            batch.samples_B.to(self.device, non_blocking=True),
        )
        views = recogniser.model.head.views
        masked = [
            mask_spectrum(
                x_BTF,
                frames_B.tolist(),
                self.cell.augment,
                seed=self.cell.seed,
                epoch=epoch,
                utterances=batch.ids,
                view=view,
            )
            for view in range(views)
        ]
        with autocast(self.device, self.cell.train.precision):
            losses: Losses = self._model(
                torch.cat(masked) if views > 1 else masked[0],
                frames_B.repeat(views),
                batch.targets_BU.to(self.device, non_blocking=True).repeat(views, 1),
                batch.target_lengths_B.repeat(views),
            )
        return losses


def _trained(layers: dict[str, list[nn.Parameter]]) -> dict[str, list[nn.Parameter]]:
    """Returns the layers that have trained parameters, with those alone."""
    trained = {name: [p for p in layer if p.requires_grad] for name, layer in layers.items()}
    return {name: layer for name, layer in trained.items() if layer}


def _dropout_seed(seed: int, epoch: int, number: int, micro_batch: int, rank: int) -> int:
    """Returns the seed of dropout.

    The first micro-batch of the main rank has the seed that a whole batch has.
    """
    micro_batches = [micro_batch] if micro_batch else []
    ranks = [f"rank {rank}"] if rank else []
    return key(seed, epoch, "step", number, *micro_batches, *ranks)
