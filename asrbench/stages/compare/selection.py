"""Selects the runs that a study compares, and notes what a reader must know about them.

`asrbench.stages.compare.study` computes their differences.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from asrbench.base.errors import UserError, pick
from asrbench.base.formatting import counted
from asrbench.data.corpus import TRAINING_SPLITS
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import BEST, GREEDY, Run, corpus_elsewhere
from asrbench.scoring.results import (
    ScoredRun,
    ScoredSystem,
    differing_keys,
    read_scored_runs,
    why_not_comparable,
)
from asrbench.scoring.stored_hypotheses import TestSet
from asrbench.stats.verdicts import FEWEST_SEEDS
from asrbench.text.profiles import Profile

MACHINE = ("device_name", "threads", "precision")
"""Keys of `env.json` that change the time of a step."""


@dataclass(frozen=True)
class Selection:
    """The systems to compare, the baseline first."""

    split: str
    profile: Profile
    corpus: str
    """Name of the corpus folder; of the corpus, if it is not the one of the training."""
    fingerprint: str
    test_set: TestSet
    seeds: tuple[int, ...]
    systems: tuple[ScoredSystem, ...]
    not_comparable: tuple[tuple[ScoredSystem, str], ...]
    """Systems that were scored on something else than the baseline, with the reason."""
    notes: tuple[str, ...]
    damaged: tuple[str, ...] = ()
    """The fault of each run that is left out because one of its files cannot be read."""
    across_searches: bool = False
    """Whether systems are compared whatever their searches are, because the user asked for them."""

    @property
    def baseline(self) -> ScoredSystem:
        return self.systems[0]

    @property
    def folds(self) -> int | None:
        """The number of folds that together are the test set; None for a split of the corpus."""
        return len(self.baseline.runs[0].folds) or None

    @property
    def all_systems(self) -> tuple[ScoredSystem, ...]:
        """All systems, those that are not comparable at the end."""
        return (*self.systems, *(system for system, _ in self.not_comparable))


def select(
    paths: Iterable[Path],
    baseline: str | None = None,
    split: str | None = None,
    profile: str | None = None,
    asked: Collection[str] | None = None,
) -> Selection:
    """Selects the runs at or below `paths`, scored on `split`, with `baseline` as first variant.

    The default `split` is the first of those that `select_all` takes; with several, a note names
    them. `select_all` explains the rest.
    """
    found = _found(paths)
    splits = found.splits(() if split is None else (split,))
    selection = _selected(found, splits[0], splits[:1], baseline, profile, asked)
    if not splits[1:]:
        return selection
    note = f"this is {splits[0]} alone; scored too: {', '.join(splits[1:])}"
    return replace(selection, notes=(note, *selection.notes))


def select_all(
    paths: Iterable[Path],
    baseline: str | None = None,
    splits: Sequence[str] = (),
    profile: str | None = None,
    asked: Collection[str] | None = None,
) -> list[Selection]:
    """Selects the runs at or below `paths` on each of `splits`, with `baseline` as first variant.

    A system is a variant with its search. If `asked` names some by their labels, the baseline and
    these are selected, and compared whatever their searches are; by default they are those that the
    specs ask for. The default `splits` are all evaluation splits on which a run is scored: `test`,
    then others of the corpus, then those of other corpora, each by name; if there is none, dev. The
    default `baseline` is `ds2`, otherwise the first variant. The default `profile` is that of each
    run. A variant whose corpus, profile or references are not those of the baseline is not
    comparable, nor is one that is scored on none of the splits. Raises `UserError` for runs of one
    variant that differ in these or in their spec, and if no run is scored.
    """
    found = _found(paths)
    chosen = found.splits(splits)
    try:
        return [_selected(found, split, chosen, baseline, profile, asked) for split in chosen]
    except UserError as error:
        if splits or not chosen[1:]:
            raise
        raise UserError(f"{error} (scored: {', '.join(chosen)}; --split chooses)") from None


@dataclass(frozen=True)
class _Found:
    """The runs at or below some folders."""

    named: str
    """The folders, as in a command."""
    runs: list[Run]
    damaged: tuple[str, ...]
    """The fault of each run that is left out because one of its files cannot be read."""

    def splits(self, asked: Sequence[str] = ()) -> list[str]:
        """Returns the splits that were asked for, each once, or else those of `select_all`."""
        scored = list(dict.fromkeys(name for run in self.runs for name in run.scores()))
        if not scored:
            raise UserError(
                f"{self.named}: found no scores; `asrbench eval {self.named}` makes them"
            )
        for name in asked:
            if name not in scored:
                raise UserError(
                    f"--split: found '{name}', scored: {', '.join(scored)}; "
                    f"`asrbench eval {self.named}` scores another"
                )
        return list(dict.fromkeys(asked)) or _default_splits(scored)


def _found(paths: Iterable[Path]) -> _Found:
    """Finds the runs. Raises `UserError` if none can be read."""
    paths = list(paths)
    runs = list({run.folder.resolve(): run for run in Run.find(paths)}.values())
    faults = [(run, run.fault()) for run in runs]
    damaged = tuple(fault for _, fault in faults if fault is not None)
    if len(damaged) == len(runs):
        raise UserError(damaged[0])
    whole = [run for run, fault in faults if fault is None]
    return _Found(" ".join(map(str, paths)), whole, damaged)


_ELSEWHERE, _TRAINED_ON = 2, 3


def _default_splits(scored: Sequence[str]) -> list[str]:
    def rank(split: str) -> int:
        if corpus_elsewhere(split):
            return _ELSEWHERE
        return _TRAINED_ON if split in TRAINING_SPLITS else int(split != "test")

    ordered = sorted(scored, key=lambda split: (rank(split), split))
    return [split for split in ordered if rank(split) < _TRAINED_ON] or ordered[:1]


def _selected(
    found: _Found,
    split: str,
    splits: Sequence[str],
    baseline: str | None,
    profile: str | None,
    asked: Collection[str] | None,
) -> Selection:
    """Selects the runs on one split of those that are compared."""
    notes: list[str] = []
    damaged = [*found.damaged]
    scored = read_scored_runs(found.runs, split, notes, damaged, profile)
    if not scored:
        if damaged:
            raise UserError(damaged[0])
        left_out = f" ({notes[-1]})" if notes else ""
        raise UserError(
            f"found no run with all its hypotheses of {split}{left_out}; `asrbench eval "
            f"{found.named}` makes them"
        )
    grouped = _grouped(scored)
    by_search = _asked(grouped, asked)
    systems = _ordered(grouped, baseline, notes)
    if by_search:
        systems = [
            system for system in systems if system is systems[0] or system.label in by_search
        ]
    else:
        systems += _elsewhere(found.runs, scored, splits, damaged, profile)
    first = systems[0].runs[0]
    reasons = [why_not_comparable(system.runs[0], first) for system in systems]
    alike = [system for system, reason in zip(systems, reasons, strict=True) if reason is None]
    notes.extend(_remarks(alike, split, first.profile))
    return Selection(
        split=split,
        profile=first.profile,
        corpus=corpus_elsewhere(split) or Path(first.run.cell.corpus).name,
        fingerprint=first.corpus,
        test_set=first.test_set,
        seeds=tuple(sorted({seed for system in systems for seed in system.seeds})),
        systems=tuple(alike),
        not_comparable=tuple(
            (system, reason) for system, reason in zip(systems, reasons, strict=True) if reason
        ),
        notes=tuple(notes),
        damaged=tuple(damaged),
        across_searches=bool(by_search),
    )


def _elsewhere(
    runs: Sequence[Run],
    scored: Sequence[ScoredRun],
    splits: Sequence[str],
    damaged: list[str],
    profile: str | None,
) -> list[ScoredSystem]:
    """Returns the variants that are scored on none of `splits`, on one on which they are scored."""
    variants = {run.variant for run in scored}
    others = [
        run
        for run in runs
        if run.cell.variant not in variants and run.scores() and not {*splits} & {*run.scores()}
    ]
    if not others:
        return []
    (other_split, *_) = _Found("", others, ()).splits()
    return _grouped(read_scored_runs(others, other_split, [], damaged, profile))


def _grouped(scored: Sequence[ScoredRun]) -> list[ScoredSystem]:
    """Makes each variant under each decoder a system.

    Raises `UserError` for runs that must not be averaged.
    """
    systems = []
    ordered = sorted(scored, key=lambda r: (r.variant, r.decode, r.seed))
    for (variant, decode), group in groupby(ordered, key=lambda r: (r.variant, r.decode)):
        system = ScoredSystem(variant, decode, tuple(group))
        for one, other in zip(system.runs, system.runs[1:], strict=False):
            if reason := why_not_comparable(other, one):
                raise UserError(
                    f"{one.name} and {other.name}: found two runs of {variant} with {reason}; "
                    f"name one of them"
                )
            keys = differing_keys(one.run.cell, other.run.cell)
            if one.seed == other.seed or keys:
                why = f"differ in {', '.join(keys)}" if keys else "are the same cell"
                raise UserError(
                    f"{one.name} and {other.name}: found two runs of {variant} that {why}; "
                    f"name one of them or delete the other"
                )
        systems.append(system)
    return systems


def _asked(systems: Sequence[ScoredSystem], named: Collection[str] | None) -> Collection[str]:
    """Returns the labels of the systems that are to be compared with others' searches."""
    if named is None:
        stated = {run.run.cell.compare.systems: run for each in systems for run in each.runs}
        if len(stated) > 1:
            found = " and ".join(f"{list(names)} ({run.name})" for names, run in stated.items())
            raise UserError(f"compare.systems: found {found}; choose with --system")
        (named,) = stated
    labels = [system.label for system in systems]
    for name in named:
        pick("--system", name, labels)
    return named


def _ordered(
    systems: list[ScoredSystem], baseline: str | None, notes: list[str]
) -> list[ScoredSystem]:
    """Orders systems as the registry has their models, the baseline first."""
    known = list(MODELS)

    def place(system: ScoredSystem) -> tuple[int, str, bool, str]:
        rank = known.index(system.variant) if system.variant in known else len(known)
        return rank, system.variant, system.decode != GREEDY, system.decode

    systems = sorted(systems, key=place)
    variants = list(dict.fromkeys(system.variant for system in systems))
    if baseline is not None:
        pick("--baseline", baseline, dict.fromkeys([*variants, *(s.label for s in systems)]))
    elif known[0] in variants:
        baseline = known[0]
    else:
        baseline = variants[0]
        notes.append(
            f"no run of {known[0]}: {baseline} is the baseline; --baseline chooses another"
        )
    return sorted(systems, key=lambda s: (s.label != baseline, s.variant != baseline))


# Remarks


def _remarks(systems: Sequence[ScoredSystem], split: str, profile: Profile) -> Iterator[str]:
    """Yields what a reader must know before interpreting the differences."""
    fewest = min(len(system.runs) for system in systems)
    if fewest < FEWEST_SEEDS and len(systems) > 1:
        which = "all" if all(len(system.runs) == fewest for system in systems) else "some"
        known = "unknown" if fewest == 1 else "poorly known"
        yield (
            f"{which} variants have only {counted(fewest, 'seed')}: their variance between "
            f"training seeds is {known}"
        )
    cells = [system.runs[0].run.cell for system in systems]
    keys = dict.fromkeys(key for cell in cells for key in differing_keys(cells[0], cell))
    # A plug-in is listed by the runs whose model it registers, and by no other.
    beyond = [key for key in keys if not key.startswith("model.") and key != "plugins"]
    if beyond:
        yield f"variants differ in more than the model: {', '.join(beyond)}"
    runs = [run for system in systems for run in system.runs]
    if folds := len(runs[0].folds):
        yield (
            f"the whole corpus was tested by {folds} folds: each seed is {folds} models, and each "
            f"was tested on the fold that it was trained without (docs/folds.md)"
        )
    folders = [folder for run in runs for folder in run.folders]
    # Under the other rules, the dev set has no say in the weights.
    chosen_by_dev = [folder for folder in folders if folder.run.rule == BEST]
    chose = sorted({folder.dev_profile for folder in chosen_by_dev})
    if chosen_by_dev and chose != [str(profile)]:
        yield f"checkpoints were chosen by dev CER under {', '.join(chose)}, not under {profile}"
    yield from _environments([folder.run for folder in folders])
    decoded = [folder.environment for folder in folders if folder.environment]
    commits = sorted({str(each.get("commit")) for each in decoded})
    if len(commits) > 1:
        yield f"runs were decoded at different commits: {', '.join(c[:8] for c in commits)}"
    yield from _seen_texts(runs[0].test_set, split)
    if split == "dev" and chosen_by_dev:
        yield "the dev set also chose the checkpoint, so error rates on it are optimistic"


def _seen_texts(test_set: TestSet, split: str) -> Iterator[str]:
    if seen := sum(test_set.in_train or ()):
        count = len(test_set.ids)
        yield (
            f"{seen:,} of {count:,} texts of {split} ({100 * seen / count:.1f} %) also occur in "
            f"train; report.html has the rates on these and on the others"
        )


def _environments(runs: Sequence[Run]) -> Iterator[str]:
    environments = [run.env for run in runs]
    found = {
        key: sorted({str(environment.get(key)) for environment in environments})
        for key in (*MACHINE, "commit")
    }
    differ = [f"{key} ({', '.join(found[key])})" for key in MACHINE if len(found[key]) > 1]
    if differ:
        yield f"runs differ in {', '.join(differ)}, which changes the time of a step"
    if len(found["commit"]) > 1:
        yield f"runs come from different commits: {', '.join(c[:8] for c in found['commit'])}"
