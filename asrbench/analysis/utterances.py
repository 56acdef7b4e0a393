"""Utterance by utterance: where a system gains or loses most against the baseline, aligned."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asrbench.analysis.degenerate import DegeneratePairs
from asrbench.analysis.pairs import Pairs
from asrbench.analysis.segments import Segment, segments
from asrbench.stats.blocks import Floats

MOST = 10
"""Wins and losses that are looked for, a system."""
MOST_HEARD = 6000
"""Hypotheses in all; a study of many runs shows fewer utterances."""


@dataclass(frozen=True)
class Heard:
    """What one run made of an utterance."""

    errors: int
    odd: tuple[str, ...]
    """Of `empty`, `looped`, `truncated`."""
    segments: tuple[Segment, ...]

    @property
    def hypothesis(self) -> str:
        return "".join(segment.hypothesis for segment in self.segments)

    def plain(self) -> dict[str, Any]:
        return {
            "hypothesis": self.hypothesis,
            "errors": self.errors,
            "odd": list(self.odd),
            "segments": [segment.plain() for segment in self.segments],
        }


@dataclass(frozen=True)
class Utterance:
    """What all systems made of it."""

    id: str
    reference: str
    speaker: str | None
    duration_s: float | None
    errors: dict[str, float]
    """By label, mean over the runs."""
    differences: dict[str, float]
    """By label, without the baseline: errors minus its. Below zero is a win."""
    heard: dict[str, tuple[Heard, ...]]
    """By label, one a run, in their order."""

    def plain(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "reference": self.reference,
            "speaker": self.speaker,
            "duration_s": self.duration_s,
            "n": len(self.reference),
            "errors": self.errors,
            "differences": self.differences,
            "systems": {
                label: [each.plain() for each in runs] for label, runs in self.heard.items()
            },
        }


def largest(differences_U: Floats, ids: Sequence[str], most: int = MOST) -> list[int]:
    """Up to `most` utterances below zero and as many above, the largest differences first; of
    equal ones those that come first by id."""
    order = sorted(range(len(ids)), key=lambda u: (-abs(differences_U[u]), ids[u]))
    wins = [u for u in order if differences_U[u] < 0][:most]
    losses = [u for u in order if differences_U[u] > 0][:most]
    return sorted(wins + losses, key=lambda u: (-abs(differences_U[u]), ids[u]))


def by_utterance(
    pairs: Pairs,
    odd: DegeneratePairs,
    ids: Sequence[str],
    baseline: str,
    speakers_U: Sequence[str | None] | None = None,
    durations_s: Sequence[float] | None = None,
    most: int = MOST,
    most_heard: int = MOST_HEARD,
    untrained: Collection[str] = (),
) -> tuple[Utterance, ...]:
    """The largest wins and losses of every system, or the errors of one that is alone. Those of
    the `untrained` are shown, but what never learned differs everywhere and chooses nothing.

    Those first that move any system most, as many as have no more than `most_heard` hypotheses.
    """
    errors = {label: pairs.mean_errors(label) for label in pairs.runs}
    differences = {
        label: errors_U - errors[baseline]
        for label, errors_U in errors.items()
        if label != baseline
    }
    trained = {label: each for label, each in differences.items() if label not in untrained}
    moves = trained or {baseline: errors[baseline]}
    most_rows = max(1, most_heard // sum(map(len, pairs.runs.values())))
    chosen = {u for moves_U in moves.values() for u in largest(moves_U, ids, most)}
    widest_U = np.max(np.abs([*moves.values()]), axis=0)
    rows = sorted(chosen, key=lambda u: (-widest_U[u], ids[u]))[:most_rows]
    return tuple(
        Utterance(
            ids[u],
            pairs.references[u],
            None if speakers_U is None else speakers_U[u],
            None if durations_s is None else float(durations_s[u]),
            {label: float(errors_U[u]) for label, errors_U in errors.items()},
            {label: float(differences_U[u]) for label, differences_U in differences.items()},
            {
                label: tuple(_heard(pairs, odd, p) for p in pair_SU[:, u].tolist())
                for label, pair_SU in pairs.runs.items()
            },
        )
        for u in rows
    )


def _heard(pairs: Pairs, odd: DegeneratePairs, pair: int) -> Heard:
    parts = segments(*pairs.texts(pair))
    return Heard(sum(part.errors for part in parts), tuple(odd.names(pair)), parts)
