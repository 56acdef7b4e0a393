"""The utterances of a study for its page: those that differ most from the baseline, aligned."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from asrbench.report.page.cells import MINUS, visible

ROWS = 200
PARTS = 60_000
"""Of all aligned pairs of a page together: a browser lays out no more at ease."""


@dataclass(frozen=True)
class Part:
    """`kind` is that of `asrbench.analysis.segments`; an edit shows its spaces."""

    kind: str
    said: str
    heard: str


@dataclass(frozen=True)
class Hypothesis:
    """What some of the runs of a system made of an utterance, all of them the same."""

    seeds: str
    odd: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Heard:
    """What one system made of an utterance."""

    system: str
    errors: str
    """Mean over its runs."""
    difference: float | None
    """Errors minus those of the baseline; None for the baseline."""
    change: str
    hypotheses: tuple[Hypothesis, ...]


@dataclass(frozen=True)
class Row:
    id: str
    speaker: str
    about: str
    reference: str
    heard: tuple[Heard, ...]
    largest: float
    """Difference of any system that learned; errors, where one is alone."""


@dataclass(frozen=True)
class Browser:
    says: str
    """How many of how many, and by which order."""
    rows: tuple[Row, ...]
    speakers: tuple[str, ...]
    systems: tuple[str, ...]


def browser(study: Mapping[str, Any]) -> Browser:
    """The utterances with the largest wins and losses of any system, as many as a page bears."""
    table = study.get("utterance_table") or []
    systems = {
        system["label"]: [run["seed"] for run in system["runs"]] for system in study["systems"]
    }
    # What never learned differs most from everything, and says least.
    learned = {system["label"] for system in study["systems"] if system["trained"]}
    rows = [_row(entry, systems, learned) for entry in table]
    rows.sort(key=lambda row: (-row.largest, row.id))
    kept: list[Row] = []
    parts = 0
    for row in rows[:ROWS]:
        parts += sum(len(one.parts) for heard in row.heard for one in heard.hypotheses)
        if parts > PARTS and kept:
            break
        kept.append(row)
    whole = study["utterances"]
    says = (
        f"All {whole:,} utterances, the largest differences to {study['baseline']} first."
        if len(kept) == whole
        else f"{len(kept):,} of {whole:,} utterances: those with the largest differences to "
        f"{study['baseline']}."
    )
    speakers = sorted({row.speaker for row in kept if row.speaker})
    return Browser(says, tuple(kept), tuple(speakers), tuple(systems))


def _row(entry: Mapping[str, Any], systems: Mapping[str, Sequence[int]], learned: Set[str]) -> Row:
    moves = entry["differences"] or entry["errors"]
    about = [f"{entry['n']} characters"]
    if entry["duration_s"] is not None:
        about.insert(0, f"{entry['duration_s']:.1f} s")
    return Row(
        entry["id"],
        entry["speaker"] or "",
        ", ".join(about),
        entry["reference"],
        tuple(
            _heard(entry, system, seeds)
            for system, seeds in systems.items()
            if system in entry["systems"]
        ),
        max((abs(move) for label, move in moves.items() if label in learned), default=0.0),
    )


def _heard(entry: Mapping[str, Any], system: str, seeds: Sequence[int]) -> Heard:
    alike: dict[str, list[int]] = {}
    runs = {}
    for seed, run in zip(seeds, entry["systems"][system], strict=True):
        alike.setdefault(run["hypothesis"], []).append(seed)
        runs[run["hypothesis"]] = run
    difference = entry["differences"].get(system)
    change = "" if difference is None else f"{difference:+.1f}".replace("-", MINUS)
    return Heard(
        system,
        f"{entry['errors'][system]:.1f}",
        difference,
        "±0" if difference == 0 else change,
        tuple(
            Hypothesis(
                f"seed{'' if len(which) == 1 else 's'} {', '.join(map(str, which))}",
                tuple(runs[hypothesis]["odd"]),
                tuple(_parts(runs[hypothesis]["segments"])),
            )
            for hypothesis, which in alike.items()
        ),
    )


def _parts(segments: Sequence[Mapping[str, str]]) -> Iterator[Part]:
    for each in segments:
        said, heard = each["reference"], each["hypothesis"]
        if each["kind"] == "equal":
            yield Part("equal", said, heard)
        else:
            yield Part(each["kind"], visible(said), visible(heard))
