"""The utterances in which systems differ most from the baseline, with edit alignments."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from asrbench.analysis.degenerate import DegeneratePairs
from asrbench.analysis.pairs import Pairs
from asrbench.analysis.segments import EditSegment, segments
from asrbench.stats.blocks import Floats

MOST = 10
"""Number of largest wins, and of largest losses, of each system."""
MOST_HYPOTHESES = 6000
"""Number of hypotheses in all; a study of many runs lists fewer utterances."""


@dataclass(frozen=True)
class AlignedHypothesis:
    """The hypothesis of one run for an utterance, aligned with the reference."""

    hypothesis: str
    errors: int
    degenerate: tuple[str, ...]
    """Kinds of degenerate hypotheses that it is: `empty`, `looped`, `truncated`."""
    segments: tuple[EditSegment, ...]


@dataclass(frozen=True)
class UtteranceErrors:
    """One utterance: the errors and hypotheses of all systems."""

    id: str
    reference: str
    speaker: str | None
    duration_s: float | None
    n: int
    """Reference characters."""
    errors: dict[str, float]
    """Errors of each system by label, mean over its runs."""
    differences: dict[str, float]
    """Errors of each system but the baseline, minus those of the baseline; below zero is a win."""
    systems: dict[str, tuple[AlignedHypothesis, ...]]
    """Hypotheses of each system by label, in the order of its runs."""


def largest(differences_U: Floats, ids: Sequence[str], most: int = MOST) -> list[int]:
    """Returns up to `most` utterances below zero and as many above, the largest differences first.

    Equal differences are ordered by id.
    """
    order = sorted(range(len(ids)), key=lambda u: (-abs(differences_U[u]), ids[u]))
    wins = [u for u in order if differences_U[u] < 0][:most]
    losses = [u for u in order if differences_U[u] > 0][:most]
    return sorted(wins + losses, key=lambda u: (-abs(differences_U[u]), ids[u]))


def by_utterance(
    pairs: Pairs,
    degenerate: DegeneratePairs,
    ids: Sequence[str],
    baseline: str,
    speakers_U: Sequence[str | None] | None = None,
    durations_s: Sequence[float] | None = None,
    most: int = MOST,
    most_hypotheses: int = MOST_HYPOTHESES,
    untrained: Collection[str] = (),
) -> tuple[UtteranceErrors, ...]:
    """Returns the utterances with the largest wins and losses of every system, the largest first.

    For a single system these are the utterances with most errors. `untrained` systems differ
    everywhere, so they choose no utterance, but their hypotheses are listed. At most as many
    utterances are returned as have `most_hypotheses` hypotheses together.
    """
    errors = {label: pairs.mean_errors(label) for label in pairs.runs}
    differences = {
        label: errors_U - errors[baseline]
        for label, errors_U in errors.items()
        if label != baseline
    }
    trained = {label: each for label, each in differences.items() if label not in untrained}
    moves = trained or {baseline: errors[baseline]}
    most_rows = max(1, most_hypotheses // sum(map(len, pairs.runs.values())))
    chosen = {u for moves_U in moves.values() for u in largest(moves_U, ids, most)}
    widest_U = np.max(np.abs([*moves.values()]), axis=0)
    rows = sorted(chosen, key=lambda u: (-widest_U[u], ids[u]))[:most_rows]
    return tuple(
        UtteranceErrors(
            ids[u],
            pairs.references[u],
            None if speakers_U is None else speakers_U[u],
            None if durations_s is None else float(durations_s[u]),
            len(pairs.references[u]),
            {label: float(errors_U[u]) for label, errors_U in errors.items()},
            {label: float(differences_U[u]) for label, differences_U in differences.items()},
            {
                label: tuple(_hypothesis(pairs, degenerate, p) for p in pair_SU[:, u].tolist())
                for label, pair_SU in pairs.runs.items()
            },
        )
        for u in rows
    )


def _hypothesis(pairs: Pairs, degenerate: DegeneratePairs, pair: int) -> AlignedHypothesis:
    reference, hypothesis = pairs.texts(pair)
    found = segments(reference, hypothesis)
    errors = sum(segment.errors for segment in found)
    return AlignedHypothesis(hypothesis, errors, tuple(degenerate.names(pair)), found)
