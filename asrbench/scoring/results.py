"""Scored runs, read back from their folders; every figure is computed from their hypotheses."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from typing import Any

from asrbench.base.errors import UserError
from asrbench.base.files import read_jsonl
from asrbench.experiment.run_folder import GREEDY, Run
from asrbench.experiment.spec import OPERATIONAL, RecordedCell
from asrbench.text.profiles import PROFILES, Profile, versioned


@dataclass(frozen=True)
class TestSet:
    """The utterances on which runs were scored."""

    ids: tuple[str, ...]
    references: tuple[str, ...]
    seconds: tuple[float, ...] | None
    """Duration of each; None if `asrbench eval` did not record it."""
    speakers: tuple[str, ...] | None
    """Speaker of each; None unless all are known."""

    @cached_property
    def by_id(self) -> dict[str, str]:
        """The reference of each utterance."""
        return dict(zip(self.ids, self.references, strict=True))


@dataclass(frozen=True)
class ScoredRun:
    """One run under one decoder, with its hypotheses on a split."""

    run: Run
    decode: str
    split: str
    profile: Profile
    """The scoring profile under which its errors are counted."""
    test_set: TestSet
    hypotheses: tuple[str, ...]
    stored: dict[str, Any]
    """The figures that `asrbench eval` wrote to `scores.json`."""

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        return self.run.history()

    @property
    def step_seconds(self) -> float | None:
        """Time of an optimizer step in the fastest epoch of training.

        Every epoch is the same work, and other load on the machine can only add time.
        """
        before = [0, *(row["steps"] for row in self.history)]
        steps = [after - start for start, after in itertools.pairwise(before)]
        epochs = zip(self.history, steps, strict=True)
        return min((row["train_seconds"] / count for row, count in epochs if count), default=None)

    @property
    def parameters(self) -> int | None:
        return self.stored.get("parameters")

    @property
    def real_time_factor(self) -> float | None:
        """Time of decoding over the duration of the audio."""
        return self.stored.get("real_time_factor")

    @property
    def flops_per_audio_second(self) -> float | None:
        """Operations of a forward pass over a second of audio."""
        return self.stored.get("flops_per_audio_second")

    @property
    def peak_memory_gb(self) -> float | None:
        """Peak memory of the device in training."""
        peaks = (epoch["peak_memory_gb"] for epoch in self.history if "peak_memory_gb" in epoch)
        return max(peaks, default=None)

    @property
    def corpus(self) -> str:
        """Fingerprint of the corpus on which it was scored."""
        return str(self.stored.get("corpus"))

    @property
    def variant(self) -> str:
        return self.run.cell.variant

    @property
    def seed(self) -> int:
        return self.run.cell.seed

    @property
    def dev_profile(self) -> str:
        """The scoring profile of the dev CERs in its history."""
        return str(self._last_epoch.get("dev_profile", versioned(self.run.cell.score.profile)))

    @property
    def dev_search(self) -> str:
        """The search that decoded the dev set in training, and so chose the checkpoint."""
        return str(self._last_epoch.get("dev_search", GREEDY))

    @property
    def dev_n(self) -> int | None:
        """Reference characters of the dev set; None if the history does not have them."""
        return self._last_epoch.get("dev_characters")

    @property
    def _last_epoch(self) -> dict[str, Any]:
        return (self.history or [{}])[-1]


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
        times = [run.step_seconds for run in self.runs if run.step_seconds is not None]
        return fmean(times) if times else None

    def step_ratio(self, baseline: "ScoredSystem") -> float | None:
        """Returns the time of an optimizer step relative to that of the baseline."""
        own, other = self.step_seconds, baseline.step_seconds
        return own / other if own is not None and other else None


def read_scored_runs(
    runs: Sequence[Run], split: str, notes: list[str], profile: str | None = None
) -> list[ScoredRun]:
    """Returns each run under every decoder with which it is scored on `split`.

    Runs with the same references share one `TestSet`. Errors are counted under `profile`, or else
    under each run's own. Runs without scores or hypotheses are left out, with a line in `notes`.
    Raises `UserError` for a run that was scored under an older version of its profile, and for
    runs whose joint decoding had different settings.
    """
    scored = []
    for run in runs:
        scores = run.scores().get(split, {})
        if not scores:
            notes.append(f"not evaluated on {split}: {run}; `asrbench eval {run}`")
        for decode, stored in scores.items():
            path = run.hypotheses_path(split, decode)
            if path.is_file():
                scored.append((run, decode, stored))
            else:
                notes.append(f"left out: {path} is missing; `asrbench eval {run}`")
    if profile is None:
        _refuse_versions([(run, stored) for run, _, stored in scored])
    for search in dict.fromkeys(decode for _, decode, _ in scored):
        _refuse_settings(search, [(run, stored) for run, each, stored in scored if each == search])
    results: list[ScoredRun] = []
    test_sets: list[TestSet] = []
    for run, decode, stored in scored:
        scoring = PROFILES[profile or run.cell.score.profile]
        key = _reference_key(stored, scoring)
        rows = _rows(run.hypotheses_path(split, decode), key)
        test_set = _test_set(rows, key, test_sets)
        hypotheses = tuple(rows[id]["hypothesis"] for id in test_set.ids)
        result = ScoredRun(run, decode, split, scoring, test_set, hypotheses, stored)
        notes.extend(_remarks(result))
        results.append(result)
    return results


def why_not_comparable(one: ScoredRun, other: ScoredRun) -> str | None:
    """Returns why the rates of `one` cannot be compared with those of `other`; None if they can."""
    for what, own, expected in (
        ("split", one.split, other.split),
        ("corpus", one.corpus[:8], other.corpus[:8]),
        ("profile", str(one.profile), str(other.profile)),
    ):
        if own != expected:
            return f"another {what}: {own}, not {expected}"
    if one.test_set.by_id != other.test_set.by_id:
        return f"other references of {one.split}; score both with `asrbench eval` again"
    return None


def _rows(path: Path, key: str) -> dict[str, dict[str, Any]]:
    """Returns the row of each utterance by id. Raises `UserError` for a row without its texts."""
    rows = read_jsonl(path)
    try:
        texts = [*map(itemgetter("id", key, "hypothesis"), rows)]
    except (KeyError, TypeError):
        texts = [(None,)]
    if not set(map(type, itertools.chain.from_iterable(texts))) <= {str}:
        raise UserError(
            f"{path}: found a row without 'id', '{key}' and 'hypothesis'; run `asrbench eval` again"
        )
    by_id = {row["id"]: row for row in rows}
    if len(by_id) < len(rows):
        raise UserError(f"{path}: found an id a second time; run `asrbench eval` again")
    return by_id


def _test_set(by_id: dict[str, dict[str, Any]], key: str, known: list[TestSet]) -> TestSet:
    """Returns the test set of `known` that has these references; adds a new one if none has."""
    references = {id: row[key] for id, row in by_id.items()}
    for test_set in known:
        if test_set.by_id == references:
            return test_set
    rows = by_id.values()
    seconds: list[Any] = [row.get("seconds") for row in rows]
    speakers: list[Any] = [row.get("speaker") for row in rows]
    known.append(
        TestSet(
            tuple(references),
            tuple(references.values()),
            None if None in seconds else tuple(seconds),
            None if None in speakers else tuple(speakers),
        )
    )
    return known[-1]


def _reference_key(stored: dict[str, Any], scoring: Profile) -> str:
    """Returns the key of the references that the profile counts, in a row of hypotheses."""
    side = scoring.side_among(stored.get("sides", ()))
    return "reference" if side == stored.get("side", "text") else side


def _refuse_versions(scored: Sequence[tuple[Run, dict[str, Any]]]) -> None:
    for run, stored in scored:
        found, now = versioned(stored["profile"]), PROFILES[run.cell.score.profile]
        if found != str(now):
            raise UserError(
                f"{run}: found scores under {found}, and '{now.name}' is {now} now; "
                f"`asrbench eval {run}` scores it again, --profile {now.name} recounts its "
                f"hypotheses"
            )


def _refuse_settings(search: str, scored: Sequence[tuple[Run, dict[str, Any]]]) -> None:
    """Raises `UserError` for different settings of a search, which no run's identity has."""
    for run, stored in scored[1:]:
        first, first_stored = scored[0]
        settings = [s.get("settings") or {} for s in (first_stored, stored)]
        if settings[0] != settings[1]:
            raise UserError(
                f"{first} and {run}: found {search} decoding with {settings[0]} and {settings[1]}; "
                f"run `asrbench eval --decode {search}` on both with the same settings"
            )


def contradiction(result: ScoredRun, cer: float) -> str | None:
    """Returns a note if the CER in `scores.json`, under the same profile, is not `cer`."""
    stored = float(result.stored["cer"])
    if versioned(result.stored["profile"]) != str(result.profile) or abs(stored - cer) <= 1e-6:
        return None
    return (
        f"{result.run}: scores.json says CER {100 * stored:.4f} % ({result.decode}), its "
        f"hypotheses give {100 * cer:.4f} %, which is used"
    )


def _remarks(result: ScoredRun) -> Iterator[str]:
    stored = result.stored
    checkpoint = stored.get("checkpoint", "best")
    if checkpoint != "best":
        yield f"{result.run}: scored from its {checkpoint} checkpoint, not its best"
    history = result.history
    best = min(history, key=lambda row: float(row["dev_cer"]))["epoch"] if history else None
    if stored.get("epoch") not in (None, best):
        yield (
            f"{result.run}: scored after epoch {stored['epoch']}, its best is now {best}; "
            f"`asrbench eval {result.run}`"
        )
    epochs, planned = len(history), result.run.cell.train.epochs
    if epochs < planned and result.decode == GREEDY:
        yield f"unfinished, {epochs} of {planned} epochs: {result.run}"


def differing_keys(one: RecordedCell, other: RecordedCell) -> list[str]:
    """Returns the dotted keys in which two specs differ.

    Keys that only name a run, and keys that do not change its weights, are ignored.
    """
    aside = (*OPERATIONAL, "experiment", "variant", "seed", "corpus")
    flat, others = (dict(_flat(cell.without(*aside))) for cell in (one, other))
    keys = flat | others
    return [key for key in keys if flat.get(key, ...) != others.get(key, ...)]


def _flat(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
