"""The mean of the weights after several epochs, for `train.weights: {kind: average}`.

Vaswani et al. 2017 (arXiv:1706.03762, section 6.1) average the last checkpoints of one training,
and so do ESPnet, fairseq and WeNet; Izmailov et al. 2018 (arXiv:1803.05407) explain why it helps.

The running statistics of batch norm are averaged like the parameters, as ESPnet does. Izmailov et
al. compute them anew instead, from one more pass over the training data, because their learning
rate stays high and their weights are far apart. At the end of a schedule that falls, weights are
close and so are their statistics.

`torch.optim.swa_utils.AveragedModel` averages integers too, and truncates them, so that batch norm
would lose the number of its batches; it also copies the module, which a plug-in need not support.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class WeightAverage:
    """The sum of the weights after some epochs, on the CPU, so that steps need no more memory."""

    epochs: int = 0
    """The number of epochs whose weights are in the sum."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """The sum of each floating-point tensor of the model's state, in its own precision (fp32).

    Other tensors, such as counters, are those after the last of the epochs.
    """

    def add(self, model: nn.Module) -> None:
        """Adds the parameters and buffers of `model` after one more epoch."""
        for name, tensor in model.state_dict().items():
            added = tensor.detach().to("cpu", copy=True)
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
