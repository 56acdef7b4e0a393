"""The record of a comparison: systems on one test set, their rates, differences and verdicts.

Rates and differences are fractions; nothing is rounded. `asrbench score --json` prints it, and the
record of a study (`asrbench.report.study`) extends it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from asrbench.base.records import field_values
from asrbench.stats.bootstrap import CriticalDifference, Difference, Interval
from asrbench.stats.exact import McNemar, Permutation
from asrbench.stats.mapsswe import Mapsswe
from asrbench.stats.verdicts import Judgement, Verdict
from asrbench.text.profiles import Unit


@dataclass(frozen=True, kw_only=True)
class RunRates:
    """The error rates of one run, and its edits in the unit compared."""

    rate: float
    """Error rate in the unit compared: `cer` or `wer`."""
    cer: float
    wer: float
    swer: float
    """WER with the spacing of the reference."""
    jer: float
    """CER with each Hangul syllable as its jamo."""
    substitutions: int
    deletions: int
    insertions: int
    n: int
    """Reference symbols in the unit compared."""
    failure: str | None
    """The reason why the run counts as not trained; None if it is trained."""


@dataclass(frozen=True)
class PairTests:
    """Further tests of one system against the baseline; they hold for the trained models only.

    Errors are summed over several runs. If one system has three runs and the other one, the errors
    of the other count three times.
    """

    mapsswe_words: Mapsswe
    mapsswe_characters: Mapsswe
    permutation: Permutation
    mcnemar: McNemar
    """An utterance counts as right if more than half of the runs have no error in it."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One system: its rates averaged over its runs, and its difference to the baseline."""

    label: str
    is_control: bool
    """Controls ask another question than the variants, and are no part of Holm's family."""
    trained: bool
    """False if one of its runs is not trained."""
    rate: float
    """Error rate in the unit compared: `cer` or `wer`."""
    cer: float
    wer: float
    swer: float
    jer: float
    interval: Interval | None
    """95 % interval of `rate`; None without replicates, without an error, or with a single block
    to draw from."""
    spread: float | None
    """Sample standard deviation of `rate` over runs; None for a single run."""
    substitutions: int
    """Edits in the unit compared; this and the next three are sums over runs."""
    deletions: int
    insertions: int
    n: int
    runs: tuple[RunRates, ...]
    difference: Difference | None
    """Difference to the baseline; None for the baseline and where nothing could be compared."""
    tests: PairTests | None
    judgement: Judgement | None

    @property
    def verdict(self) -> Verdict | None:
        return None if self.judgement is None else self.judgement.verdict

    @property
    def reason(self) -> str:
        """The reason of the verdict in words; empty without a verdict."""
        return "" if self.judgement is None else self.judgement.reason


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Systems on one test set, the baseline first."""

    profile: str
    """Name and version of the scoring profile."""
    unit: Unit
    """The unit in which systems are compared."""
    utterances: int
    n: int
    """Reference symbols in `unit`."""
    speakers: int | None
    """Number of speakers; None if they are not known."""
    replicates: int
    """Number of bootstrap replicates."""
    baseline: str
    """Label of the baseline."""
    systems: tuple[System, ...]
    family: int
    """Number of variants whose p-values are corrected together."""
    margin: float | None
    """The largest difference of rates that the study takes for none; None if it states none."""
    critical: CriticalDifference | None
    """The critical difference of the variants, without the baseline: of those with three runs or
    more, or, if there are none, of those with one. None for fewer than two of them."""
    statement: str
    """The critical difference in words; empty without one."""


@dataclass(frozen=True, kw_only=True)
class ScoreReport(Comparison):
    """The JSON that `asrbench score --json` prints."""

    version: Literal[2] = 2
    """Version of the JSON."""
    references: str
    """The file of the references."""
    notes: tuple[str, ...]

    @classmethod
    def of(cls, found: Comparison, references: str, notes: Iterable[str]) -> "ScoreReport":
        return cls(**field_values(found), references=references, notes=tuple(notes))
