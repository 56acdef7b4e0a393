"""Tests that assume least: which of two things is which should not matter, if they are equal."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

import numpy as np
import numpy.typing as npt

from asrbench.stats.blocks import Blocks, Floats


@dataclass(frozen=True)
class Permutation:
    """How often exchanging what should be exchangeable moves the totals as far apart as seen."""

    p: float
    least: float
    """The smallest p that so few of them can give."""
    exchanged: str
    """`utterances` or `speakers`."""


def exchange_blocks(blocks: Blocks, one_SU: npt.ArrayLike, other_SU: npt.ArrayLike) -> Permutation:
    """Swaps the two systems within blocks, exactly over all 2**G ways.

    Assumes that within each block, were the systems equal, their errors (summed over seeds) could
    as well have been each other's; nothing of distributions. It speaks of the trained models: luck
    of training, the same in all blocks, is a difference to it. Pitman's (1937) test of a mean of
    paired differences d: P(abs(sum +-d) >= abs(sum d)). The sums' distribution is the Fourier
    transform of the product of cos(d t), evaluated at enough t to have every sum apart.
    """
    errors = [blocks.summed(errors_SU) for errors_SU in (one_SU, other_SU)]
    # So that means over seeds differ by whole numbers.
    common = lcm(*(len(errors_SG) for errors_SG in errors))
    one_G, other_G = (errors_SG.sum(axis=0) * (common // len(errors_SG)) for errors_SG in errors)
    differences = np.rint(one_G - other_G).astype(np.int64)
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if not len(sizes):
        return Permutation(1.0, 1.0, blocks.kind)
    reach = int(sizes @ counts)
    length = 1 << (2 * reach).bit_length()
    angles = 2 * np.pi * np.arange(length // 2 + 1) / length
    transform = np.prod(np.cos(np.outer(sizes, angles)) ** counts[:, None], axis=0)
    # Sum s at index s, and -s from the end.
    chances = np.fft.irfft(transform, length)
    seen = abs(int(differences.sum()))
    upper = float(chances[seen : reach + 1].sum())
    least = 0.5 ** (int(counts.sum()) - 1)
    p = 1.0 if not seen else 2 * upper
    return Permutation(min(1.0, max(least, p)), least, blocks.kind)


@dataclass(frozen=True)
class McNemar:
    """Utterances that only one of two models has wholly right, and what chance makes of that."""

    only_one: int
    only_other: int
    p: float


def mcnemar(right_one_U: npt.ArrayLike, right_other_U: npt.ArrayLike) -> McNemar:
    """Two-sided exact binomial test that each of the `only_` is as likely as the other
    (McNemar 1947, Psychometrika 12:153), whatever their number."""
    one, other = np.asarray(right_one_U, dtype=bool), np.asarray(right_other_U, dtype=bool)
    if one.shape != other.shape:
        raise ValueError(f"{one.shape} and {other.shape} utterances")
    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    both = only_one + only_other
    from scipy.special import bdtr  # a seventh of a second that rates alone need not spend

    # Both tails are alike, and meet in the middle.
    p = min(1.0, 2 * float(bdtr(min(only_one, only_other), both, 0.5))) if both else 1.0
    return McNemar(only_one, only_other, p)


def holm(p_values: Sequence[float]) -> Floats:
    """Adjusted p-values of a family, in the same order: rejecting those below alpha makes even
    one false rejection no likelier than alpha (Holm 1979, Scand. J. Statist. 6:65).

    The i-th smallest of m becomes the largest of (m - j + 1) p_j over j <= i, at most 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted
