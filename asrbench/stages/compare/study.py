"""Computes the studies of a comparison from scored runs, and writes them with all views."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asrbench.analysis.findings import Findings, analyse
from asrbench.base.errors import UserError, pick
from asrbench.base.files import write_text
from asrbench.base.folders import atomic_files, delete_with
from asrbench.base.records import field_values, read_record, to_json
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import GREEDY
from asrbench.report import paper as papers
from asrbench.report import tables
from asrbench.report.plots import study as plots_study
from asrbench.report.study import (
    Analysis,
    CorpusId,
    Curve,
    DevSet,
    GradientNorms,
    RunEnvironment,
    Settings,
    SpecText,
    Study,
    StudyRun,
    StudySystem,
    SystemCost,
)
from asrbench.scoring.results import ScoredSystem, contradiction, mean_of
from asrbench.scoring.run_rates import runs_of, untrained_fold
from asrbench.stages.compare import words
from asrbench.stages.compare.selection import Selection, select, select_all
from asrbench.stats.bootstrap import REPLICATES
from asrbench.stats.comparison import Runs, compare_runs
from asrbench.stats.record import Comparison, System
from asrbench.stats.verdicts import Judgement, Verdict
from asrbench.text.profiles import Unit


def analysis_of(paths: Iterable[Path], settings: Settings) -> Analysis:
    """Compares the scored runs at or below `paths`, with a study for each split.

    `select_all` and `compare_selection` explain the settings and the errors.
    """
    selections = select_all(
        paths, settings.baseline, settings.splits, settings.profile, settings.systems
    )
    studies = [
        compare_selection(
            selection,
            unit=settings.unit,
            replicates=settings.replicates,
            seed=settings.seed,
            margin=settings.margin,
            controls=settings.controls,
        )
        for selection in selections
    ]
    return Analysis(settings=settings, studies=tuple(studies))


def study_of(
    paths: Iterable[Path],
    baseline: str | None = None,
    split: str | None = None,
    profile: str | None = None,
    unit: Unit = "character",
    replicates: int = REPLICATES,
    seed: int = 0,
    margin: float | None = None,
    controls: Collection[str] = (),
    systems: Collection[str] | None = None,
) -> Study:
    """Compares the scored runs at or below `paths` on one split.

    `select` explains `baseline`, `split`, `profile` and the labels `systems`; the bootstrap draws
    `replicates` from `seed`, and none of them gives the rates alone. `margin`, in points, and the
    variants `controls` are explained by `compare_selection`. Raises `UserError` for runs that
    cannot be read or must not be averaged.
    """
    selection = select(paths, baseline, split, profile, systems)
    return compare_selection(
        selection, unit=unit, replicates=replicates, seed=seed, margin=margin, controls=controls
    )


def compare_selection(
    selection: Selection,
    *,
    unit: Unit = "character",
    replicates: int = REPLICATES,
    seed: int = 0,
    margin: float | None = None,
    controls: Collection[str] = (),
) -> Study:
    """Compares the selected runs.

    The bootstrap draws speakers if the speaker of every utterance is known, otherwise utterances.
    Variants whose rate differs by less than `margin` points can be found equivalent; without it,
    the margin is that of the specs. Variants whose models the registry knows as controls, and those
    named in `controls`, are no part of the family that p-values are corrected for.
    """
    margin = _margin(selection) if margin is None else margin
    if margin is not None and not 0 < margin < math.inf:
        raise UserError(f"--margin: found {margin:g}, allowed: a number of points above zero")
    control_labels = _controls(selection, controls)

    def compared(systems: Sequence[ScoredSystem], runs: Runs) -> Comparison:
        """Compares systems on the test set of the first."""
        first = systems[0].runs[0]
        return compare_runs(
            first.test_set.references,
            runs,
            profile=first.profile.name,
            unit=unit,
            speakers=first.test_set.speakers,
            replicates=replicates,
            seed=seed,
            incomparable=dict(_incomparable(systems, selection.across_searches)),
            controls=control_labels,
            margin=None if margin is None else margin / 100,
            where=first.run,
        )

    counted_runs = _counted_runs(selection.systems, unit)
    comparison = compared(selection.systems, counted_runs)
    dev = None if selection.folds else _dev_set(selection)
    systems = [
        _study_system(record, scored, selection.baseline, with_curves=dev is not None)
        for record, scored in zip(comparison.systems, selection.systems, strict=True)
    ]
    not_comparable = []
    for scored, reason in selection.not_comparable:
        (record,) = compared([scored], _counted_runs([scored], unit)).systems
        record = replace(record, judgement=Judgement(Verdict.NOT_COMPARABLE, reason))
        not_comparable.append(_study_system(record, scored, selection.baseline))
    runs = [
        folder.run
        for system in selection.all_systems
        for run in system.runs
        for folder in run.folders
    ]
    contradictions = _contradictions(selection.all_systems, [*systems, *not_comparable])
    shared = field_values(comparison) | {"systems": tuple(systems)}
    return Study(
        **shared,
        title=words.title(selection, comparison),
        experiment=selection.baseline.runs[0].run.cell.experiment,
        split=selection.split,
        folds=selection.folds,
        profile_words=selection.profile.words,
        corpus=CorpusId(selection.corpus, selection.fingerprint),
        dev=dev,
        seeds=selection.seeds,
        not_comparable=tuple(not_comparable),
        findings=_findings(selection, systems, counted_runs, replicates) if replicates else None,
        legend=tuple(words.legend(selection, comparison)),
        notes=(*selection.notes, *contradictions),
        damaged=selection.damaged,
        environments=tuple(RunEnvironment(str(run), run.env) for run in runs),
        specs=tuple(SpecText(str(run), run.spec_text) for run in runs),
        commands=tuple(words.commands(selection)),
    )


def _margin(selection: Selection) -> float | None:
    """Returns the margin that the specs of the runs state, in points."""
    runs = [run.run for system in selection.systems for run in system.runs]
    stated = {run.cell.compare.margin: run for run in runs}
    if len(stated) > 1:
        found = " and ".join(
            f"{'no margin' if margin is None else f'{margin:g}'} ({run})"
            for margin, run in stated.items()
        )
        raise UserError(f"compare.margin: found {found}; choose one with --margin")
    return next(iter(stated))


def _controls(selection: Selection, named: Collection[str]) -> set[str]:
    """Returns the labels of the systems that are controls."""
    systems = selection.systems[1:]
    for name in named:
        pick("--control", name, [system.variant for system in systems])
    return {
        system.label
        for system in systems
        if system.variant in named or _is_control(system.runs[0].run.cell.model.name)
    }


def _is_control(model: str) -> bool:
    return model in MODELS and MODELS[model].control_of is not None


def _counted_runs(systems: Sequence[ScoredSystem], unit: Unit) -> Runs:
    """Counts the errors of every run on the test set of the first.

    A run counts as not trained if one of its folds is not.
    """
    first = systems[0].runs[0]
    references = first.test_set.references
    found = runs_of(
        references,
        {system.label: [run.hypotheses for run in system.runs] for system in systems},
        first.profile.name,
        unit,
        first.test_set.other_side,
    )
    return {
        system.label: [
            replace(counts, failure=untrained_fold(counts, references, run.folds) or counts.failure)
            for run, counts in zip(system.runs, found[system.label], strict=True)
        ]
        for system in systems
    }


def _dev_set(selection: Selection) -> DevSet | None:
    """Returns the dev set of all runs; None if they were scored on several."""
    folders = [
        folder for system in selection.systems for run in system.runs for folder in run.folders
    ]
    first, *others = {(folder.dev_profile, folder.dev_n) for folder in folders}
    return None if others else DevSet(*first)


def _findings(
    selection: Selection, systems: Sequence[StudySystem], runs: Runs, replicates: int
) -> Findings:
    test_set, baseline = selection.systems[0].runs[0].test_set, selection.baseline.label
    references = runs[baseline][0].references
    return analyse(
        test_set.ids,
        references.characters,
        {
            label: [run.run_edits.hypotheses.characters for run in each]
            for label, each in runs.items()
        },
        baseline,
        words=references.worded,
        durations_s=test_set.seconds,
        speakers=test_set.speakers,
        in_train=test_set.in_train,
        replicates=replicates,
        untrained=[system.label for system in systems if not system.trained],
        incomparable=[
            label for label, _ in _incomparable(selection.systems, selection.across_searches)
        ],
    )


def _incomparable(
    systems: Sequence[ScoredSystem], across_searches: bool
) -> Iterator[tuple[str, str]]:
    """Yields each system that differs from the baseline in more than the model, and the reason.

    With `across_searches` the search counts as a part of the system.
    """
    baseline = systems[0]
    expected = baseline.runs[0].run.cell.train
    for system in systems[1:]:
        found = system.runs[0].run.cell.train
        if system.decode != baseline.decode and not across_searches:
            yield (
                system.label,
                f"another decoder: {system.decode}, where {baseline.label} has {baseline.decode}; "
                f"--system '{system.label}' compares them with their searches",
            )
        elif found.batch_seconds != expected.batch_seconds:
            yield (
                system.label,
                f"another order of batches: train.batch_seconds is {found.batch_seconds:g}, not "
                f"{expected.batch_seconds:g}",
            )
        elif found.weights != expected.weights:
            yield (
                system.label,
                f"another rule for the weights: it is tested with {found.tested_weights}, "
                f"{baseline.label} with {expected.tested_weights}",
            )


# Systems


def _study_system(
    record: System, scored: ScoredSystem, baseline: ScoredSystem, *, with_curves: bool = True
) -> StudySystem:
    """Adds to the figures of a system what its run folders know."""
    runs = tuple(
        StudyRun(
            **field_values(figures),
            seed=run.seed,
            run=run.name,
            step_seconds=run.step_seconds,
            decoded_by=run.environment,
        )
        for run, figures in zip(scored.runs, record.runs, strict=True)
    )
    shared = field_values(record) | {"runs": runs}
    return StudySystem(
        **shared,
        variant=scored.variant,
        split=scored.runs[0].split,
        decode=scored.decode,
        profile=str(scored.runs[0].profile),
        shared_seeds=tuple(seed for seed in scored.seeds if seed in baseline.seeds),
        cost=_cost(scored, baseline),
        curves=tuple(_curves(scored)) if with_curves else (),
        gradient_norms=tuple(_gradient_norms(scored)),
    )


def _cost(system: ScoredSystem, baseline: ScoredSystem) -> SystemCost:
    memory = [run.peak_memory_gb for run in system.runs if run.peak_memory_gb is not None]
    decoding = [run.decoding_memory_gb for run in system.runs if run.decoding_memory_gb is not None]
    # The operations of other decoders are not counted, and are most of their cost.
    greedy = [run for run in system.runs if run.decode == GREEDY]
    return SystemCost(
        parameters=system.runs[0].parameters,
        step_seconds=system.step_seconds,
        step_ratio=system.step_ratio(baseline),
        memory_gb=max(memory, default=None),
        real_time_factor=mean_of(run.real_time_factor for run in system.runs),
        decoding_memory_gb=max(decoding, default=None),
        flops_per_audio_second=mean_of(run.flops_per_audio_second for run in greedy),
    )


def _curves(system: ScoredSystem) -> Iterator[Curve]:
    """Yields the curves of runs that are decoded as their dev CERs were; others have none.

    Neither have folds, because each has another dev set.
    """
    for run in system.runs:
        if run.decode == run.dev_search and not run.folds and (history := run.folders[0].history):
            yield Curve(
                run.seed,
                tuple(row["epoch"] for row in history),
                tuple(row["dev_cer"] for row in history),
                tuple(row.get("loss") for row in history),
            )


def _gradient_norms(system: ScoredSystem) -> Iterator[GradientNorms]:
    """Yields the gradient norms of every run, or of every fold of it."""
    for folder in (folder for run in system.runs for folder in run.folders):
        norms = [row.get("layer_gradient_norms") or {} for row in folder.history]
        if norms and all(norms):
            layers = {layer: tuple(row[layer] for row in norms) for layer in norms[0]}
            yield GradientNorms(folder.run.cell.seed, layers)


def _contradictions(
    scored: Sequence[ScoredSystem], systems: Sequence[StudySystem]
) -> Iterator[str]:
    for source, system in zip(scored, systems, strict=True):
        for run, figures in zip(source.runs, system.runs, strict=True):
            if note := contradiction(run, figures.cer):
                yield note


# Files

RECORD = "study.json"
"""The file of the record; its list of files tells the next comparison what to delete."""


def write(
    analysis: Analysis, folder: Path, corpus: Path | None = None, *, paper: bool = False
) -> Analysis:
    """Writes the tables, the figures, `report.html` and `study.json`, which lists them all.

    They are made in a temporary folder and moved at the end, together with the deletion of what an
    earlier analysis wrote there and this one does not, so that an error leaves the earlier one as
    it was. After a kill the next call, or `asrbench verify --repair`, does the rest. Returns the
    analysis with the names of its files.

    Studies without a bootstrap have no figures and no page. The page has audio if `corpus`, the
    prepared corpus, is given. For a `paper` there is a PDF of each figure, and `figures.tex`.
    """
    studies = analysis.studies
    texts = {
        "table.md": tables.markdown(*studies),
        "table.csv": tables.comma_separated(*studies),
        "table.tex": tables.latex(*studies),
    }
    marks = [f"-{study.split}" if studies[1:] else "" for study in studies]
    if paper and analysis.settings.replicates:
        texts[papers.NAME] = "\n".join(map(papers.figures, studies, marks))
    with atomic_files(folder, "report") as temporary:
        for file, text in texts.items():
            write_text(temporary / file, text)
        paths: list[Path] = []
        if analysis.settings.replicates:
            from asrbench.report import page  # slow to import, and the rates alone do not need it

            for study, mark in zip(studies, marks, strict=True):
                paths += plots_study.draw(study, temporary, mark, paper=paper)
            paths.append(page.write(studies, temporary, corpus))
        names = (*texts, RECORD, *(path.name for path in paths))
        analysis = replace(analysis, files=names)
        write_text(temporary / RECORD, to_json(analysis) + "\n")
        delete_with(temporary, _files_in(folder))
    return analysis


@dataclass(frozen=True)
class _Manifest:
    """The key of `study.json` that lists the files written with it."""

    files: tuple[str, ...]


def _files_in(folder: Path) -> tuple[str, ...]:
    """Returns the names of the files that an earlier analysis wrote; none if there is no list."""
    try:
        return read_record(folder / RECORD, _Manifest, "").files
    except UserError:
        return ()
