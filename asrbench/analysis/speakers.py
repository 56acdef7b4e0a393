"""Error rates by speaker."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asrbench.analysis.pairs import Pairs


@dataclass(frozen=True)
class SpeakerRates:
    """The error rate of every system on the utterances of one speaker."""

    speaker: str | None
    """The name; None stands for all utterances whose speaker is not known."""
    utterances: int
    n: int
    """Reference characters."""
    cer: dict[str, float | None]
    """CER by label, mean over runs; None if the speaker has no reference characters."""


def by_speaker(
    pairs: Pairs, speakers_U: Sequence[str | None], baseline: str
) -> tuple[SpeakerRates, ...]:
    """Returns all speakers, those with the highest CER of the baseline first.

    Raises `ValueError` if there are not as many speakers as utterances.
    """
    names = list(dict.fromkeys(speakers_U))
    numbers = {name: g for g, name in enumerate(names)}
    speaker_U = np.array([numbers[name] for name in speakers_U], dtype=np.int64)
    if speaker_U.shape != pairs.symbols_U.shape:
        raise ValueError(f"{len(pairs.symbols_U)} utterances, {len(speaker_U)} speakers of them")
    n_G = np.bincount(speaker_U, pairs.symbols_U).astype(int).tolist()
    errors_G = {
        label: np.bincount(speaker_U, pairs.mean_errors(label)).tolist() for label in pairs.runs
    }
    utterances_G = np.bincount(speaker_U).tolist()
    speakers = [
        SpeakerRates(
            name,
            utterances_G[g],
            n_G[g],
            {label: errors[g] / n_G[g] if n_G[g] else None for label, errors in errors_G.items()},
        )
        for name, g in numbers.items()
    ]
    return tuple(sorted(speakers, key=lambda s: (-(s.cer[baseline] or 0.0), s.speaker or "")))
