"""Scored runs, read back from their folders; every figure is computed from their hypotheses."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from asrbench.base.errors import UserError
from asrbench.experiment.run_folder import GREEDY, Run, chosen_row
from asrbench.experiment.spec import ADDED_LATER, OPERATIONAL, DecodeSpec, RecordedCell
from asrbench.scoring.fold_groups import grouped_by_run, name_of
from asrbench.scoring.scored_folder import ScoredFolder
from asrbench.scoring.stored_hypotheses import TestSet, stored_rows, test_set_of, text_keys
from asrbench.text.profiles import PROFILES, Profile, versioned


@dataclass(frozen=True)
class ScoredRun:
    """One seed of a variant under one decoder, with its hypotheses on a split.

    It has one run folder, or that of each fold, whose test sets together are the test set.
    """

    folders: tuple[ScoredFolder, ...]
    """The run folder, or those of all folds in their order."""
    decode: str
    split: str
    profile: Profile
    """The scoring profile under which its errors are counted."""
    test_set: TestSet
    hypotheses: tuple[str, ...]
    folds: tuple[tuple[int, ...], ...] = ()
    """For each fold, the places of its utterances in the test set; empty without folds."""

    @property
    def run(self) -> Run:
        """The run folder; for folds, that of the first."""
        return self.folders[0].run

    @property
    def name(self) -> str:
        """The path of the run folder; for folds, the pattern of their paths."""
        return name_of(self.folders)

    @property
    def step_seconds(self) -> float | None:
        """Time of an optimizer step in the fastest quiet epoch of training; the mean over folds."""
        return mean_of(folder.step_seconds for folder in self.folders)

    @property
    def parameters(self) -> int | None:
        """Parameters of the model; the most over folds, whose vocabularies can differ."""
        known = (folder.stored.get("parameters") for folder in self.folders)
        return max((count for count in known if count is not None), default=None)

    @property
    def real_time_factor(self) -> float | None:
        """Time of decoding over the duration of the audio; the mean over folds."""
        return mean_of(folder.stored.get("real_time_factor") for folder in self.folders)

    @property
    def decoding_memory_gb(self) -> float | None:
        """Peak memory of decoding: of the device, or on a CPU of the process; most over folds."""
        known = (folder.stored.get("peak_memory_gb") for folder in self.folders)
        return max((peak for peak in known if peak is not None), default=None)

    @property
    def flops_per_audio_second(self) -> float | None:
        """Operations of a forward pass over a second of audio; the mean over folds."""
        return mean_of(folder.stored.get("flops_per_audio_second") for folder in self.folders)

    @property
    def peak_memory_gb(self) -> float | None:
        """Peak memory of the device in training; the most over folds."""
        known = (folder.peak_memory_gb for folder in self.folders)
        return max((peak for peak in known if peak is not None), default=None)

    @property
    def environment(self) -> dict[str, Any] | None:
        """Versions, commit and machine of the program that decoded it, for folds the first one.

        None if they are not recorded.
        """
        return self.folders[0].environment

    @property
    def corpus(self) -> str:
        """Fingerprint of the corpus on which it was scored."""
        return self.folders[0].corpus

    @property
    def variant(self) -> str:
        return self.run.cell.variant

    @property
    def seed(self) -> int:
        return self.run.cell.seed

    @property
    def dev_search(self) -> str:
        """The search that decoded the dev set in training."""
        return self.folders[0].dev_search


@dataclass(frozen=True)
class ScoredSystem:
    """A variant under one decoder, with all of its scored runs."""

    variant: str
    decode: str
    runs: tuple[ScoredRun, ...]
    """One run per seed, in the order of the seeds."""

    @property
    def label(self) -> str:
        """The name of the variant, with the decoder unless that is greedy."""
        return self.variant if self.decode == GREEDY else f"{self.variant} [{self.decode}]"

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.seed for run in self.runs)

    @cached_property
    def step_seconds(self) -> float | None:
        """Time of an optimizer step, averaged over the runs."""
        return mean_of(run.step_seconds for run in self.runs)

    def step_ratio(self, baseline: "ScoredSystem") -> float | None:
        """Returns the time of an optimizer step relative to that of the baseline."""
        own, other = self.step_seconds, baseline.step_seconds
        return own / other if own is not None and other else None


def read_scored_runs(
    runs: Sequence[Run],
    split: str,
    notes: list[str],
    damaged: list[str],
    profile: str | None = None,
) -> list[ScoredRun]:
    """Returns each run under every decoder with which it is scored on `split`.

    Runs with the same references share one `TestSet`. Errors are counted under `profile`, or else
    under each run's own. Runs without scores or hypotheses are left out, with a line in `notes`;
    runs with damaged hypotheses are left out, with the fault in `damaged`.
    Raises `UserError` for a run that was scored under an older version of its profile, and for
    runs whose search had different settings.
    """
    scored: list[ScoredFolder] = []
    for run in runs:
        scores = run.scores().get(split, {})
        if not scores:
            notes.append(f"not evaluated on {split}: {run}; `asrbench eval {run}`")
        for decode, stored in scores.items():
            path = run.hypotheses_path(split, decode)
            if path.is_file():
                scored.append(ScoredFolder(run, decode, stored))
            else:
                notes.append(f"left out: {path} is missing; `asrbench eval {run}`")
    if profile is None:
        _refuse_versions(scored)
    # Each fold has a language model of its own, because it is tested on other texts.
    for search, fold in dict.fromkeys((each.decode, each.run.cell.fold) for each in scored):
        alike = [e for e in scored if (e.decode, e.run.cell.fold) == (search, fold)]
        _refuse_settings(search, alike)
    results: list[ScoredRun] = []
    test_sets: list[TestSet] = []
    for folders in grouped_by_run(scored, split, notes):
        try:
            result = _joined(folders, split, profile, test_sets)
        except UserError as error:
            damaged.append(str(error))
            continue
        notes.extend(line for folder in folders for line in _remarks(folder))
        results.append(result)
    return results


def _joined(
    folders: tuple[ScoredFolder, ...], split: str, profile: str | None, test_sets: list[TestSet]
) -> ScoredRun:
    """Returns the run that has these folders, and adds its test set to `test_sets` if it is new."""
    decode, scoring = folders[0].decode, PROFILES[profile or folders[0].run.cell.score.profile]
    keys = text_keys(folders[0].stored, scoring)
    rows: dict[str, dict[str, Any]] = {}
    ids: list[list[str]] = []
    for folder in folders:
        path = folder.run.hypotheses_path(split, decode)
        found = stored_rows(path, keys, folder.stored.get("utterances"))
        if twice := found.keys() & rows.keys():
            raise UserError(
                f"{path}: found {min(twice)}, which another fold has as well; run "
                f"`asrbench eval {folder.run}` again"
            )
        rows |= found
        ids.append(list(found))
    test_set = test_set_of(rows, keys, test_sets)
    hypotheses = tuple(rows[id]["hypothesis"] for id in test_set.ids)
    if folders[0].run.cell.fold is None:
        return ScoredRun(folders, decode, split, scoring, test_set, hypotheses)
    places = {id: place for place, id in enumerate(test_set.ids)}
    folds = tuple(tuple(places[id] for id in each) for each in ids)
    return ScoredRun(folders, decode, split, scoring, test_set, hypotheses, folds)


def why_not_comparable(one: ScoredRun, other: ScoredRun) -> str | None:
    """Returns why the rates of `one` cannot be compared with those of `other`; None if they can."""
    for what, own, expected in (
        ("split", one.split, other.split),
        ("corpus", one.corpus[:8], other.corpus[:8]),
        ("profile", str(one.profile), str(other.profile)),
        ("number of folds", str(len(one.folds) or "none"), str(len(other.folds) or "none")),
    ):
        if own != expected:
            return f"another {what}: {own}, not {expected}"
    if one.test_set.by_id != other.test_set.by_id:
        return f"other references of {one.split}; score both with `asrbench eval` again"
    return None


def _refuse_versions(scored: Sequence[ScoredFolder]) -> None:
    for each in scored:
        found, now = versioned(each.stored["profile"]), PROFILES[each.run.cell.score.profile]
        if found != str(now):
            raise UserError(
                f"{each.run}: found scores under {found}, and '{now.name}' is {now} now; "
                f"`asrbench eval {each.run}` scores it again, --profile {now.name} recounts its "
                f"hypotheses"
            )


def _refuse_settings(search: str, scored: Sequence[ScoredFolder]) -> None:
    """Raises `UserError` for different settings of a search, which no run's identity has."""
    for each in scored[1:]:
        first = scored[0]
        settings = [folder.stored.get("settings") or {} for folder in (first, each)]
        # A search may read more keys today than when one of the two was decoded.
        keys = settings[0].keys() | settings[1].keys()
        defaults = DecodeSpec().model_dump(include=set(keys))
        settings = [defaults | each for each in settings]
        if settings[0] != settings[1]:
            raise UserError(
                f"{first.run} and {each.run}: found {search} decoding with {settings[0]} and "
                f"{settings[1]}; run `asrbench eval{each.eval_options}` on both with the same "
                f"settings"
            )


def contradiction(result: ScoredRun, cer: float) -> str | None:
    """Returns a note if the CER in `scores.json`, under the same profile, is not `cer`.

    That of several folds is their mean, weighted by their reference characters.
    """
    stored = [folder.stored for folder in result.folders]
    if any(versioned(each["profile"]) != str(result.profile) for each in stored):
        return None
    weights = [each["characters"]["n"] for each in stored] if result.folds else None
    found = fmean([float(each["cer"]) for each in stored], weights)
    if abs(found - cer) <= 1e-6:
        return None
    return (
        f"{result.name}: scores.json says CER {100 * found:.4f} % ({result.decode}), its "
        f"hypotheses give {100 * cer:.4f} %, which is used"
    )


def _remarks(folder: ScoredFolder) -> Iterator[str]:
    run, stored = folder.run, folder.stored
    checkpoint = stored.get("checkpoint", run.rule)
    if checkpoint != run.rule:
        yield f"{run}: scored from its {checkpoint} checkpoint, not its {run.rule}"
    history = folder.history
    tested = chosen_row(run.rule, history)["epoch"] if history else None
    if stored.get("epoch") not in (None, tested):
        yield (
            f"{run}: scored after epoch {stored['epoch']}, its {run.rule} is now {tested}; "
            f"`asrbench eval {run}`"
        )
    epochs, planned = len(history), run.cell.train.epochs
    if epochs < planned and folder.decode == GREEDY:
        yield f"unfinished, {epochs} of {planned} epochs: {run}"


def differing_keys(one: RecordedCell, other: RecordedCell) -> list[str]:
    """Returns the dotted keys in which two specs differ.

    Keys that only name a run, and keys that do not change its weights, are ignored. A key that came
    after a run was recorded has the value that the run was trained with.
    """
    aside = (*OPERATIONAL, "experiment", "variant", "seed", "corpus")
    flat, others = (dict(_flat(cell.without(*aside))) for cell in (one, other))
    keys = flat | others
    return [
        key
        for key in keys
        if flat.get(key, ADDED_LATER.get(key, ...)) != others.get(key, ADDED_LATER.get(key, ...))
    ]


def mean_of(values: Iterable[float | None]) -> float | None:
    """Returns the mean of the values that are not None; None without one."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _flat(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
