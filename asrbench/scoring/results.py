"""Scored runs, read back: every figure computed anew from the hypotheses that lie in the folder."""

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
from asrbench.experiment.run_folder import DECODES, Run
from asrbench.experiment.spec import OPERATIONAL, Cell
from asrbench.text.profiles import PROFILES, Profile, versioned


@dataclass(frozen=True)
class TestSet:
    """The utterances that runs were scored on."""

    ids: tuple[str, ...]
    references: tuple[str, ...]
    seconds: tuple[float, ...] | None
    """Length of each; None for runs from before `asrbench eval` kept it."""
    speakers: tuple[str, ...] | None
    """None unless the speaker of each is known."""

    @cached_property
    def by_id(self) -> dict[str, str]:
        """The reference of each utterance."""
        return dict(zip(self.ids, self.references, strict=True))


@dataclass(frozen=True)
class Result:
    """One run under one decode, with what it heard."""

    run: Run
    decode: str
    split: str
    profile: Profile
    """Under which it is counted."""
    test_set: TestSet
    hypotheses: tuple[str, ...]
    stored: dict[str, Any]
    """What `asrbench eval` left beside them."""

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        return self.run.history()

    @property
    def step_seconds(self) -> float | None:
        """Time of an optimizer step in training, in the fastest epoch: every epoch is the same
        work, and other load only ever adds."""
        before = [0, *(row["steps"] for row in self.history)]
        steps = [after - start for start, after in itertools.pairwise(before)]
        epochs = zip(self.history, steps, strict=True)
        return min((row["train_seconds"] / count for row, count in epochs if count), default=None)

    @property
    def parameters(self) -> int | None:
        return self.stored.get("parameters")

    @property
    def corpus(self) -> str:
        """Fingerprint of the corpus it was scored on."""
        return str(self.stored.get("corpus"))

    @property
    def variant(self) -> str:
        return self.run.cell.variant

    @property
    def seed(self) -> int:
        return self.run.cell.seed

    @property
    def dev_profile(self) -> str:
        """Under which the dev CERs of its training are."""
        return str(self._last_epoch.get("dev_profile", versioned(self.run.cell.score.profile)))

    @property
    def dev_n(self) -> int | None:
        """Reference characters behind them, where that was kept."""
        return self._last_epoch.get("dev_characters")

    @property
    def _last_epoch(self) -> dict[str, Any]:
        return (self.history or [{}])[-1]


@dataclass(frozen=True)
class Row:
    """A variant under one decode. Rates are fractions, not percent."""

    variant: str
    decode: str
    results: tuple[Result, ...]
    """One a seed, in the order of the seeds."""

    @property
    def label(self) -> str:
        return self.variant if self.decode == DECODES[0] else f"{self.variant} [{self.decode}]"

    @cached_property
    def by_seed(self) -> dict[int, Result]:
        return {result.seed: result for result in self.results}

    @property
    def step_seconds(self) -> float | None:
        times = [r.step_seconds for r in self.results if r.step_seconds is not None]
        return fmean(times) if times else None

    def shared_seeds(self, other: "Row") -> list[int]:
        return [seed for seed in self.by_seed if seed in other.by_seed]

    def step_ratio(self, baseline: "Row") -> float | None:
        """Time of an optimizer step relative to the baseline's."""
        mine, theirs = self.step_seconds, baseline.step_seconds
        return mine / theirs if mine is not None and theirs else None


def read_results(
    runs: Sequence[Run], split: str, notes: list[str], profile: str | None = None
) -> list[Result]:
    """Every run under every decode it is scored with on `split`; those with the same references
    have the same test set.

    Under `profile`, or else each under its own. What is missing is left out and told in `notes`.
    Raises `UserError` for a run that was scored under an older version of its profile, and for
    joint decoding that was not set alike.
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
    _refuse_settings([(run, stored) for run, decode, stored in scored if decode == "joint"])
    results: list[Result] = []
    test_sets: list[TestSet] = []
    for run, decode, stored in scored:
        ruler = PROFILES[profile or run.cell.score.profile]
        key = _reference_key(stored, ruler)
        rows = _rows(run.hypotheses_path(split, decode), key)
        test_set = _test_set(rows, key, test_sets)
        hypotheses = tuple(rows[id]["hypothesis"] for id in test_set.ids)
        result = Result(run, decode, split, ruler, test_set, hypotheses, stored)
        notes.extend(_remarks(result))
        results.append(result)
    return results


def why_apart(one: Result, other: Result) -> str | None:
    """What of `one` sets its rates apart from those of `other`, whatever was heard; or None."""
    for what, mine, theirs in (
        ("split", one.split, other.split),
        ("corpus", one.corpus[:8], other.corpus[:8]),
        ("profile", str(one.profile), str(other.profile)),
    ):
        if mine != theirs:
            return f"another {what}: {mine}, not {theirs}"
    if one.test_set.by_id != other.test_set.by_id:
        return f"other references of {one.split}; `asrbench eval` makes them alike"
    return None


def _rows(path: Path, key: str) -> dict[str, dict[str, Any]]:
    """The row of each utterance. Raises `UserError` for what is none."""
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
    """One of the `known`, if that has the same references; else a new one, known from here on."""
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


def _reference_key(stored: dict[str, Any], ruler: Profile) -> str:
    """Where the hypotheses' rows have the references that `ruler` asks for."""
    side = ruler.side_among(stored.get("sides", ()))
    return "reference" if side == stored.get("side", "text") else side


def _refuse_versions(scored: Sequence[tuple[Run, dict[str, Any]]]) -> None:
    for run, stored in scored:
        found, now = versioned(stored["profile"]), PROFILES[run.cell.score.profile]
        if found != str(now):
            raise UserError(
                f"{run}: found scores under {found}, and '{now.name}' is {now} now; "
                f"`asrbench eval {run}` scores it anew, --profile {now.name} its hypotheses"
            )


def _refuse_settings(joint: Sequence[tuple[Run, dict[str, Any]]]) -> None:
    """What joint decoding is set to is no part of a run's identity, so it is looked at here."""
    for run, stored in joint[1:]:
        first, first_stored = joint[0]
        settings = [s.get("settings") for s in (first_stored, stored)]
        if settings[0] != settings[1]:
            raise UserError(
                f"{first} and {run}: found joint decoding with {settings[0]} and {settings[1]}; "
                f"run `asrbench eval --decode joint` on both alike"
            )


def contradiction(result: Result, cer: float) -> str | None:
    """Hypotheses are the truth; a stored score of the same profile that differs is told."""
    stored = float(result.stored["cer"])
    if versioned(result.stored["profile"]) != str(result.profile) or abs(stored - cer) <= 1e-6:
        return None
    return (
        f"{result.run}: scores.json says CER {100 * stored:.4f} % ({result.decode}), its "
        f"hypotheses give {100 * cer:.4f} %, which is shown"
    )


def _remarks(result: Result) -> Iterator[str]:
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
    if epochs < planned and result.decode == DECODES[0]:
        yield f"unfinished, {epochs} of {planned} epochs: {result.run}"


def differing_keys(one: Cell, other: Cell) -> list[str]:
    """Dotted keys that differ, those aside that label a run or leave its weights alone."""
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
