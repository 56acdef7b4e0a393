"""The corpus folder, which `prep` writes and every other stage reads.

    corpus.json      name, recipe, source, counts, hours, sample rate, text profile, fingerprint,
                     size and digest of each Arrow file
    <split>.arrow    one row for each utterance (Arrow IPC; large: `<split>-00000.arrow` and on)
    rejected.jsonl   the utterances that were left out, each with the reason
    remarks.jsonl    remarks about utterances that are in the corpus

pyarrow, pandas and polars read it without this program. Here it is read through a memory map.
`asrbench.data.corpus_writer` writes it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from asrbench.base.errors import UserError, pick
from asrbench.base.files import read_json
from asrbench.base.records import checked, read_record
from asrbench.data.content_check import StoredFile, check_content
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.text.profiles import Side

FORMAT = 1
"""Version of the folder's format."""


Rows = npt.NDArray[np.int64]

_NEEDED = {"id": pa.string(), "audio": pa.binary(), "samples": pa.int64(), "text": pa.string()}
"""The columns that every split has, with their types."""


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
    """The utterances of one split, in the order of the corpus, read through a memory map.

    With `rows`, they are only those rows of the files, in that order.
    """

    def __init__(
        self, paths: Sequence[Path], side: Side = "text", rows: Rows | None = None
    ) -> None:
        self._paths, self.side, self._rows = paths, side, rows
        table = pa.concat_tables([_mapped(path) for path in paths])
        self._audio = table.column("audio")
        self._starts = np.cumsum([0, *(len(chunk) for chunk in self._audio.chunks)])
        # The audio stays where it is: `take` would copy it.
        table = table.drop_columns("audio")
        self._table = table if rows is None else table.take(rows)

    def __reduce__(self) -> tuple[type["Split"], tuple[Sequence[Path], Side, Rows | None]]:
        """Pickles the paths: a loader process opens the files itself and shares the page cache."""
        return Split, (self._paths, self.side, self._rows)

    def on(self, side: Side) -> "Split":
        """Returns the same utterances with the column `side`, one of `sides`, as their texts."""
        return Split(self._paths, side, self._rows)

    def only(self, rows: Rows) -> "Split":
        """Returns the utterances of a whole split at `rows`, in that order."""
        return Split(self._paths, self.side, rows)

    def __len__(self) -> int:
        return int(self._table.num_rows)

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
        table, names = self._table, self._table.column_names
        return tuple(s for s in get_args(Side) if s in names and not table.column(s).null_count)

    @cached_property
    def samples(self) -> npt.NDArray[np.int64]:
        """The length of each utterance, in samples at 16 kHz."""
        return np.asarray(self._table.column("samples").to_numpy(), dtype=np.int64)

    @property
    def hours(self) -> float:
        """The hours of audio in the split."""
        return float(self.samples.sum()) / SAMPLE_RATE_HZ / 3600

    def column(self, name: str) -> list[Any]:
        """Returns a column, all `None` in a folder that predates the column."""
        if name not in self._table.column_names:
            return [None] * len(self)
        return list(self._table.column(name).to_pylist())

    def audio(self, index: int) -> Samples:
        """Returns the 16 kHz samples of one utterance: a read-only view, without a copy."""
        stored = index if self._rows is None else int(self._rows[index])
        chunk = int(np.searchsorted(self._starts, stored, side="right")) - 1
        row = stored - int(self._starts[chunk])
        # A binary array is (validity, int32 offsets, bytes). Its scalars would be copies.
        _, offsets, data = self._audio.chunk(chunk).buffers()
        start, end = np.frombuffer(offsets, dtype=np.int32)[row : row + 2].tolist()
        return np.frombuffer(data, dtype="<i2", count=(end - start) // 2, offset=start)


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
        path = folder / "corpus.json"
        if not path.is_file():
            raise UserError(
                f"corpus: {folder} is no prepared corpus; make it with "
                f"`asrbench prep RECIPE SOURCE --out {folder}`"
            )
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


def _mapped(path: Path) -> pa.Table:
    try:
        # Nothing is copied, so that threads, which take memory, would make nothing faster.
        options = pa.ipc.IpcReadOptions(use_threads=False)
        table = pa.ipc.open_file(pa.memory_map(str(path)), options=options).read_all()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        if isinstance(error, MemoryError) or "Failed to launch worker thread" in reason:
            raise MemoryError(reason) from None
        raise UserError(f"{path}: cannot be read ({reason}); prepare the corpus again") from None
    found = dict(zip(table.schema.names, table.schema.types, strict=True))
    for column, kind in _NEEDED.items():
        if found.get(column) != kind:
            raise UserError(
                f"{path}: found the column '{column}' with {found.get(column, 'nothing')}, "
                f"allowed: {kind}; prepare the corpus again"
            )
    return table
