"""Exact tests, and Holm's correction."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

import numpy as np
import numpy.typing as npt

from asrbench.stats.blocks import Blocks, Floats


@dataclass(frozen=True)
class Permutation:
    """A permutation test: the share of all exchanges whose difference is at least the one seen."""

    p: float
    least: float
    """The smallest p-value that this number of blocks allows."""
    exchanged: str
    """`utterances` or `speakers`."""


def exchange_blocks(blocks: Blocks, one_SU: npt.ArrayLike, other_SU: npt.ArrayLike) -> Permutation:
    """Swaps the two systems within blocks, exactly over all 2**G ways.

    The null hypothesis is that within each block the errors of the two systems (summed over seeds)
    are exchangeable; nothing is assumed about their distribution. The test holds for the trained
    models only: it counts variance between training seeds as a difference. It is Pitman's (1937)
    test of a mean of paired differences d: P(abs(sum +-d) >= abs(sum d)). The distribution of the
    sums is the Fourier transform of the product of cos(d t), evaluated at enough t to separate all
    sums.
    """
    errors = [blocks.summed(errors_SU) for errors_SU in (one_SU, other_SU)]
    # The common multiple makes differences of means over seeds whole numbers.
    common = lcm(*(len(errors_SG) for errors_SG in errors))
    one_G, other_G = (errors_SG.sum(axis=0) * (common // len(errors_SG)) for errors_SG in errors)
    differences = np.rint(one_G - other_G).astype(np.int64)
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if not len(sizes):
        return Permutation(1.0, 1.0, blocks.kind)
    most = int(sizes @ counts)
    length = 1 << (2 * most).bit_length()
    angles = 2 * np.pi * np.arange(length // 2 + 1) / length
    transform = np.prod(np.cos(np.outer(sizes, angles)) ** counts[:, None], axis=0)
    # The sum s is at index s, the sum -s is counted from the end.
    chances = np.fft.irfft(transform, length)
    seen = abs(int(differences.sum()))
    upper = float(chances[seen : most + 1].sum())
    least = 0.5 ** (int(counts.sum()) - 1)
    p = 1.0 if not seen else 2 * upper
    return Permutation(min(1.0, max(least, p)), least, blocks.kind)


@dataclass(frozen=True)
class McNemar:
    """McNemar's test: utterances that only one of two models has entirely right."""

    only_one: int
    only_other: int
    p: float


def mcnemar(right_one_U: npt.ArrayLike, right_other_U: npt.ArrayLike) -> McNemar:
    """Tests whether `only_one` and `only_other` are equally likely, by the two-sided exact binomial
    test (McNemar 1947, Psychometrika 12:153)."""
    one, other = np.asarray(right_one_U, dtype=bool), np.asarray(right_other_U, dtype=bool)
    if one.shape != other.shape:
        raise ValueError(f"found {one.shape} and {other.shape} utterances, which must be equal")
    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    both = only_one + only_other
    from scipy.special import bdtr  # takes 0.15 s, which `--replicates 0` need not spend

    # The two tails are equal; where they overlap, p is 1.
    p = min(1.0, 2 * float(bdtr(min(only_one, only_other), both, 0.5))) if both else 1.0
    return McNemar(only_one, only_other, p)


def holm(p_values: Sequence[float]) -> Floats:
    """Returns the adjusted p-values of a family, in the same order.

    Rejecting those at or below alpha makes one false rejection or more no likelier than alpha (Holm
    1979, Scand. J. Statist. 6:65). The i-th smallest of m becomes the largest of (m - j + 1) p_j
    over j <= i, at most 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted
