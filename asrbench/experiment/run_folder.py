"""The run folder: its name, the paths of its files, and how they are read and written.

results/<experiment>/<variant>/seed<k>-<id8>/, or seed<k>-fold<i>of<n>-<id8>/ for a fold
    spec.yaml                 the resolved spec
    plugins/                  copies of the plug-ins that the model uses
    env.json                  versions, device, commit, parameters
    excluded.jsonl            training utterances with too few frames for their text
    history.jsonl             one row per epoch
    checkpoints/              last.safetensors, best.safetensors, and average.safetensors if
                              `train.weights` asks for it; until the run is done also two
                              state-<steps>-<digest>.pt to resume from, and the previous best
    hypotheses.<split>.jsonl  id, reference, hypothesis (with `.<decode>` unless greedy), the other
                              sides of the text where the corpus has them, duration, speaker, and
                              whether the text is also that of a training utterance
    decode.<label>.json       the weights of language model and length that `eval --tune` tried on
                              the dev set, with its CERs
    scores.json               split -> decode -> figures, and versions, device and commit of `eval`;
                              <split> is `test@an4-1a2b3c4d` on a corpus that the run was not
                              trained on, with the name and the fingerprint of that corpus
    inspect.<split>.json      the figures of `asrbench inspect`: attention by layer and head, times
                              of symbols; weights and posteriors in `.npz`, plots in `.png`, `.svg`
    profile.json.gz           a trace of some steps, with `--profile`
    train.log                 the printed output, if several runs were trained at a time
    lock, lock.holder         the lock of the process that trains the run now, and its id
    lock.scores               the lock of the process that writes `scores.json` now
"""

import os
import platform
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from asrbench.base.errors import UserError
from asrbench.base.files import (
    make_parents,
    read_json,
    read_jsonl,
    read_utf8,
    write_json,
    write_jsonl,
    write_text,
)
from asrbench.base.folders import folders_below
from asrbench.base.records import checked, read_record
from asrbench.experiment import plugins
from asrbench.experiment.run_records import Environment, Figures, check_history
from asrbench.experiment.spec import Cell, RecordedCell
from asrbench.experiment.spec_file import dump_cell, load_cell

GREEDY = "greedy"
"""The search whose name is left out of file names and labels."""

RESULTS_DEPTH = 3
"""Place of the folder that holds `results` among the parents of a run folder, from 0."""

BEST, AVERAGE = "best", "average"
"""Two rules of `train.weights`, and the names of the weights that they choose."""


@dataclass(frozen=True)
class Run:
    """A run folder, which may not exist yet."""

    folder: Path

    @classmethod
    def of(cls, results: Path, cell: Cell | RecordedCell, fingerprint: str, *sounds: str) -> "Run":
        """Returns the run of `cell` below `results`, whether its folder exists or not.

        `fingerprint` is the corpus', and `sounds` are those of the augmentation's sounds.
        """
        fold = f"-fold{cell.fold.index}of{cell.fold.of}" if cell.fold else ""
        name = f"seed{cell.seed}{fold}-{cell.identity(fingerprint, *sounds)}"
        return cls(results / cell.experiment / cell.variant / name)

    @classmethod
    def find(cls, paths: Iterable[Path]) -> list["Run"]:
        """Returns the runs at or below `paths`, sorted. Raises `UserError` for a path without."""
        folders: set[Path] = set()
        for path in paths:
            # A spec that is a folder, or a link to one, makes a run that is damaged, not none.
            below = (folder for folder, _ in folders_below(path, links=False))
            found = {folder for folder in below if os.path.lexists(folder / "spec.yaml")}
            if not found:
                raise UserError(f"{path}: found no run folder; `asrbench train SPEC` makes them")
            folders |= found
        return [cls(folder) for folder in sorted(folders)]

    def __str__(self) -> str:
        return str(self.folder)

    # Paths

    @property
    def spec_path(self) -> Path:
        return self.folder / "spec.yaml"

    @property
    def env_path(self) -> Path:
        return self.folder / "env.json"

    @property
    def excluded_path(self) -> Path:
        return self.folder / "excluded.jsonl"

    @property
    def plugins_path(self) -> Path:
        """The folder with the copies of the run's plug-ins."""
        return self.folder / "plugins"

    @property
    def history_path(self) -> Path:
        return self.folder / "history.jsonl"

    @property
    def scores_path(self) -> Path:
        return self.folder / "scores.json"

    @property
    def profile_path(self) -> Path:
        return self.folder / "profile.json.gz"

    @property
    def log_path(self) -> Path:
        return self.folder / "train.log"

    @property
    def lock_path(self) -> Path:
        """The lock that the process which trains the run holds."""
        return self.folder / "lock"

    @property
    def holder_path(self) -> Path:
        """The file that names this process."""
        return self.folder / "lock.holder"

    def state_path(self, steps: int, digest: str) -> Path:
        """Returns the path of a state; the digest of its content in the name shows damage."""
        return self.folder / "checkpoints" / f"state-{steps}-{digest}.pt"

    def state_paths(self) -> list[Path]:
        """Returns the states that training can resume from, the newest first."""
        states = filter(Path.is_file, self.folder.glob("checkpoints/state*.pt"))
        return sorted(states, key=_age, reverse=True)

    def states_left_over(self) -> list[Path]:
        """Returns the states and the previous best weights that a run needs no more, as it is done.

        Training deletes them last, so that a process that was killed then has left them.
        """
        previous = self.weights_path("best.previous")
        return [*self.state_paths(), *filter(Path.is_file, [previous])] if self.done else []

    def weights_path(self, which: str | None = None) -> Path:
        """Returns the path of weights; `which` is `best`, `last`, `average` or `best.previous`.

        Without `which` they are the weights that are tested, as `train.weights` chooses them.
        """
        return self.folder / "checkpoints" / f"{which or self.rule}.safetensors"

    @property
    def rule(self) -> str:
        """The rule of `train.weights`, which is also the name of the weights that it chooses."""
        return self.cell.train.weights.kind

    def missing_weights(self, which: str | None = None) -> str:
        """Returns why a command skips this run, whose `weights_path(which)` is no file."""
        if (which or self.rule) == AVERAGE and not self.done:
            return "its weights are averaged after the last epoch"
        if not (history := self.history()):
            return "its weights are missing, because no epoch has ended"
        epoch = chosen_row(which or self.rule, history)["epoch"]
        name = self.weights_path(which).name
        return (
            f"its weights, {name} of epoch {epoch}, are missing; restore the file, or delete the "
            f"folder and train the run again"
        )

    def hypotheses_path(self, split: str, decode: str) -> Path:
        middle = split if decode == GREEDY else f"{split}.{decode}"
        return self.folder / f"hypotheses.{middle}.jsonl"

    def tuning_path(self, decode: str) -> Path:
        """Returns the path of what `asrbench eval --tune` found for a search, on the dev set."""
        return self.folder / f"decode.{decode}.json"

    def inspect_path(self, split: str, suffix: str = "json") -> Path:
        """Returns the path of a file of `inspect`; `suffix` is `json`, or as `0.attention.png`."""
        return self.folder / f"inspect.{split}.{suffix}"

    # Reading and writing

    @property
    def corpus_places(self) -> list[Path]:
        """Where the corpus may be: as the spec names it, from here or from beside the results."""
        named, folder = Path(self.cell.corpus), self.folder
        if len(folder.parents) <= RESULTS_DEPTH:
            folder = folder.absolute()
        return [named, *(home / named for home in folder.parents[RESULTS_DEPTH:][:1])]

    @cached_property
    def cell(self) -> RecordedCell:
        """The resolved spec of the run, with its model as plain data."""
        return load_cell(self.spec_path)

    @property
    def spec_text(self) -> str:
        """The text of `spec.yaml`."""
        return read_utf8(self.spec_path)

    @property
    def env(self) -> dict[str, Any]:
        """The versions, device and commit of training. Raises `UserError` for another document."""
        if not self.env_path.is_file():
            return {}
        remedy = "restore the file, or delete it"
        found = read_record(self.env_path, dict[str, Any], remedy)
        checked(found, Environment, str(self.env_path), remedy)
        return found

    def fault(self) -> str | None:
        """Returns why the files that say what this run is cannot be read; None if they can."""
        try:
            _ = self.cell, self.env, self.history(), self.scores()
        except UserError as error:
            return str(error)
        return None

    def begin(
        self, cell: Cell, env: dict[str, Any], excluded: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Writes what is known before the first step; with its spec the folder becomes a run."""
        plugins.copy_into(self.plugins_path, cell.plugins)
        write_json(self.env_path, env)
        write_jsonl(self.excluded_path, excluded)
        write_text(self.spec_path, dump_cell(cell))

    def history(self) -> list[dict[str, Any]]:
        """Returns one row per finished epoch.

        Raises `UserError` for a file whose rows are not those of epochs.
        """
        rows = read_jsonl(self.history_path) if self.history_path.is_file() else []
        check_history(rows, str(self.history_path))
        return rows

    def history_so_far(self) -> list[dict[str, Any]]:
        """Returns the rows of a run that is perhaps not finished.

        A damaged history has none if there is a state, from which training writes it again.
        """
        try:
            return self.history()
        except UserError:
            if not self.state_paths():
                raise
            return []

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        write_jsonl(self.history_path, rows)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Locks the run folder while the context lasts.

        Raises `UserError`, with the process, if another one has locked it. The operating system
        releases the lock when a process dies.
        """
        holder, lock = self.holder_path, FileLock(self.lock_path, timeout=0)
        make_parents(holder)
        try:
            lock.acquire()
        except Timeout:
            who = read_utf8(holder) if holder.is_file() else "another process"
            raise UserError(f"{self}: {who} is training it; wait, or stop it first") from None
        try:
            write_text(holder, f"process {os.getpid()} on {platform.node()}")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    @property
    def done(self) -> bool:
        return self.spec_path.is_file() and len(self.history_so_far()) >= self.cell.train.epochs

    def scores(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Returns figures by split and decode, as `asrbench eval` wrote them; empty before it.

        Raises `UserError` for a file of another form.
        """
        if not self.scores_path.is_file():
            return {}
        splits = read_json(self.scores_path)
        remedy = f"delete it and run `asrbench eval {self}`"
        checked(splits, dict[str, dict[str, Figures]], str(self.scores_path), remedy)
        return dict(splits)

    def write_scores(self, split: str, decode: str, figures: dict[str, Any]) -> None:
        """Adds the figures to those of other splits and searches; waits for others that do so."""
        make_parents(self.scores_path)
        with FileLock(self.folder / "lock.scores"):
            scores = self.scores()
            scores.setdefault(split, {})[decode] = figures
            write_json(self.scores_path, scores)


def split_elsewhere(split: str, corpus: str, fingerprint: str) -> str:
    """Returns the name under which figures on a split of another corpus are stored in a run.

    `corpus` is the name of that corpus, as `test@an4-1a2b3c4d`. No split of a corpus has an `@`.
    """
    name = re.sub(r"[^\w-]+", "_", corpus)
    return f"{split}@{name}-{fingerprint[:8]}"


def corpus_elsewhere(split: str) -> str | None:
    """Returns the name of the other corpus in a name of `split_elsewhere`; None in any other."""
    _, at, corpus = split.partition("@")
    return corpus.rpartition("-")[0] if at else None


def is_run_name(name: str) -> bool:
    """Returns whether a folder of that name is one of a run, as `Run.of` names it."""
    return re.fullmatch(r"seed\d+(-fold\d+of\d+)?-[0-9a-f]{8}", name) is not None


def chosen_row(rule: str, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the row of the epoch whose weights are tested; for an average, the last one."""
    return min(history, key=lambda row: float(row["dev_cer"])) if rule == BEST else history[-1]


def _age(state: Path) -> tuple[int, int]:
    """Returns the steps and the time of a state, by which states are sorted.

    The time decides between states of the same step: training may save one after the last batch of
    an epoch and one after its dev pass.
    """
    named = re.fullmatch(r"state-(\d+)-[0-9a-f]{16}\.pt", state.name)
    return int(named[1]) if named else -1, state.stat().st_mtime_ns
