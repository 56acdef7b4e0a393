"""Error rates by speaker."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from asrbench.analysis.pairs import Pairs


@dataclass(frozen=True)
class Speaker:
    speaker: str | None
    """None for all utterances whose speaker is not known."""
    utterances: int
    n: int
    """Reference characters."""
    cer: dict[str, float | None]
    """By the label of the system, mean over its runs; None without such characters."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def by_speaker(
    pairs: Pairs, speakers_U: Sequence[str | None], baseline: str
) -> tuple[Speaker, ...]:
    """All speakers, those first that the baseline has most trouble with."""
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
        Speaker(
            name,
            utterances_G[g],
            n_G[g],
            {label: errors[g] / n_G[g] if n_G[g] else None for label, errors in errors_G.items()},
        )
        for name, g in numbers.items()
    ]
    return tuple(sorted(speakers, key=lambda s: (-(s.cer[baseline] or 0.0), s.speaker or "")))
