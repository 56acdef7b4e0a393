"""Scored runs, read back: every figure computed anew from the hypotheses that lie in the folder."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from asrbench.errors import UserError
from asrbench.hypotheses import read_transcripts
from asrbench.runs import DECODES, Run
from asrbench.score import ErrorCounts, character_errors, why_untrained, word_errors
from asrbench.spec import OPERATIONAL, Cell


@dataclass(frozen=True)
class Result:
    """One run under one decode, scored anew from its hypotheses."""

    run: Run
    decode: str
    characters: ErrorCounts
    words: ErrorCounts
    parameters: int | None
    step_seconds: float | None
    """Time of an optimizer step in training, in the fastest epoch."""
    failure: str | None
    """Why the run counts as one that never learned, if it does."""
    corpus: str
    """Fingerprint of the corpus it was scored on."""

    @property
    def variant(self) -> str:
        return self.run.cell.variant

    @property
    def seed(self) -> int:
        return self.run.cell.seed

    @property
    def cer(self) -> float:
        return self.characters.rate


def read_results(runs: Sequence[Run], split: str, notes: list[str]) -> tuple[list[Result], int]:
    """Every run under every decode it is scored with on `split`, and the number of utterances.

    What is missing is left out and told in `notes`. Raises `UserError` if two runs were scored on
    different corpora, references or profiles, or if nothing is left.
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
    if not scored:
        raise UserError(f"found no hypotheses of {split}; `asrbench eval {runs[0]}` makes them")
    _refuse_mixtures([(run, stored) for run, _, stored in scored])
    _refuse_settings([(run, stored) for run, decode, stored in scored if decode == "joint"])
    results: list[Result] = []
    common: dict[str, str] | None = None
    for run, decode, stored in scored:
        path = run.hypotheses_path(split, decode)
        references = read_transcripts(path, "reference")
        if common is not None and references != common:
            raise UserError(
                f"{results[0].run} and {run}: found different references of {split}; "
                f"run `asrbench eval` on both again"
            )
        common = references
        hypotheses = read_transcripts(path, "hypothesis")
        result = _result(run, decode, stored, [*references.values()], [*hypotheses.values()])
        _check(result, stored, notes)
        results.append(result)
    return results, len(common or ())


def _refuse_mixtures(scored: Sequence[tuple[Run, dict[str, Any]]]) -> None:
    first, first_stored = scored[0]
    for run, stored in scored[1:]:
        corpora = [str(s.get("corpus")) for s in (first_stored, stored)]
        if corpora[0] != corpora[1]:
            raise UserError(
                f"{first} and {run}: found scores on different corpora (fingerprints "
                f"{corpora[0][:8]} and {corpora[1][:8]}); compare them apart"
            )
        profiles = [r.cell.score.profile for r in (first, run)]
        if profiles[0] != profiles[1]:
            raise UserError(
                f"{first} and {run}: found the score profiles '{profiles[0]}' and "
                f"'{profiles[1]}'; compare them apart"
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


def _result(
    run: Run,
    decode: str,
    stored: dict[str, Any],
    references: list[str],
    hypotheses: list[str],
) -> Result:
    profile = run.cell.score.profile
    characters = character_errors(references, hypotheses, profile)
    if not characters.n:
        raise UserError(f"{run}: found no character in the references; there is no CER of them")
    return Result(
        run=run,
        decode=decode,
        characters=characters,
        words=word_errors(references, hypotheses),
        parameters=stored.get("parameters"),
        step_seconds=_step_seconds(run.history()),
        failure=why_untrained(characters.rate, references, hypotheses),
        corpus=str(stored.get("corpus")),
    )


def _step_seconds(history: list[dict[str, Any]]) -> float | None:
    """Of the fastest epoch: every epoch is the same work, and other load only ever adds."""
    before = [0, *(row["steps"] for row in history)]
    steps = [after - start for start, after in itertools.pairwise(before)]
    epochs = zip(history, steps, strict=True)
    return min((row["train_seconds"] / count for row, count in epochs if count), default=None)


def _check(result: Result, stored: dict[str, Any], notes: list[str]) -> None:
    """Hypotheses are the truth; a stored score that differs is told, not trusted."""
    if abs(float(stored["cer"]) - result.cer) > 1e-6:
        notes.append(
            f"{result.run}: scores.json says CER {100 * stored['cer']:.4f} % ({result.decode}), "
            f"its hypotheses give {100 * result.cer:.4f} %, which is shown"
        )
    checkpoint = stored.get("checkpoint", "best")
    if checkpoint != "best":
        notes.append(f"{result.run}: scored from its {checkpoint} checkpoint, not its best")
    history = result.run.history()
    best = min(history, key=lambda row: float(row["dev_cer"]))["epoch"] if history else None
    if stored.get("epoch") not in (None, best):
        notes.append(
            f"{result.run}: scored after epoch {stored['epoch']}, its best is now {best}; "
            f"`asrbench eval {result.run}`"
        )
    epochs, planned = len(history), result.run.cell.train.epochs
    if epochs < planned and result.decode == DECODES[0]:
        notes.append(f"unfinished, {epochs} of {planned} epochs: {result.run}")


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
