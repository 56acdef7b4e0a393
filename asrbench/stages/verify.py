"""Checks what run folders and corpora contain: every figure that can be computed twice is.

    run       the name is the hash of the spec; one folder for each run; history, states and weights
              belong together; the figures of `scores.json` are those of the hypotheses, and
              these have the texts of the corpus, if it is present
    corpus    the fingerprint is that of texts and audio; counts and lists agree
    both      recorded digests; what killed processes left

Nothing is written. What is left over can be deleted by `Fault.repair`.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from asrbench.base.errors import UserError
from asrbench.base.files import digest, read_json, read_jsonl, strays
from asrbench.base.folders import folders_below, is_locked, settle, unsettled
from asrbench.data.corpus import Corpus, find_corpus, other_files
from asrbench.data.corpus_writer import fingerprint_of
from asrbench.data.folds import CorpusFold
from asrbench.experiment.run_folder import (
    AVERAGE,
    BEST,
    Run,
    chosen_row,
    corpus_elsewhere,
    is_run_name,
)
from asrbench.recogniser import weights_file
from asrbench.recogniser.recogniser import Recogniser
from asrbench.scoring.score import score
from asrbench.scoring.stored_hypotheses import stored_rows, text_keys
from asrbench.text.profiles import PROFILES, versioned
from asrbench.training.checkpoint import read_state

WEIGHTS = (BEST, "last", AVERAGE)


@dataclass(frozen=True)
class Fault:
    """One fault: where, what was found, and what to do."""

    line: str
    repair: Callable[[], None] | None = None
    """Deletes what is left over. None for every other fault."""


@dataclass(frozen=True)
class Contents:
    """The run folders and corpora at or below some paths."""

    runs: tuple[Run, ...]
    corpora: tuple[Path, ...]
    folders: tuple[Path, ...]
    """All folders, in which something may be left over."""

    @classmethod
    def of(cls, paths: Iterable[Path]) -> "Contents":
        """Raises `UserError` for a path that has none of them."""
        runs: set[Path] = set()
        corpora: set[Path] = set()
        folders: set[Path] = set()
        for path in paths:
            found = (folder for folder, _ in folders_below(path, links=False))
            below = {each for each in found if not _is_hidden(each, path)}
            found_runs = {each for each in below if (each / "spec.yaml").is_file()}
            found_corpora = {each for each in below if (each / "corpus.json").is_file()}
            if not found_runs and not found_corpora:
                raise UserError(f"{path}: found no run folder and no prepared corpus")
            runs, corpora, folders = runs | found_runs, corpora | found_corpora, folders | below
        folders |= {corpus.parent for corpus in corpora}
        return cls(
            tuple(Run(folder) for folder in sorted(runs)),
            tuple(sorted(corpora)),
            tuple(sorted(folders)),
        )


def _is_hidden(folder: Path, top: Path) -> bool:
    """Returns whether a folder is, or is in, a hidden one, as those that `prep` is making are."""
    return any(part.startswith(".") for part in folder.relative_to(top).parts)


def faults_of(contents: Contents) -> Iterator[Fault]:
    """Yields every fault, first of what is left over, then of runs, then of corpora.

    The content of a run that a living process trains is not checked: it changes meanwhile.
    """
    for folder in contents.folders:
        yield from _left_over(folder)
    yield from _without_spec(contents.folders)
    yield from _twice(contents.runs)
    for run in contents.runs:
        if not is_locked(run.lock_path):
            yield from _each(_RUN_CHECKS, run)
    for corpus in contents.corpora:
        yield from _each(_CORPUS_CHECKS, corpus)


def _each(checks: Iterable[Callable[[Any], Iterator[str]]], checked: object) -> Iterator[Fault]:
    """Yields the faults of all checks. A file that cannot be read is a fault, and ends a check."""
    found: dict[str, None] = {}
    for check in checks:
        try:
            found |= dict.fromkeys(check(checked))
        except UserError as error:
            found[str(error)] = None
    yield from map(Fault, found)


# Both


def _left_over(folder: Path) -> Iterator[Fault]:
    for path in strays(folder):
        yield Fault(f"{path}: was left by a process that is gone; --repair deletes it", path.unlink)
    for path in unsettled(folder):
        yield Fault(
            f"{path}: making it was interrupted; --repair completes or undoes it",
            partial(settle, path),
        )
    holder = Run(folder).holder_path
    if holder.is_file() and not is_locked(Run(folder).lock_path):
        yield Fault(
            f"{holder}: was left by a process that is gone; --repair deletes it", holder.unlink
        )


# Runs


def _without_spec(folders: Iterable[Path]) -> Iterator[Fault]:
    for folder in folders:
        if is_run_name(folder.name) and not (run := Run(folder)).spec_path.is_file():
            yield Fault(f"{run}: has no {run.spec_path.name}; restore it, or delete the folder")


def _twice(runs: Iterable[Run]) -> Iterator[Fault]:
    first: dict[str, Run] = {}
    for run in runs:
        other = first.setdefault(run.folder.name, run)
        if other is not run:
            yield Fault(f"{run}: is the same run as {other}; delete one of them")


def _identity(run: Run) -> Iterator[str]:
    """The name of the folder is the identity of its spec, and its weights have that spec too."""
    env = run.env
    sounds = [each["fingerprint"] for each in env.get("sounds", {}).values()]
    expected = Run.of(Path(), run.cell, env.get("fingerprint", ""), *sounds).folder.name
    if run.folder.name != expected:
        yield (
            f"{run}: its spec and the corpus in env.json make {expected}; spec.yaml, env.json or "
            f"the name was changed"
        )
    for path in filter(Path.is_file, map(run.weights_path, WEIGHTS)):
        found = Recogniser.spec_of(path)
        if found is None:
            yield f"{path}: found no weights that `asrbench train` of this version wrote"
        elif found[0].identity(found[1]) != run.cell.identity(env.get("fingerprint", "")):
            yield f"{path}: found the weights of another spec or corpus than those of its run"


def _history(run: Run) -> Iterator[str]:
    """The history has one row for each epoch, and states and weights agree with it."""
    rows, where = run.history(), run.history_path
    steps = 0
    for number, row in enumerate(rows, start=1):
        if row["steps"] <= steps:
            yield f"{where}, line {number}: found {row['steps']} steps after {steps}"
        steps = row["steps"]
    if len(rows) > run.cell.train.epochs:
        yield f"{where}: found {len(rows)} epochs, planned were {run.cell.train.epochs}"
    histories = [rows]
    for path in run.state_paths()[:1]:
        state = read_state(path)
        if state is None:
            continue  # its digest says so
        if state.get("identity") != run.folder.name:
            yield f"{path}: found the state of {state.get('identity')}"
        histories.append(state.get("history", []))
        # A process that is killed after it saved a state leaves a shorter history until it goes on.
        if histories[-1][: len(rows)] != rows:
            yield f"{where}: differs from the history in {path.name}; `asrbench train` restores it"
    for which in WEIGHTS:
        path, epochs = run.weights_path(which), [_epoch_of(which, each) for each in histories]
        if path.is_file() and (found := Recogniser.epoch_of(path)) not in (None, *epochs):
            yield f"{path}: found the weights of epoch {found}, {where.name} says {epochs[0]}"


def _epoch_of(which: str, rows: list[dict[str, Any]]) -> int:
    """Returns the number of epochs that weights were trained for, according to a history."""
    return int(chosen_row(which, rows)["epoch"]) if rows else 0


def _scores(run: Run) -> Iterator[str]:
    """The hypotheses of every split and search give the figures of `scores.json`."""
    scores = run.scores()
    named = {run.hypotheses_path(split, decode) for split in scores for decode in scores[split]}
    for path in sorted({*run.folder.glob("hypotheses.*.jsonl")} - named):
        yield f"{path}: has no figures in scores.json; `asrbench eval {run}` writes both"
    for split, decodes in scores.items():
        for decode, stored in decodes.items():
            yield from _recounted(run, split, decode, stored)


def _recounted(run: Run, split: str, decode: str, stored: dict[str, Any]) -> Iterator[str]:
    where = f"{run.scores_path}: {split}, {decode}"
    path = run.hypotheses_path(split, decode)
    if not path.is_file():
        yield f"{where}: {path.name} is missing; `asrbench eval {run}` writes it"
        return
    found = versioned(str(stored.get("profile")))
    profile = PROFILES.get(found.partition("/")[0])
    if profile is None or str(profile) != found:
        yield f"{where}: found scores under {found}, which cannot be counted again; `asrbench eval`"
        return
    keys = text_keys(stored, profile)
    rows = stored_rows(path, keys).values()
    references, *others = ([row[key] for row in rows] for key in keys)
    hypotheses = [row["hypothesis"] for row in rows]
    other = others[0] if others else None
    counted = score(references, hypotheses, profile.name, path, other).plain()
    counted |= {
        "profile": stored["profile"],
        "utterances": len(rows),
        "empty_hypotheses": sum(not text for text in hypotheses),
        "distinct_hypotheses": len(set(hypotheses)),
    }
    for key, figure in counted.items():
        # Figures that later versions added are not in every file.
        if key in stored and not _is_equal(stored[key], figure):
            yield f"{where}: found {key} {stored[key]}, the hypotheses give {figure}"


def _is_equal(stored: Any, counted: Any) -> bool:
    if isinstance(counted, float) and isinstance(stored, int | float):
        return math.isclose(stored, counted, rel_tol=1e-9, abs_tol=1e-12)
    return bool(stored == counted)


def _references(run: Run) -> Iterator[str]:
    """If the corpus is present, the references are its texts, and every utterance is there."""
    try:
        folder = find_corpus(run.corpus_places)
    except UserError:
        return
    corpus = Corpus.open(folder)
    if corpus.fingerprint != run.env.get("fingerprint"):
        yield (
            f"{run}: was trained on a corpus with fingerprint {run.env.get('fingerprint')}, and "
            f"{folder} has {corpus.fingerprint} now"
        )
        return
    fold = run.cell.fold
    tested = CorpusFold.of(corpus, fold.index, fold.of) if fold else corpus
    for name, decodes in run.scores().items():
        if corpus_elsewhere(name):
            continue
        for decode, stored in decodes.items():
            split = tested.split(name).on(stored.get("side", "text"))
            path = run.hypotheses_path(name, decode)
            expected = dict(zip(split.ids, split.texts, strict=True))
            rows = stored_rows(path, ["reference"]).values() if path.is_file() else ()
            found = {row["id"]: row["reference"] for row in rows}
            if rows and found != expected:
                ids = {*found, *expected}
                id = min(id for id in ids if found.get(id) != expected.get(id))
                yield (
                    f"{path}: {id}: found the reference {found.get(id)!r}, {folder} has "
                    f"{expected.get(id)!r}; `asrbench eval {run}`"
                )


def _digests(run: Run) -> Iterator[str]:
    """States and weights have the digests that are recorded with them."""
    for path in run.state_paths():
        if (found := digest(path)) != (expected := path.stem.rpartition("-")[2]):
            yield f"{path}: is damaged: found digest {found}, recorded was {expected}"
    for path in filter(Path.is_file, map(run.weights_path, WEIGHTS)):
        try:
            weights_file.read(path)
        except UserError as error:
            yield str(error)


_RUN_CHECKS = (_identity, _history, _scores, _references, _digests)


# Corpora


def _fingerprint(folder: Path) -> Iterator[str]:
    """The fingerprint in `corpus.json` is that of the texts and the audio."""
    corpus = Corpus.open(folder)
    if (found := fingerprint_of(corpus)) != corpus.fingerprint:
        yield (
            f"{folder}: its texts and audio have the fingerprint {found}, corpus.json says "
            f"{corpus.fingerprint}; prepare the corpus again"
        )


def _counts(folder: Path) -> Iterator[str]:
    """The counts in `corpus.json` are those of the splits and the lists."""
    corpus, about = Corpus.open(folder), read_json(folder / "corpus.json")
    for name in corpus.split_names:
        found, stored = len(corpus.split(name)), about["splits"][name].get("utterances")
        if found != stored:
            yield f"{folder}: found {found} utterances in {name}, corpus.json says {stored}"
    ids = corpus.whole.ids
    if len(set(ids)) < len(ids):
        yield f"{folder}: found an id a second time; prepare the corpus again"
    for kind, reasons in (("rejected", corpus.rejected), ("remarks", corpus.remarks)):
        path = folder / f"{kind}.jsonl"
        found = len(read_jsonl(path)) if path.is_file() else 0
        if found != sum(reasons.values()):
            yield f"{path}: found {found} lines, corpus.json says {sum(reasons.values())}"


def _others(folder: Path) -> Iterator[str]:
    for name in other_files(folder) or ():
        yield f"{folder / name}: is no part of a corpus; move it"


_CORPUS_CHECKS = (_counts, _fingerprint, _others)
