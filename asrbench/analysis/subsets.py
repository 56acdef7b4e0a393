"""The bootstrap of a part of the test set: a bin of lengths, or the texts that occur in train."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import Bootstrap, Interval, bootstrap

Errors = Mapping[str, npt.NDArray[np.int64]]
"""The errors_SU of each system by label, the baseline first."""

Speakers = Sequence[Hashable] | None
"""The speaker of each utterance, who is drawn as a block; None draws utterances."""


@dataclass(frozen=True)
class SubsetRate:
    """The error rate of one system on a part of the test set."""

    cer: float | None
    """Errors over reference characters, mean over runs; None if there are no such characters."""
    interval: Interval | None
    """95 % interval; None if the part has fewer than two utterances, or speakers."""


@dataclass(frozen=True)
class SubsetDifference:
    """The CER of one system minus that of the baseline on a part of the test set."""

    delta: float
    interval: Interval
    """95 % interval, not corrected for the number of parts and systems."""


def subset_rates(
    symbols_U: npt.NDArray[Any], errors: Errors, drawn: Bootstrap | None
) -> dict[str, SubsetRate]:
    """Returns the rate of each system by label; arrays and `drawn` are those of the part."""
    n = int(symbols_U.sum())
    return {
        label: SubsetRate(
            float(errors_SU.sum(axis=1).mean()) / n if n else None,
            None if drawn is None else drawn.rate(k).interval,
        )
        for k, (label, errors_SU) in enumerate(errors.items())
    }


def subset_differences(
    errors: Errors, drawn: Bootstrap | None, apart: Collection[str]
) -> dict[str, SubsetDifference]:
    """Returns the difference to the baseline of each system that is not in `apart`, by label.

    It is empty without `drawn`, the bootstrap of the part, and if the baseline is in `apart`.
    """
    baseline, *_ = errors
    if drawn is None or baseline in apart:
        return {}
    compared = {k: label for k, label in enumerate(errors) if k and label not in apart}
    found = {label: drawn.difference(k, 0) for k, label in compared.items()}
    return {label: SubsetDifference(each.delta, each.interval) for label, each in found.items()}


def drawn_within(
    chosen: npt.NDArray[np.int64],
    weights_U: npt.NDArray[Any],
    speakers_U: Speakers,
    systems: Sequence[npt.NDArray[Any]],
    replicates: int,
) -> Bootstrap | None:
    """Draws the bootstrap of the `chosen` utterances; weights and systems are of these alone.

    Returns None if there are fewer than two blocks, or if all weights are zero.
    """
    speakers = None if speakers_U is None else [speakers_U[u] for u in chosen.tolist()]
    blocks = len(weights_U) if speakers is None else len(set(speakers))
    if blocks < 2 or not weights_U.sum():
        return None
    return bootstrap(Blocks.of(weights_U, speakers), systems, replicates)
