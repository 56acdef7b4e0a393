"""The corpus folder, which `prep` writes and every other stage reads.

    corpus.json      name, recipe, source, counts, hours, sample rate, text profile, fingerprint
    <split>.arrow    one row for each utterance (Arrow IPC; large: `<split>-00000.arrow` and on)
    rejected.jsonl   the utterances that were left out, each with the reason
    remarks.jsonl    remarks about utterances that are in the corpus

pyarrow, pandas and polars read it without this program. Here it is read through a memory map.
`asrbench.data.corpus_writer` writes it.
"""

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
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.text.profiles import Side

FORMAT = 1
"""Version of the folder's format."""


Rows = npt.NDArray[np.int64]


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
        about = read_json(path)
        found = about.get("format") if isinstance(about, dict) else None
        if found != FORMAT:
            raise UserError(
                f"{path}: found format {found!r}, allowed: {FORMAT}; prepare the corpus again with "
                f"`asrbench prep`"
            )
        missing = [
            key for key in ("name", "fingerprint", "text_profile", "splits") if key not in about
        ]
        if missing:
            raise UserError(f"{path}: has no '{missing[0]}'; prepare the corpus again")
        return cls(
            folder,
            about["name"],
            about["fingerprint"],
            about["text_profile"],
            split_names=list(about["splits"]),
            rejected=about.get("rejected", {}),
            remarks=about.get("remarks", {}),
        )

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
        """Returns the files of a split. Raises `UserError` if they are missing."""
        whole = self.folder / f"{name}.arrow"
        paths = (
            [whole] if whole.is_file() else sorted(self.folder.glob(f"{name}-{5 * '[0-9]'}.arrow"))
        )
        if not paths:
            raise UserError(f"{self.folder}: {name}.arrow is missing; prepare the corpus again")
        return paths


def _mapped(path: Path) -> pa.Table:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read ({reason}); prepare the corpus again") from None
