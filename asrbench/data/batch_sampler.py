"""The batch sampler: assigns utterances to batches, in the same way for every variant."""

import numpy as np
import numpy.typing as npt

from asrbench.base.seeding import key
from asrbench.data.waveform import SAMPLE_RATE_HZ

Batches = list[list[int]]

JITTER = 0.04
"""Half-width of the random factor of lengths, around 1. Padding is 3 to 4 % (at 0.1: 7 to 9 %)."""


def epoch_plan(
    samples: npt.NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    fingerprint: str,
    batch_seconds: float,
) -> Batches:
    """Returns batches of utterance indices for one epoch of training.

    Sorts utterances by their length times a random factor within `JITTER` of 1, so that a batch has
    utterances of similar length and differs between epochs. Cuts the order into batches of at most
    `batch_seconds` of audio, with padding, and shuffles the batches.
    """
    generator = np.random.Generator(np.random.Philox(key(seed, epoch, "plan", fingerprint)))
    jittered = samples * generator.uniform(1 - JITTER, 1 + JITTER, len(samples))
    batches = _cut(np.argsort(jittered, kind="stable"), samples, batch_seconds)
    return [batches[i] for i in generator.permutation(len(batches))]


def length_plan(samples: npt.NDArray[np.int64], batch_seconds: float) -> Batches:
    """Returns batches in order of length, for evaluation."""
    return _cut(np.argsort(samples, kind="stable"), samples, batch_seconds)


def micro_batches_of(batch: list[int], count: int) -> Batches:
    """Splits `batch` round-robin into at most `count` micro-batches, none of them empty.

    A batch is roughly sorted by length, so its micro-batches are alike in length and in size.
    """
    return [batch[first::count] for first in range(min(count, len(batch)))]


def share_of(micro_batch: list[int], rank: int, world_size: int) -> list[int]:
    """Returns the utterances of a micro-batch that process `rank` trains on; empty if too few."""
    return micro_batch[rank::world_size]


def _cut(
    order: npt.NDArray[np.intp], samples: npt.NDArray[np.int64], batch_seconds: float
) -> Batches:
    """Cuts `order` into batches in which the size times the longest length is within the limit.

    An utterance that exceeds the limit is a batch of its own.
    """
    limit = batch_seconds * SAMPLE_RATE_HZ
    batches: Batches = []
    longest = 0
    for index in order.tolist():
        longest = max(longest, int(samples[index]))
        if batches and (len(batches[-1]) + 1) * longest <= limit:
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = int(samples[index])
    return batches
