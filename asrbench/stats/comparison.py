"""Compares systems on one test set, from their counted runs: rates, differences and verdicts.

docs/statistics.md says what each figure means.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import lcm
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt

from asrbench.base.formatting import percent
from asrbench.scoring.counted_text import CountedTexts, Texts, refuse_empty
from asrbench.scoring.run_rates import MEASURE_OF, MEASURES, CountedRun
from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import (
    REPLICATES,
    Bootstrap,
    CriticalDifference,
    Scope,
    bootstrap,
)
from asrbench.stats.edit_alignment import EditAlignment, Tokens, align
from asrbench.stats.exact import exchange_blocks, mcnemar
from asrbench.stats.mapsswe import CHARACTER_BUFFER, WORD_BUFFER, mapsswe
from asrbench.stats.record import Comparison, PairTests, RunRates, System
from asrbench.stats.verdicts import (
    Evidence,
    Judgement,
    SplitSize,
    Verdict,
    judge,
    undecidable,
)
from asrbench.text.profiles import PROFILES, Unit

FEWEST_BLOCKS = 2
"""Fewer blocks have no interval."""

Runs = Mapping[str, Sequence[CountedRun]]
"""The counted runs of each system, by label."""


def compare_runs(
    references: Texts,
    runs: Runs,
    *,
    baseline: str | None = None,
    profile: str = "verbatim",
    unit: Unit = "character",
    speakers: Sequence[Hashable] | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
    tests: bool = True,
    incomparable: Mapping[str, str] | None = None,
    controls: Collection[str] = (),
    margin: float | None = None,
    where: object = "the references",
) -> Comparison:
    """Compares systems whose runs `scoring.run_rates.runs_of` has counted with the references.

    Without `baseline` the first system is the baseline. With `speakers`, one per utterance, the
    bootstrap draws speakers. `replicates` of 0 gives the rates alone; `tests` of False leaves out
    the tests beside the bootstrap. Systems in `incomparable`, each with its reason, and `controls`
    are not part of the family. With `margin`, a rate, systems can be found equivalent. Raises
    `UserError` that begins with `where` if the references have no symbol.
    """
    first = next(iter(runs)) if baseline is None else baseline
    expected = runs[first][0].references
    refuse_empty(expected, profile, where)
    labels = [first, *(label for label in runs if label != first)]
    runs = {label: runs[label] for label in labels}
    n_U = runs[first][0].edits.n_U
    systems = [
        _system(label, each, unit, is_control=label in controls) for label, each in runs.items()
    ]
    known = None if speakers is None else len(set(speakers))
    critical = None
    if replicates and len(references) >= FEWEST_BLOCKS:
        # One speaker cannot be drawn. There is no verdict then, but an interval over utterances.
        blocks = Blocks.of(n_U, None if known == 1 else speakers)
        errors = [np.stack([run.edits.errors_U for run in each]) for each in runs.values()]
        trained = [k for k, system in enumerate(systems) if system.trained]
        drawn = bootstrap(blocks, errors, replicates, seed, trained)
        systems, critical = _judged(
            systems, SplitSize(blocks, known), drawn, incomparable or {}, margin
        )
        if tests:
            systems = _tested(systems, expected, runs, blocks, errors)
    return Comparison(
        profile=str(PROFILES[profile]),
        unit=unit,
        utterances=len(references),
        n=int(n_U.sum()),
        speakers=known,
        replicates=replicates,
        baseline=first,
        systems=tuple(systems),
        family=sum(s.difference is not None and not s.is_control for s in systems),
        margin=margin,
        critical=critical,
        statement="" if critical is None else _statement(systems, critical),
    )


def _system(label: str, runs: Sequence[CountedRun], unit: Unit, *, is_control: bool) -> System:
    """Returns the rates of a system, before anything is compared."""
    records = tuple(_run_rates(run) for run in runs)
    rates = [run.rate for run in records]

    def mean(measure: str) -> float:
        return fmean(run.rates[measure] for run in runs)

    return System(
        label=label,
        is_control=is_control,
        trained=all(run.failure is None for run in records),
        rate=mean(MEASURE_OF[unit]),
        **{name: mean(measure) for name, measure in MEASURES.items()},
        interval=None,
        spread=stdev(rates) if len(rates) > 1 else None,
        substitutions=sum(run.substitutions for run in records),
        deletions=sum(run.deletions for run in records),
        insertions=sum(run.insertions for run in records),
        n=sum(run.n for run in records),
        runs=records,
        difference=None,
        tests=None,
        judgement=None,
    )


def _run_rates(run: CountedRun) -> RunRates:
    return RunRates(
        rate=run.counts.rate,
        **{name: run.rates[measure] for name, measure in MEASURES.items()},
        substitutions=run.counts.substitutions,
        deletions=run.counts.deletions,
        insertions=run.counts.insertions,
        n=run.counts.n,
        failure=run.failure,
    )


# Verdicts


def _judged(
    systems: Sequence[System],
    size: SplitSize,
    drawn: Bootstrap,
    incomparable: Mapping[str, str],
    margin: float | None,
) -> tuple[list[System], CriticalDifference | None]:
    """Adds intervals, differences and verdicts; returns the critical difference of the variants."""
    baseline, others = systems[0], systems[1:]
    untrained = {
        system.label: _first_failure(system)
        for system in others
        if not system.trained and system.label not in incomparable
    }
    reasons = dict(incomparable)
    if not baseline.trained:
        reason = f"the baseline {baseline.label} is not trained: {_first_failure(baseline)}"
        reasons |= {
            s.label: reason for s in others if s.label not in untrained and s.label not in reasons
        }
    out = untrained.keys() | reasons.keys()
    compared = [k for k, system in enumerate(systems) if k and system.label not in out]
    evidence = {
        systems[k].label: Evidence(
            drawn.difference(k, 0),
            (len(systems[k].runs), len(baseline.runs)),
            None if margin is None else drawn.equivalence(k, 0, margin),
            systems[k].is_control,
        )
        for k in compared
    }
    judgements = judge(evidence, size, untrained, reasons)
    if not baseline.trained:
        judgements[baseline.label] = Judgement(Verdict.NOT_TRAINED, _first_failure(baseline))
    judged = [
        replace(
            system,
            interval=drawn.rate(k).interval,
            difference=evidence[system.label].difference if system.label in evidence else None,
            judgement=judgements.get(system.label),
        )
        for k, system in enumerate(systems)
    ]
    return judged, _critical(systems, compared, size, drawn)


def _critical(
    systems: Sequence[System], compared: Sequence[int], size: SplitSize, drawn: Bootstrap
) -> CriticalDifference | None:
    """Returns the critical difference of the variants that can be judged.

    The baseline has no part in it, because on each variant and the baseline there is a verdict, and
    two procedures could disagree.
    """
    seeds = {k: len(systems[k].runs) for k in compared}
    decided = [k for k in compared if undecidable([seeds[k]], size.speakers) is None]
    # A single run would take training variance out of the statement for all.
    chosen = [k for k in decided if seeds[k] > 1] or decided
    return drawn.critical(chosen) if len(chosen) > 1 else None


def _first_failure(system: System) -> str:
    count = len(system.runs)
    return next(
        (f"run {i} of {count}: " if count > 1 else "") + run.failure
        for i, run in enumerate(system.runs, start=1)
        if run.failure is not None
    )


def _statement(systems: Sequence[System], critical: CriticalDifference) -> str:
    """Returns the critical difference in words."""
    included = {k for group in critical.groups for k in group}
    left_out = [
        system.label
        for k, system in enumerate(systems)
        if k not in included and system.difference is not None
    ]
    groups = [
        ", ".join(systems[k].label for k in group) for group in critical.groups if len(group) > 1
    ]
    limits = ", these trained models only" if critical.scope is Scope.MODELS else ""
    if left_out:
        limits += f", without {', '.join(left_out)} (too few seeds)"
    return (
        f"Among the variants{limits}: two of them differ if their rates differ by more "
        f"than {percent(critical.difference)} points. "
        f"Groups in which no two differ: {'; '.join(groups) or 'none'}"
    )


# Further tests


def _tested(
    systems: Sequence[System],
    references: CountedTexts,
    runs: Runs,
    blocks: Blocks,
    errors: Sequence[npt.NDArray[np.int64]],
) -> list[System]:
    """Adds the further tests to every system that has a difference."""
    chosen = [0, *(k for k, system in enumerate(systems) if system.difference is not None)]
    if len(chosen) < 2:
        return list(systems)
    forms = [[run.run_edits.hypotheses for run in runs[systems[k].label]] for k in chosen]
    words = _aligned(references.words, [[each.words for each in system] for system in forms])
    characters = _aligned(
        references.characters, [[each.characters for each in system] for system in forms]
    )
    right_KU = [2 * (each == 0).sum(axis=0) > len(each) for each in errors]
    tested = list(systems)
    for row, k in enumerate(chosen[1:], start=1):
        tests = PairTests(
            mapsswe(words, row, 0, WORD_BUFFER),
            mapsswe(characters, row, 0, CHARACTER_BUFFER),
            exchange_blocks(blocks, errors[k], errors[0]),
            mcnemar(right_KU[k], right_KU[0]),
        )
        tested[k] = replace(systems[k], tests=tests)
    return tested


def _aligned(
    references: Sequence[Tokens], systems: Sequence[Sequence[Sequence[Tokens]]]
) -> EditAlignment:
    """Returns an edit alignment with one row per system: the summed errors of its runs.

    The sums are multiplied so that every system counts as many runs. With one run each the
    alignment is sclite's.
    """
    common = lcm(*map(len, systems))

    def row(runs: Sequence[Sequence[Tokens]]) -> EditAlignment:
        alignment = align(references, runs)
        errors_RL = alignment.errors_RL.sum(axis=0, keepdims=True) * (common // len(runs))
        return replace(alignment, errors_RL=errors_RL)

    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(row, systems))
    return replace(rows[0], errors_RL=np.concatenate([each.errors_RL for each in rows]))
