"""The mean of the weights after several epochs, for `train.weights: {kind: average}`.

Vaswani et al. 2017 (arXiv:1706.03762, section 6.1) average the last checkpoints of one training,
and so do ESPnet, fairseq and WeNet; Izmailov et al. 2018 (arXiv:1803.05407) explain why it helps.

The running statistics of batch norm are averaged like the parameters, as ESPnet does. Izmailov et
al. compute them anew instead, from one more pass over the training data, because their learning
rate stays high and their weights are far apart. At the end of a schedule that falls, weights are
close and so are their statistics.

`torch.optim.swa_utils.AveragedModel` averages integers too, and truncates them, so that batch norm
would lose the number of its batches; it also copies the module, which a plug-in need not support.

Which epochs are the best is known at the end only, and a sum cannot give back an epoch that others
have overtaken. So their weights are kept one by one until the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class WeightAverage:
    """The sum of the weights after some epochs, on the CPU, so that steps need no more memory.

    It is part of every state, from which training resumes.
    """

    epochs: int = 0
    """The number of epochs whose weights are in the sum."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """The sum of each floating-point tensor of the model's state, in its own precision (fp32).

    Other tensors, such as counters, are those after the last of the epochs.
    """
    best: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    """The state of the model after each of the best epochs so far, by its index from 0."""

    def add(self, model: nn.Module) -> None:
        """Adds the parameters and buffers of `model` after one more epoch."""
        self._add(_copied(model))

    def keep_best(self, model: nn.Module, rates: Sequence[float], count: int) -> None:
        """Keeps the state of `model` if its epoch is one of the `count` best so far.

        `rates` are the dev CERs of all epochs, that of the model last; of equal ones the earlier is
        the better. Forgets an epoch that is no longer one of the best.
        """
        best = sorted(range(len(rates)), key=rates.__getitem__)[:count]
        if len(rates) - 1 in best:
            self.best[len(rates) - 1] = _copied(model)
        self.best = {epoch: self.best[epoch] for epoch in sorted(best)}

    def add_best(self) -> None:
        """Adds the weights after each of the best epochs, in their order, and keeps the sum."""
        for weights in self.best.values():
            self._add(weights)
        self.best = {}

    def _add(self, weights: dict[str, Tensor]) -> None:
        for name, added in weights.items():
            if self.epochs and added.is_floating_point():
                added += self.sums[name]
            self.sums[name] = added
        self.epochs += 1

    def mean(self) -> dict[str, Tensor]:
        """Returns the state of a model whose weights are the mean over the epochs."""
        return {
            name: total / self.epochs if torch.is_floating_point(total) else total
            for name, total in self.sums.items()
        }


def _copied(model: nn.Module) -> dict[str, Tensor]:
    """Returns a copy of the state of `model` on the CPU."""
    return {name: t.detach().to("cpu", copy=True) for name, t in model.state_dict().items()}
