"""Carries the time of a few measured steps over to all steps of an epoch."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from asrbench.data.batch_sampler import Batches
from asrbench.data.waveform import SAMPLE_RATE_HZ

SAMPLED = 8
"""Batches that are measured, at as many quantiles of their order."""


def quantile_batches(batches: Batches) -> Batches:
    """Returns `SAMPLED` batches, or all: each from the middle of an equal share of their order."""
    count = min(SAMPLED, len(batches))
    return [batches[int((i + 0.5) * len(batches) / count)] for i in range(count)]


def step_size(samples: npt.NDArray[np.int64], micro_batches: Batches) -> list[float]:
    """Returns what the time of a step grows with, from the samples of each utterance.

    These are 1 for the step itself, its seconds of audio with padding (matrix products), the
    seconds of the longest utterance of each micro-batch (recurrence), and the sum over
    micro-batches of the product of the two (attention).
    """
    longest = [int(samples[micro_batch].max()) / SAMPLE_RATE_HZ for micro_batch in micro_batches]
    padded = [
        len(micro_batch) * each for micro_batch, each in zip(micro_batches, longest, strict=True)
    ]
    both = [a * b for a, b in zip(padded, longest, strict=True)]
    return [1.0, sum(padded), sum(longest), sum(both)]


def extrapolate(
    sizes: Sequence[Sequence[float]],
    seconds: Sequence[float],
    all_sizes: Sequence[Sequence[float]],
) -> float:
    """Returns the seconds of all steps of `all_sizes`, where steps of `sizes` took `seconds`.

    The time is a sum of the sizes with coefficients from least squares, none of them negative.
    """
    known, wanted = np.array(sizes), np.array(all_sizes)
    scale = known.max(axis=0)
    coefficients, _ = nnls(known / scale, np.array(seconds))
    return float((wanted / scale @ coefficients).sum())
