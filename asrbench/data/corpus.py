"""The corpus folder, which `prep` writes and every other stage reads.

    corpus.json      name, recipe, source, counts, hours, sample rate, text profile, fingerprint,
                     size and digest of each Arrow file
    <split>.arrow    one row for each utterance (Arrow IPC; large: `<split>-00000.arrow` and on)
    rejected.jsonl   the utterances that were left out, each with the reason
    remarks.jsonl    remarks about utterances that are in the corpus

pyarrow, pandas and polars read it without this program. `asrbench.data.corpus_writer` writes it,
and `asrbench.data.shard` reads an Arrow file.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from asrbench.base.errors import UserError, pick
from asrbench.base.files import read_json
from asrbench.base.records import checked, read_record
from asrbench.data.content_check import StoredFile, check_content
from asrbench.data.shard import Shard
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.text.profiles import Side

FORMAT = 1
"""Version of the folder's format."""


TRAINING_SPLITS = ("train", "dev")
"""The splits that training reads. All others are for evaluation."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _About:
    """The keys of `corpus.json` that are read back. Recipes add others."""

    name: str
    fingerprint: str
    text_profile: str
    splits: dict[str, dict[str, Any]]
    rejected: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, int] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)


class Split:
    """The utterances of one split, in the order of the corpus.

    With `rows`, they are only those rows of the files, in that order. Whatever reads a file raises
    `UserError` if it is damaged.
    """

    def __init__(
        self, paths: Sequence[Path], side: Side = "text", rows: Rows | None = None
    ) -> None:
        self._paths, self.side, self._rows = paths, side, rows
        self._shards = [Shard(path) for path in paths]
        self._starts = np.cumsum([0, *map(len, self._shards)])

    def __reduce__(self) -> tuple[type["Split"], tuple[Sequence[Path], Side, Rows | None]]:
        """Pickles the paths: a loader process opens the files itself."""
        return Split, (self._paths, self.side, self._rows)

    def on(self, side: Side) -> "Split":
        """Returns the same utterances with the column `side`, one of `sides`, as their texts."""
        return Split(self._paths, side, self._rows)

    def only(self, rows: Rows) -> "Split":
        """Returns the utterances of a whole split at `rows`, in that order."""
        return Split(self._paths, self.side, rows)

    def part(self, share: float) -> "Split":
        """Returns a share of the utterances, above 0 and at most 1, in the order of the corpus.

        A hash of their ids chooses them, at least one: so a smaller share is part of a larger one.
        """
        if share == 1:
            return self
        first = sorted(range(len(self)), key=lambda i: sha256(self.ids[i].encode()).digest())
        rows = np.array(sorted(first[: max(1, round(share * len(self)))]), np.int64)
        return Split(self._paths, self.side, rows if self._rows is None else self._rows[rows])

    def __len__(self) -> int:
        return int(self._starts[-1]) if self._rows is None else len(self._rows)

    @cached_property
    def ids(self) -> list[str]:
        """The id of each utterance."""
        return self.column("id")

    @cached_property
    def texts(self) -> list[str]:
        """The text of each utterance, from the column `side`."""
        return self.column(self.side)

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        """The columns that have a text for every utterance. `text` is always among them."""
        return tuple(side for side in get_args(Side) if not self._stored(side).null_count)

    @cached_property
    def samples(self) -> npt.NDArray[np.int64]:
        """The length of each utterance, in samples at 16 kHz."""
        samples = np.concatenate([shard.samples for shard in self._shards])
        return samples if self._rows is None else samples[self._rows]

    @property
    def hours(self) -> float:
        """The hours of audio in the split."""
        return float(self.samples.sum()) / SAMPLE_RATE_HZ / 3600

    def column(self, name: str) -> list[Any]:
        """Returns a column of text, all `None` in a folder that predates the column."""
        return list(self._stored(name).to_pylist())

    def _stored(self, name: str) -> pa.ChunkedArray:
        chunks: list[pa.Array] = []
        for shard in self._shards:
            if name in shard.columns:
                chunks += shard.column(name).chunks
            else:
                chunks.append(pa.nulls(len(shard), pa.string()))
        stored = pa.chunked_array(chunks, type=pa.string())
        return stored if self._rows is None else stored.take(self._rows)

    def audio(self, index: int) -> Samples:
        """Returns the 16 kHz samples of one utterance, read-only."""
        stored = index if self._rows is None else int(self._rows[index])
        shard = int(np.searchsorted(self._starts, stored, side="right")) - 1
        return self._shards[shard].audio(stored - int(self._starts[shard]))


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus folder, opened for reading."""

    folder: Path
    name: str
    fingerprint: str
    text_profile: str
    split_names: list[str]
    rejected: dict[str, int] = field(default_factory=dict)
    """How many utterances were left out, by reason."""
    remarks: dict[str, int] = field(default_factory=dict)
    """How many utterances have each remark. Empty in folders that predate remarks."""
    files: dict[str, StoredFile] = field(default_factory=dict)
    """Size and digest of each Arrow file by its name. Empty in folders that predate digests."""

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        """Opens a corpus folder.

        Raises `UserError` if there is no corpus, or one of another format version.
        """
        path = find_corpus([folder]) / "corpus.json"
        remedy = "prepare the corpus again"
        found = read_record(path, dict[str, Any], remedy)
        if found.get("format") != FORMAT:
            raise UserError(
                f"{path}: found format {found.get('format')!r}, allowed: {FORMAT}; prepare the "
                f"corpus again with `asrbench prep`"
            )
        about = checked(found, _About, str(path), remedy)
        return cls(
            folder,
            about.name,
            about.fingerprint,
            about.text_profile,
            split_names=list(about.splits),
            rejected=about.rejected,
            remarks=about.remarks,
            files=about.files,
        )

    def check_files(self, *, again: bool = False) -> None:
        """Raises `UserError` for a file that is missing or damaged, as `check_content` does.

        Files of a folder that predates digests cannot be checked.
        """
        for name, expected in self.files.items():
            check_content(self.folder / name, expected, again=again)

    def split(self, name: str) -> Split:
        """Opens the split `name`. Raises `UserError` if the corpus has no such split."""
        pick(f"{self.folder}: split", name, self.split_names)
        return Split(self._paths(name))

    @property
    def evaluation_splits(self) -> list[str]:
        """The splits that training does not read, `test` first; `eval` takes them all.

        Raises `UserError` if there is none.
        """
        names = [name for name in self.split_names if name not in TRAINING_SPLITS]
        if not names:
            found = ", ".join(self.split_names)
            raise UserError(
                f"{self.folder}: found the splits {found}, which training reads, and none to test "
                f"on; --split dev takes the dev set"
            )
        return sorted(names, key=lambda name: name != "test")

    @property
    def whole(self) -> Split:
        """The utterances of all splits, one split after another, sorted by their names.

        The id of an utterance is unique in the corpus.
        """
        return Split([path for name in sorted(self.split_names) for path in self._paths(name)])

    def _paths(self, name: str) -> list[Path]:
        """Returns the files of a split. Raises `UserError` if one is missing or damaged."""
        shard = re.compile(re.escape(name) + r"(-\d{5})?\.arrow")
        names = self.files or (path.name for path in self.folder.glob("*.arrow"))
        paths = sorted(self.folder / each for each in names if shard.fullmatch(each))
        if not paths:
            raise UserError(f"{self.folder}: {name}.arrow is missing; prepare the corpus again")
        for path in paths:
            if path.name in self.files:
                check_content(path, self.files[path.name])
        return paths


def find_corpus(places: Sequence[Path], otherwise: str = "") -> Path:
    """Returns the first of `places` that is a prepared corpus.

    Raises `UserError` with all places if none is. `otherwise` says what else can be done.
    """
    places = list(dict.fromkeys(places))
    for folder in places:
        if (folder / "corpus.json").is_file():
            return folder
    first, *others = places
    nor = "".join(f", nor is {folder}" for folder in others)
    raise UserError(
        f"corpus: {first} is no prepared corpus{nor}; make it with "
        f"`asrbench prep RECIPE SOURCE --out {first}`{otherwise}"
    )


def other_files(folder: Path) -> list[str] | None:
    """Returns the names in a corpus folder that are no part of a corpus, sorted.

    None if the folder holds no corpus of this or an earlier format.
    """
    try:
        about = read_json(folder / "corpus.json")
    except UserError:
        return None
    if not isinstance(about, dict) or not isinstance(about.get("splits"), dict):
        return None
    if not isinstance(about.get("fingerprint"), str):
        return None
    splits = "|".join(map(re.escape, about["splits"]))
    own = re.compile(rf"(corpus\.json|(rejected|remarks)\.jsonl|({splits})(-\d{{5}})?\.arrow)")
    return sorted(path.name for path in folder.iterdir() if not own.fullmatch(path.name))
