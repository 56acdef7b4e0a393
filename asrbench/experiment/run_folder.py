"""The run folder: one object owns its paths, its name and what may be in it.

results/<experiment>/<variant>/seed<k>-<id8>/
    spec.yaml                 the resolved spec
    env.json                  versions, device, commit, parameters
    excluded.jsonl            training utterances CTC cannot align, and why
    history.jsonl             one row an epoch
    checkpoints/              last.safetensors, best.safetensors; until it is done also two
                              state-<steps>-<digest>.pt to go on from, and the best before
    hypotheses.<split>.jsonl  id, reference, hypothesis (with `.<decode>` unless greedy), and the
                              other sides of the text where the corpus has them
    scores.json               split -> decode -> figures
    inspect.<split>.json       what `asrbench inspect` saw: attention by layer and head, times of
                              symbols; weights and posteriors in `.npz`, pictures in `.png`, `.svg`
    profile.json.gz           a trace of some steps, where `--profile` asked for one
    train.log                 what was printed, where the run was one of several at a time
    lock, lock.holder         who trains it now
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
from asrbench.experiment.spec import Cell
from asrbench.experiment.spec_file import dump_cell, load_cell

DECODES = ("greedy", "attention", "joint")

FIGURES_OF_AN_EPOCH = ("epoch", "steps", "train_seconds", "dev_cer")
"""Without which a row of `history.jsonl` is none."""


@dataclass(frozen=True)
class Run:
    """A run folder, which may not exist yet."""

    folder: Path

    @classmethod
    def of(cls, results: Path, cell: Cell, fingerprint: str, *sounds: str) -> "Run":
        """Where the run of `cell` lies, or will: on the corpus of that fingerprint, augmented with
        the sounds of those."""
        name = f"seed{cell.seed}-{cell.identity(fingerprint, *sounds)}"
        return cls(results / cell.experiment / cell.variant / name)

    @classmethod
    def find(cls, paths: Iterable[Path]) -> list["Run"]:
        """The runs at or below `paths`, sorted. Raises `UserError` for a path with none."""
        folders: set[Path] = set()
        for path in paths:
            found = {spec.parent for spec in path.rglob("spec.yaml")}
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

    def state_path(self, steps: int, digest: str) -> Path:
        """A state is named by its content, so that a damaged one is known by its name."""
        return self.folder / "checkpoints" / f"state-{steps}-{digest}.pt"

    def state_paths(self) -> list[Path]:
        """The states there are to go on from, the newest first."""
        return sorted(self.folder.glob("checkpoints/state*.pt"), key=_age, reverse=True)

    def weights_path(self, which: str) -> Path:
        """`which` is `best`, `last` or `best.previous`."""
        return self.folder / "checkpoints" / f"{which}.safetensors"

    def hypotheses_path(self, split: str, decode: str) -> Path:
        middle = split if decode == "greedy" else f"{split}.{decode}"
        return self.folder / f"hypotheses.{middle}.jsonl"

    def inspect_path(self, split: str, what: str = "json") -> Path:
        """`what` is a suffix, or a picture's name and suffix: `0.attention.png`."""
        return self.folder / f"inspect.{split}.{what}"

    # Contents

    @cached_property
    def cell(self) -> Cell:
        """The resolved spec of the run."""
        return load_cell(self.spec_path)

    @property
    def spec_text(self) -> str:
        """The same as it stands in the folder."""
        return read_utf8(self.spec_path)

    @property
    def env(self) -> dict[str, Any]:
        return dict(read_json(self.env_path)) if self.env_path.is_file() else {}

    def begin(
        self, cell: Cell, env: dict[str, Any], excluded: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Leaves what was known before the first step; the folder is a run from here on."""
        write_json(self.env_path, env)
        write_jsonl(self.excluded_path, excluded)
        write_text(self.spec_path, dump_cell(cell))

    def history(self) -> list[dict[str, Any]]:
        """One row an epoch; empty before the first is over. Raises `UserError` for a file that
        training did not write so."""
        rows = read_jsonl(self.history_path) if self.history_path.is_file() else []
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, dict) or not all(
                isinstance(row.get(key), (int, float)) for key in FIGURES_OF_AN_EPOCH
            ):
                raise UserError(
                    f"{self.history_path}, line {number}: found no epoch, which has "
                    f"{', '.join(FIGURES_OF_AN_EPOCH)}; train it again, or restore the file"
                )
        return rows

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        write_jsonl(self.history_path, rows)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from training this run. Raises `UserError` that says who does.

        The system takes the lock from a process that died, however it died.
        """
        holder = self.folder / "lock.holder"
        lock = FileLock(self.folder / "lock", timeout=0)
        make_parents(holder)
        try:
            lock.acquire()
        except Timeout:
            who = read_utf8(holder) if holder.is_file() else "another process"
            raise UserError(f"{self}: {who} is training it; wait, or stop that first") from None
        try:
            write_text(holder, f"process {os.getpid()} on {platform.node()}")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    @property
    def done(self) -> bool:
        return self.spec_path.is_file() and len(self.history()) >= self.cell.train.epochs

    def scores(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Split -> decode -> figures; empty before `asrbench eval`. Raises `UserError` for a file
        that is not its."""
        splits = read_json(self.scores_path) if self.scores_path.is_file() else {}
        decodes = splits.values() if isinstance(splits, dict) else [None]
        figures = [each for d in decodes for each in (d.values() if isinstance(d, dict) else [d])]
        if not all(isinstance(each, dict) for each in figures):
            raise UserError(
                f"{self.scores_path}: found no figures by split and decode; delete it and run "
                f"`asrbench eval {self}`"
            )
        return dict(splits)

    def write_scores(self, split: str, decode: str, figures: dict[str, Any]) -> None:
        scores = self.scores()
        scores.setdefault(split, {})[decode] = figures
        write_json(self.scores_path, scores)


def _age(state: Path) -> tuple[int, int]:
    """By steps, then by time: after the last batch of an epoch and after its dev pass there may
    be one state each."""
    named = re.fullmatch(r"state-(\d+)-[0-9a-f]{16}\.pt", state.name)
    return int(named[1]) if named else -1, state.stat().st_mtime_ns
