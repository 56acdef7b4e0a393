"""Vanishing of gradients with depth, measured by the norms in the training histories.

An encoder's stack is its first numbered family of layers, such as `recurrence.0`, `recurrence.1`.
The measure is the gradient norm of the lowest layer of the stack over that of the highest: below
1 the gradient shrinks on its way down. Layers differ in shape, and so do their norms, so comparing
the ratios of two variants is fairer than reading one ratio alone. The ratio says nothing about the
gradient through time.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asrbench.base.formatting import counted

Rows = Sequence[Mapping[str, Any]]
"""The history of a run, one row per epoch."""


@dataclass(frozen=True)
class DepthRatio:
    """The gradient norm of the lowest layer of the stack over that of the highest, by epoch."""

    seed: int
    epochs: tuple[int, ...]
    ratios: tuple[float, ...]

    def typical(self, among: Collection[int] | None = None) -> float:
        """Returns the geometric mean over all epochs, or over the epochs in `among`."""
        pairs = zip(self.epochs, self.ratios, strict=True)
        logs = [math.log(ratio) for epoch, ratio in pairs if among is None or epoch in among]
        return math.exp(math.fsum(logs) / len(logs))


def depth_ratio(seed: int, rows: Rows) -> DepthRatio | None:
    """Returns the ratio by epoch; None if the history has no norms of two such layers."""
    found = [(row["epoch"], ratio) for row in rows if (ratio := _ratio(row)) is not None]
    if not found:
        return None
    epochs, ratios = zip(*found, strict=True)
    return DepthRatio(seed, epochs, ratios)


def _ratio(row: Mapping[str, Any]) -> float | None:
    norms = row.get("layer_gradient_norms") or {}
    stack = stack_of(list(norms))
    if len(stack) < 2:
        return None
    lowest, highest = norms[stack[0]], norms[stack[-1]]
    ratio = lowest / highest if highest else 0.0
    return ratio if 0 < ratio < math.inf else None


def stack_of(layers: Sequence[str]) -> list[str]:
    """Returns the first numbered family among the names of an encoder's layers, lowest first.

    `layers` are in the order of the model, as `Encoder.layers` gives them.
    """
    numbered = [name.rpartition(".") for name in layers if name.rpartition(".")[2].isdigit()]
    if not numbered:
        return []
    family = numbered[0][0]
    depths = sorted(int(number) for name, _, number in numbered if name == family)
    return [f"{family}.{depth}" for depth in depths]


def in_words(variants: Mapping[str, Sequence[DepthRatio]], baseline: str) -> Iterator[str]:
    """Yields the findings in words, with numbers, one variant after another, the baseline first."""
    if baseline in variants:
        variants = {baseline: variants[baseline], **variants}
    for name, runs in variants.items():
        if not runs:
            continue
        found = [run.typical() for run in runs]
        every = [pair for run in runs for pair in zip(run.ratios, run.epochs, strict=True)]
        (least, least_at), (most, most_at) = min(every), max(every)
        yield (
            f"{name}: the gradient norm of the lowest layer of the stack is {_range(found)} times "
            f"that of the highest, averaged over epochs ({counted(len(found), 'run')}; from "
            f"{least:.2f} in epoch {least_at} to {most:.2f} in epoch {most_at}): "
            f"{_direction(found)}"
        )
        if name != baseline and variants.get(baseline):
            yield f"{name} against {baseline}: {_beside(runs, variants[baseline], baseline)}"


def _direction(found: Sequence[float]) -> str:
    if min(found) >= 1:
        return "the gradient does not shrink on its way down"
    if max(found) < 1:
        return "the gradient shrinks on its way down"
    return "the gradient shrinks in some runs and not in others"


def _beside(runs: Sequence[DepthRatio], base: Sequence[DepthRatio], baseline: str) -> str:
    """Compares the runs of two variants over the epochs that all of them have.

    The ratio changes during training. With one run there is no spread to judge by.
    """
    shared = set.intersection(*(set(run.epochs) for run in (*runs, *base)))
    if not shared:
        return "they have no epoch in common"
    found, other = ([run.typical(shared) for run in each] for each in (runs, base))
    seen = f"{_range(found)} against {_range(other)} over {counted(len(shared), 'shared epoch')}, "
    if min(len(found), len(other)) < 2:
        return seen + "and a single run shows no spread"
    if min(found) > max(other):
        return seen + f"higher in every run than in any of {baseline}"
    if max(found) < min(other):
        return seen + f"lower in every run than in any of {baseline}"
    return seen + "and their runs overlap"


def _range(found: Sequence[float]) -> str:
    low, high = f"{min(found):.2f}", f"{max(found):.2f}"
    return low if low == high else f"{low}-{high}"
