"""The utterances of the page: those that differ most from the baseline, with edit alignments."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

from asrbench.analysis.segments import EditSegment
from asrbench.analysis.utterances import AlignedHypothesis, UtteranceErrors
from asrbench.base.formatting import seed_list
from asrbench.report.page.views import MINUS, visible
from asrbench.report.study import Study

ROWS = 200
SEGMENTS = 60_000
"""Largest number of segments on a page; browsers lay out more only slowly."""


@dataclass(frozen=True)
class SharedHypothesis:
    """One hypothesis, which some of the runs of a system share."""

    seeds: str
    degenerate: tuple[str, ...]
    segments: tuple[EditSegment, ...]
    """Spaces in edits are visible."""


@dataclass(frozen=True)
class SystemHypotheses:
    """The errors and hypotheses of one system for one utterance."""

    label: str
    errors: str
    """Mean over its runs."""
    difference: float | None
    """Errors minus those of the baseline; None for the baseline."""
    change: str
    """The difference as text."""
    hypotheses: tuple[SharedHypothesis, ...]


@dataclass(frozen=True)
class UtteranceRow:
    """One utterance with the hypotheses of all systems."""

    id: str
    speaker: str
    about: str
    """Duration and length."""
    reference: str
    systems: tuple[SystemHypotheses, ...]
    largest: float
    """Largest difference of a trained system; the errors, if there is one system."""


@dataclass(frozen=True)
class UtteranceList:
    """The utterances that the page shows."""

    summary: str
    """Says how many utterances of how many are shown, and in which order."""
    rows: tuple[UtteranceRow, ...]
    speakers: tuple[str, ...]
    systems: tuple[str, ...]


def utterance_list(study: Study) -> UtteranceList:
    """Returns the utterances with the largest differences, up to `ROWS` and `SEGMENTS`."""
    found = () if study.findings is None else study.findings.utterances
    seeds = {system.label: [run.seed for run in system.runs] for system in study.systems}
    # A system that is not trained differs everywhere, so it does not decide the order.
    trained = {system.label for system in study.systems if system.trained}
    rows = [_row(each, seeds, trained) for each in found]
    rows.sort(key=lambda row: (-row.largest, row.id))
    kept: list[UtteranceRow] = []
    segments = 0
    for row in rows[:ROWS]:
        segments += sum(len(each.segments) for system in row.systems for each in system.hypotheses)
        if segments > SEGMENTS and kept:
            break
        kept.append(row)
    whole = study.utterances
    summary = (
        f"All {whole:,} utterances, ordered by their largest difference to {study.baseline}."
        if len(kept) == whole
        else f"{len(kept):,} of {whole:,} utterances: those with the largest differences to "
        f"{study.baseline}."
    )
    speakers = sorted({row.speaker for row in kept if row.speaker})
    return UtteranceList(summary, tuple(kept), tuple(speakers), tuple(seeds))


def _row(found: UtteranceErrors, seeds: dict[str, list[int]], trained: Set[str]) -> UtteranceRow:
    moves = found.differences or found.errors
    about = [f"{found.n} characters"]
    if found.duration_s is not None:
        about.insert(0, f"{found.duration_s:.1f} s")
    return UtteranceRow(
        found.id,
        found.speaker or "",
        ", ".join(about),
        found.reference,
        tuple(
            _system(found, label, each) for label, each in seeds.items() if label in found.systems
        ),
        max((abs(move) for label, move in moves.items() if label in trained), default=0.0),
    )


def _system(found: UtteranceErrors, label: str, seeds: Sequence[int]) -> SystemHypotheses:
    difference = found.differences.get(label)
    change = "" if difference is None else f"{difference:+.1f}".replace("-", MINUS)
    return SystemHypotheses(
        label,
        f"{found.errors[label]:.1f}",
        difference,
        "±0" if difference == 0 else change,
        tuple(_shared(found.systems[label], seeds)),
    )


def _shared(runs: Sequence[AlignedHypothesis], seeds: Sequence[int]) -> Iterator[SharedHypothesis]:
    """Yields each distinct hypothesis once, with the seeds that have it."""
    by_text: dict[str, list[int]] = {}
    for seed, run in zip(seeds, runs, strict=True):
        by_text.setdefault(run.hypothesis, []).append(seed)
    aligned = {run.hypothesis: run for run in runs}
    for text, which in by_text.items():
        run = aligned[text]
        yield SharedHypothesis(
            seed_list(which), run.degenerate, tuple(map(_visible_spaces, run.segments))
        )


def _visible_spaces(segment: EditSegment) -> EditSegment:
    if segment.kind == "equal":
        return segment
    reference, hypothesis = visible(segment.reference), visible(segment.hypothesis)
    return replace(segment, reference=reference, hypothesis=hypothesis)
