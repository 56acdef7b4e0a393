"""Parts of a head that `asrbench export` makes graphs of their own. Legend: N rows of a batch."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class GraphPart(NamedTuple):
    """One step of a search: tensors in, tensors out, with the batch as their first dimension."""

    module: nn.Module
    """Its `forward` takes the inputs in their order and returns the outputs in theirs."""
    example: Callable[[int, torch.Generator], dict[str, Tensor]]
    """Returns inputs for N rows, drawn at random, by name."""
    outputs: tuple[str, ...]
