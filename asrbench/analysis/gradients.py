"""Does the gradient vanish with depth? From the norms that the histories of training keep.

The lowest recurrent layer's norm is held against the highest's: below 1 it shrank on its way down.
Layers differ in their shapes, and so in what their norms are made of; the same ratio of two
variants is the fairer comparison. Of the way back through time nothing is seen here.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Rows = Sequence[Mapping[str, Any]]
"""The history of a run: one row an epoch."""


@dataclass(frozen=True)
class Descent:
    """By epoch of one run, the lowest recurrent layer's gradient norm over the highest's."""

    seed: int
    epochs: tuple[int, ...]
    ratios: tuple[float, ...]

    def typical(self, among: Collection[int] | None = None) -> float:
        """The geometric mean over epochs, or over those `among` them: 1/2 and 2 are as far from
        1."""
        pairs = zip(self.epochs, self.ratios, strict=True)
        logs = [math.log(ratio) for epoch, ratio in pairs if among is None or epoch in among]
        return math.exp(math.fsum(logs) / len(logs))


def descent(seed: int, rows: Rows) -> Descent | None:
    """Nothing for a run from before norms were kept, or with a single recurrent layer."""
    found = [(row["epoch"], ratio) for row in rows if (ratio := _ratio(row)) is not None]
    if not found:
        return None
    epochs, ratios = zip(*found, strict=True)
    return Descent(seed, epochs, ratios)


def _ratio(row: Mapping[str, Any]) -> float | None:
    norms = row.get("layer_gradient_norms") or {}
    depths = sorted(int(n.partition(".")[2]) for n in norms if n.startswith("recurrence."))
    if len(depths) < 2:
        return None
    lowest, highest = (norms[f"recurrence.{depth}"] for depth in (depths[0], depths[-1]))
    ratio = lowest / highest if highest else 0.0
    return ratio if 0 < ratio < math.inf else None


def in_words(variants: Mapping[str, Sequence[Descent]], baseline: str) -> Iterator[str]:
    """What is seen, a sentence a variant, with its numbers, the baseline's first."""
    if baseline in variants:
        variants = {baseline: variants[baseline], **variants}
    for name, runs in variants.items():
        if not runs:
            continue
        found = [run.typical() for run in runs]
        every = [pair for run in runs for pair in zip(run.ratios, run.epochs, strict=True)]
        (least, least_at), (most, most_at) = min(every), max(every)
        yield (
            f"{name}: the lowest recurrent layer's gradient norm is {_range(found)} times the "
            f"highest's, epochs on average ({_counted(len(found), 'seed')}; from {least:.2f} in "
            f"epoch {least_at} to {most:.2f} in epoch {most_at}): {_verdict(found)}"
        )
        if name != baseline and variants.get(baseline):
            yield f"{name} against {baseline}: {_beside(runs, variants[baseline], baseline)}"


def _verdict(found: Sequence[float]) -> str:
    if min(found) >= 1:
        return "it does not shrink on its way down"
    if max(found) < 1:
        return "it shrinks on its way down"
    return "it shrinks in some seeds and not in others"


def _beside(runs: Sequence[Descent], base: Sequence[Descent], baseline: str) -> str:
    """Over the epochs that all of them have: the ratio moves as training goes on. With one seed
    a side there is no spread to judge by."""
    shared = set.intersection(*(set(run.epochs) for run in (*runs, *base)))
    if not shared:
        return "they have no epoch in common"
    ours, theirs = ([run.typical(shared) for run in each] for each in (runs, base))
    seen = f"{_range(ours)} against {_range(theirs)} over {_counted(len(shared), 'shared epoch')}, "
    if min(len(ours), len(theirs)) < 2:
        return seen + "and a single seed says nothing of the spread"
    if min(ours) > max(theirs):
        return seen + f"higher in every seed than in any of {baseline}"
    if max(ours) < min(theirs):
        return seen + f"lower in every seed than in any of {baseline}"
    return seen + "and their seeds overlap"


def _range(found: Sequence[float]) -> str:
    low, high = f"{min(found):.2f}", f"{max(found):.2f}"
    return low if low == high else f"{low}-{high}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
