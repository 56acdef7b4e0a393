"""Parts of a head that `asrbench export` makes graphs of their own."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Sizes(NamedTuple):
    """How large an example is. Each part reads what its inputs have."""

    rows: int
    """The first dimension of every tensor."""
    frames: int
    """Frames of the encoder's output that a decoder attends to."""
    symbols: int
    """Symbols that a decoder has read before."""


class GraphPart(NamedTuple):
    """One step of a search: tensors in, tensors out, with the batch as their first dimension."""

    module: nn.Module
    """Its `forward` takes the inputs in their order and returns the outputs in theirs."""
    example: Callable[[Sizes, torch.Generator], dict[str, Tensor]]
    """Returns inputs of that size, drawn at random, by name.

    A dimension that differs between two sizes is open in the graph, every other is fixed.
    """
    outputs: tuple[str, ...]
