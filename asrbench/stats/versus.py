"""Systems on one test set: their rates, their differences to a baseline, and a verdict on each.

One function makes all of it from texts alone, whoever recognised them. docs/statistics.md says what
each figure means.
"""

from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, replace
from math import lcm
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from asrbench.scoring.rates import MEASURE_OF, MEASURES, Run, runs_of
from asrbench.scoring.score import ErrorCounts, Forms, Texts, refuse_empty
from asrbench.stats.alignment import Alignment, Tokens, align
from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import (
    REPLICATES,
    Bootstrap,
    Critical,
    Difference,
    Rate,
    Scope,
    bootstrap,
)
from asrbench.stats.exact import McNemar, Permutation, exchange_blocks, mcnemar
from asrbench.stats.mapsswe import CHARACTER_BUFFER, WORD_BUFFER, Mapsswe, mapsswe
from asrbench.stats.verdicts import Judgement, Verdict, judge
from asrbench.text.profiles import PROFILES, Unit

FEWEST_BLOCKS = 2
"""Of fewer there is no interval."""


@dataclass(frozen=True)
class Tests:
    """Further tests of one pair, all of which speak of the trained models only.

    Over several runs, errors are summed: where a system had three runs and the other one, those of
    the other count three times.
    """

    word: Mapsswe
    character: Mapsswe
    permutation: Permutation
    mcnemar: McNemar
    """An utterance is right where more than half of the runs have no error in it."""


@dataclass(frozen=True)
class System:
    """What is known of one system. Rates are fractions, means over its runs."""

    label: str
    unit: Unit
    runs: tuple[Run, ...]
    rate: Rate | None
    """None without replicates, or a test set to draw them from."""
    difference: Difference | None = None
    """To the baseline; None for itself, and where nothing could be compared."""
    tests: Tests | None = None
    judgement: Judgement | None = None

    @property
    def trained(self) -> bool:
        return all(run.failure is None for run in self.runs)

    def counts_of(self, measure: str) -> ErrorCounts:
        """Edits summed over runs, and N as often, so that their rate is the mean. `measure` is one
        of `characters`, `jamo`, `words` and `spaced_words`."""
        each = [astuple(run.counts_of(measure)) for run in self.runs]
        return ErrorCounts(*map(sum, zip(*each, strict=True)))

    @property
    def spread(self) -> float | None:
        """Sample standard deviation of the rate in `unit` over runs; None for one."""
        rates = [run.counts.rate for run in self.runs]
        return stdev(rates) if len(rates) > 1 else None

    def mean(self, measure: str) -> float:
        """Of an error rate, named as in `counts_of`."""
        return fmean(run.rates[measure] for run in self.runs)

    def plain(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "trained": self.trained,
            "rate": self.mean(MEASURE_OF[self.unit]),
            **{name: self.mean(measure) for name, measure in MEASURES.items()},
            "interval": None if self.rate is None else _ends(self.rate),
            "spread": self.spread,
            **self.counts_of(MEASURE_OF[self.unit]).plain(),
            "runs": [run.plain() for run in self.runs],
            "difference": self._plain_difference(),
            "verdict": None if self.judgement is None else self.judgement.verdict.value,
            "reason": "" if self.judgement is None else self.judgement.reason,
        }

    def _plain_difference(self) -> dict[str, Any] | None:
        difference, judged = self.difference, self.judgement
        if difference is None or judged is None:
            return None
        later = judged.outlook
        return {
            "delta": difference.delta,
            "interval": _ends(difference),
            "relative": difference.relative,
            "improvement_probability": difference.improvement_probability,
            "p": difference.p,
            "holm_p": judged.holm_p,
            **_plain_tests(self.tests),
            "smallest_difference": judged.smallest,
            "more_seeds": None if later is None else later.seeds,
            "more_utterances": None if later is None else later.utterances,
            "verdict": judged.verdict.value,
        }


@dataclass(frozen=True)
class Comparison:
    """Systems on one test set, the baseline first."""

    profile: str
    unit: Unit
    utterances: int
    n: int
    """Reference symbols in `unit`."""
    speakers: int | None
    """None if they are not known."""
    replicates: int
    systems: tuple[System, ...]
    critical: Critical | None
    """Over all that were trained, where those are more than two: over those trained twice or more,
    where these are. Numbers are those of `systems`."""

    @property
    def baseline(self) -> System:
        return self.systems[0]

    @property
    def statement(self) -> str:
        """The critical difference in words; empty without one."""
        if self.critical is None:
            return ""
        groups = [
            ", ".join(self.systems[k].label for k in group)
            for group in self.critical.groups
            if len(group) > 1
        ]
        as_trained = ", as they are trained" if self.critical.scope is Scope.MODELS else ""
        said = {k for group in self.critical.groups for k in group}
        once = [
            system.label
            for k, system in enumerate(self.systems)
            if k not in said and system.difference is not None
        ]
        without = f", but for {', '.join(once)} of one seed" if once else ""
        return (
            f"of all systems at once{as_trained}{without}, two that are more than "
            f"{100 * self.critical.difference:.2f} points apart differ; not told apart: "
            f"{'; '.join(groups) or 'none'}"
        )

    def plain(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        return {
            "format": 1,
            "profile": self.profile,
            "unit": self.unit,
            "utterances": self.utterances,
            "n": self.n,
            "speakers": self.speakers,
            "replicates": self.replicates,
            "baseline": self.baseline.label,
            "statement": self.statement,
            "systems": [system.plain() for system in self.systems],
        }


def compared(
    references: Texts,
    systems: Mapping[str, Sequence[Texts]],
    *,
    baseline: str | None = None,
    profile: str = "verbatim",
    unit: Unit = "character",
    speakers: Sequence[Hashable] | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
    tests: bool = True,
    incomparable: Mapping[str, str] | None = None,
    where: object = "the references",
) -> Comparison:
    """Holds the hypotheses of each system, a list a run, against the references.

    `baseline` is the first system unless named. With `speakers`, one an utterance, they are what
    the test set is drawn from. `replicates` of 0 leaves rates alone, `tests` being false the tests
    beside the bootstrap. `incomparable` systems, each with its reason, are no part of the family.
    Raises `UserError` without a reference symbol, beginning with `where`, and for a single speaker.
    """
    expected = Forms.of(references, profile)
    refuse_empty(expected, profile, where)
    first = next(iter(systems)) if baseline is None else baseline
    labels = [first, *(label for label in systems if label != first)]
    runs = runs_of(references, systems, profile, unit)
    n_U = runs[first][0].edits.n_U
    blocks = None
    if replicates and (speakers is not None or len(references) >= FEWEST_BLOCKS):
        blocks = Blocks.of(n_U, speakers)
    rows, critical = [System(label, unit, runs[label], None) for label in labels], None
    if blocks is not None:
        errors = [np.stack([run.edits.errors_U for run in runs[label]]) for label in labels]
        boot = bootstrap(blocks, errors, replicates, seed)
        rows, critical = _judged(rows, blocks, boot, incomparable or {})
        if tests:
            rows = _tested(rows, expected, blocks, errors)
    return Comparison(
        str(PROFILES[profile]),
        unit,
        len(references),
        int(n_U.sum()),
        None if speakers is None else len(set(speakers)),
        replicates,
        tuple(rows),
        critical,
    )


# Verdicts


def _judged(
    systems: Sequence[System], blocks: Blocks, boot: Bootstrap, incomparable: Mapping[str, str]
) -> tuple[list[System], Critical | None]:
    """With rates, differences and verdicts; and the critical difference of those in the family."""
    baseline, others = systems[0], systems[1:]
    untrained = {
        system.label: _why(system)
        for system in others
        if not system.trained and system.label not in incomparable
    }
    reasons = dict(incomparable)
    if not baseline.trained:
        reason = f"the baseline {baseline.label} is not trained: {_why(baseline)}"
        reasons |= {
            s.label: reason for s in others if s.label not in untrained and s.label not in reasons
        }
    out = untrained.keys() | reasons.keys()
    family = [k for k, system in enumerate(systems) if k and system.label not in out]
    differences = {systems[k].label: boot.difference(k, 0) for k in family}
    verdicts = judge(differences, blocks, untrained, reasons)
    if not baseline.trained:
        verdicts[baseline.label] = Judgement(Verdict.NOT_TRAINED, _why(baseline))
    rows = [
        replace(
            system,
            rate=boot.rate(k),
            difference=differences.get(system.label),
            judgement=verdicts.get(system.label),
        )
        for k, system in enumerate(systems)
    ]
    # One system that was trained once would take luck out of the statement for all.
    repeated = [k for k in (0, *family) if len(systems[k].runs) > 1]
    at_once = repeated if len(repeated) > 2 else [0, *family]
    return rows, boot.critical(at_once) if len(at_once) > 2 else None


def _why(system: System) -> str:
    """The first failure of its runs."""
    count = len(system.runs)
    return next(
        (f"run {i} of {count}: " if count > 1 else "") + run.failure
        for i, run in enumerate(system.runs, start=1)
        if run.failure is not None
    )


# Further tests


def _tested(
    systems: Sequence[System],
    references: Forms,
    blocks: Blocks,
    errors: Sequence[npt.NDArray[np.int64]],
) -> list[System]:
    """With the tests of every pair that has a difference."""
    chosen = [0, *(k for k, system in enumerate(systems) if system.difference is not None)]
    if len(chosen) < 2:
        return list(systems)
    runs = [[run.measures.hypotheses for run in systems[k].runs] for k in chosen]
    words = _aligned(references.words, [[each.words for each in system] for system in runs])
    characters = _aligned(
        references.characters, [[each.characters for each in system] for system in runs]
    )
    right_KU = [2 * (each == 0).sum(axis=0) > len(each) for each in errors]
    tested = list(systems)
    for row, k in enumerate(chosen[1:], start=1):
        tests = Tests(
            mapsswe(words, row, 0, WORD_BUFFER),
            mapsswe(characters, row, 0, CHARACTER_BUFFER),
            exchange_blocks(blocks, errors[k], errors[0]),
            mcnemar(right_KU[k], right_KU[0]),
        )
        tested[k] = replace(systems[k], tests=tests)
    return tested


def _aligned(
    references: Sequence[Tokens], systems: Sequence[Sequence[Sequence[Tokens]]]
) -> Alignment:
    """An alignment with a row a system: the errors of its runs summed, times what makes up for
    another having more of them. With one run each it is sclite's."""
    common = lcm(*map(len, systems))

    def row(runs: Sequence[Sequence[Tokens]]) -> Alignment:
        alignment = align(references, runs)
        errors_RL = alignment.errors_RL.sum(axis=0, keepdims=True) * (common // len(runs))
        return Alignment(errors_RL, alignment.utterance_L, alignment.begin_L, alignment.end_L)

    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(row, systems))
    first = rows[0]
    errors_RL = np.concatenate([each.errors_RL for each in rows])
    return Alignment(errors_RL, first.utterance_L, first.begin_L, first.end_L)


# As plain data


def _plain_tests(tests: Tests | None) -> dict[str, Any]:
    if tests is None:
        return {"mapsswe": None, "permutation_p": None, "mcnemar_p": None}
    each = {"word": tests.word, "character": tests.character}
    figures = ("z", "p", "segments")
    return {
        "mapsswe": {
            unit: {name: asdict(found)[name] for name in figures} for unit, found in each.items()
        },
        "permutation_p": tests.permutation.p,
        "mcnemar_p": tests.mcnemar.p,
    }


def _ends(of: Rate | Difference) -> list[float]:
    return [of.interval.low, of.interval.high]
