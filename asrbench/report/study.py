"""The record of a comparison: everything that `asrbench compare` finds, a study for each split.

`stages.compare` makes it once. The tables, the plots, the page, the terminal and `study.json` are
views of it. Rates are fractions, times are seconds, nothing is rounded, and None stands for what is
not known.
"""

from dataclasses import dataclass
from typing import Any, Literal

from asrbench.analysis.findings import Findings
from asrbench.stats.bootstrap import REPLICATES
from asrbench.stats.record import Comparison, RunRates, System
from asrbench.text.profiles import Unit


@dataclass(frozen=True, kw_only=True)
class StudyRun(RunRates):
    """One trained run under one decoder."""

    seed: int
    run: str
    """The run folder; for folds, the pattern of the folders, which a shell expands."""
    step_seconds: float | None
    """Time of an optimizer step in the fastest epoch that a quiet machine trained.

    None if no epoch is known to be one.
    """
    decoded_by: dict[str, Any] | None = None
    """Versions, commit and machine of the `asrbench eval` that decoded it; None if not known."""


@dataclass(frozen=True)
class SystemCost:
    """The cost of a system; times are means over its runs."""

    parameters: int | None
    step_seconds: float | None
    step_ratio: float | None
    """Time of an optimizer step relative to that of the baseline."""
    memory_gb: float | None
    """Peak memory of the device in training."""
    real_time_factor: float | None
    """Time of decoding over the duration of the audio."""
    decoding_memory_gb: float | None
    """Peak memory of decoding: of the device, or on a CPU of the whole process."""
    flops_per_audio_second: float | None
    """Operations of a forward pass; None for decoders, whose operations are not counted."""


@dataclass(frozen=True)
class Curve:
    """The training history of one run, one value per epoch."""

    seed: int
    epoch: tuple[int, ...]
    dev_cer: tuple[float, ...]
    loss: tuple[float | None, ...]


@dataclass(frozen=True)
class GradientNorms:
    """The gradient norms of one run by layer, one value per epoch."""

    seed: int
    layers: dict[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class StudySystem(System):
    """One system of a study: a variant under one decoder."""

    variant: str
    split: str
    """The split on which it is scored; that of the study, unless it is not comparable."""
    decode: str
    """The decoder: greedy, attention or joint."""
    profile: str
    """Name and version of the scoring profile."""
    runs: tuple[StudyRun, ...]
    shared_seeds: tuple[int, ...]
    """The seeds that the baseline has too."""
    cost: SystemCost
    curves: tuple[Curve, ...]
    gradient_norms: tuple[GradientNorms, ...]


@dataclass(frozen=True)
class CorpusId:
    """The corpus of a study."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class DevSet:
    """The dev set that the curves were scored on."""

    profile: str
    n: int | None
    """Reference characters; None if the runs did not record them."""


@dataclass(frozen=True)
class SpecText:
    """The resolved spec of a run."""

    run: str
    yaml: str


@dataclass(frozen=True)
class RunEnvironment:
    """The contents of a run's `env.json`: versions, device, commit."""

    run: str
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Study(Comparison):
    """The systems on one split, the baseline first, with p-values of their own."""

    title: str
    """Split, corpus, size, profile and seeds in one line."""
    experiment: str
    split: str
    folds: int | None = None
    """Number of folds that together are the test set; None if it is a split of the corpus."""
    profile_words: str
    """Description of what the scoring profile counts."""
    corpus: CorpusId
    dev: DevSet | None
    """The dev set of the curves; None, without curves, if the runs do not share one."""
    seeds: tuple[int, ...]
    systems: tuple[StudySystem, ...]
    not_comparable: tuple[StudySystem, ...]
    """Systems that were scored on another split, corpus, profile or other references."""
    findings: Findings | None
    """Error analysis; None without replicates."""
    legend: tuple[str, ...]
    """Explanations of the columns of the tables."""
    notes: tuple[str, ...]
    """Remarks that a reader must know before interpreting the differences."""
    damaged: tuple[str, ...] = ()
    """The fault of each run that is left out because one of its files cannot be read."""
    environments: tuple[RunEnvironment, ...]
    specs: tuple[SpecText, ...]
    commands: tuple[str, ...]
    """Commands that reproduce the study from its run folders."""

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes as they are printed, the runs that are left out as damaged first."""
        left_out = (f"left out, because a file is damaged: {fault}" for fault in self.damaged)
        return (*left_out, *self.notes)

    @property
    def all_systems(self) -> tuple[StudySystem, ...]:
        """All systems, those that are not comparable at the end."""
        return (*self.systems, *self.not_comparable)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `asrbench compare` was asked for; None stands for the default that its help names."""

    baseline: str | None = None
    splits: tuple[str, ...] = ()
    """The splits to compare; without one, every evaluation split that is scored."""
    profile: str | None = None
    unit: Unit = "character"
    replicates: int = REPLICATES
    seed: int = 0
    """The seed of the bootstrap."""
    margin: float | None = None
    """The largest difference that does not matter, in points."""
    controls: tuple[str, ...] = ()
    """Variants that are no part of the family that p-values are corrected for."""
    systems: tuple[str, ...] | None = None
    """Labels of the only rows that are compared, whatever their searches are."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """The record of a comparison, which `study.json` holds: one study for each split."""

    version: Literal[3] = 3
    settings: Settings
    files: tuple[str, ...] = ()
    """Names of the files that were written together. The next comparison in their folder deletes
    those that it does not write itself."""
    studies: tuple[Study, ...]

    @property
    def damaged(self) -> tuple[str, ...]:
        """The fault of each run that a study lacks."""
        return tuple(dict.fromkeys(fault for study in self.studies for fault in study.damaged))

    @classmethod
    def from_json(cls, text: str) -> "Analysis":
        """Reads the text of `study.json`.

        Raises `pydantic.ValidationError`, a `ValueError`, for another version or for anything else
        that is not an analysis.
        """
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_json(text)
