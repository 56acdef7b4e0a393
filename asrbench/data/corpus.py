"""The corpus folder: what `prep` leaves and every other stage reads.

    corpus.json      name, recipe, source, counts, hours, sample rate, text profile, fingerprint
    <split>.arrow    one row an utterance (Arrow IPC; `<split>-00000.arrow` and on when large)
    rejected.jsonl   every utterance left out, and why

Readable by pyarrow, pandas or polars without this program; read here through a memory map.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from asrbench.errors import UserError, pick
from asrbench.files import atomic_folder, read_json, write_json, write_jsonl
from asrbench.waveform import SAMPLE_RATE_HZ, Samples

FORMAT = 1
SHARD_BYTES = 2 << 30
ROWS_PER_BATCH = 64

TEXT_COLUMNS = ("id", "speaker", "text", "spelling", "phonetic", "raw")
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("audio", pa.binary(), nullable=False),
        pa.field("samples", pa.int64(), nullable=False),
        pa.field("speaker", pa.string()),
        pa.field("text", pa.string(), nullable=False),
        pa.field("spelling", pa.string()),
        pa.field("phonetic", pa.string()),
        pa.field("raw", pa.string()),
    ]
)


@dataclass(frozen=True)
class Utterance:
    """One row of a split. `audio` is 16 kHz mono; `None` where the recipe knows no such thing."""

    id: str
    audio: Samples
    text: str
    speaker: str | None = None
    spelling: str | None = None
    phonetic: str | None = None
    raw: str | None = None


class CorpusWriter:
    """Writes a corpus folder under a temporary name; `create` renames it when it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._splits: dict[str, _SplitWriter] = {}
        self._ids: set[str] = set()
        self.rejected: list[dict[str, str]] = []
        self._faults: Counter[str] = Counter()

    @classmethod
    @contextmanager
    def create(
        cls, out: Path, *, name: str, recipe: str, source: str, text_profile: str, strict: bool
    ) -> Iterator["CorpusWriter"]:
        """Yields a writer; on a clean exit seals the corpus and renames it to `out`.

        Raises `UserError`, leaving nothing behind, if `out` exists, if no utterance was added, or
        if `strict` and anything was rejected.
        """
        with atomic_folder(out) as folder:
            writer = cls(folder)
            try:
                yield writer
            finally:
                for split in writer._splits.values():
                    split.close()
            writer._check(source, strict)
            write_jsonl(folder / "rejected.jsonl", writer.rejected)
            write_json(
                folder / "corpus.json",
                {
                    "format": FORMAT,
                    "name": name,
                    "recipe": recipe,
                    "source": source,
                    "text_profile": text_profile,
                    "sample_rate_hz": SAMPLE_RATE_HZ,
                    "splits": {n: s.summary() for n, s in sorted(writer._splits.items())},
                    "rejected": dict(Counter(row["reason"] for row in writer.rejected)),
                    "fingerprint": _fingerprint(
                        {n: s.hash.hexdigest() for n, s in writer._splits.items()}
                    ),
                },
            )

    def add(self, split: str, utterance: Utterance) -> None:
        """Appends `utterance` to `split`. A second utterance of the same id is rejected."""
        if utterance.id in self._ids:
            self.reject(utterance.id, split, "duplicate id")
            return
        self._ids.add(utterance.id)
        if split not in self._splits:
            self._splits[split] = _SplitWriter(self._folder, split)
        self._splits[split].add(utterance)

    def reject(self, id: str, split: str, reason: str, detail: str = "") -> None:
        """Records a fault: why an utterance is not in the corpus. A row of `rejected.jsonl`."""
        self._faults[reason] += 1
        self.leave_out(id, split, reason, detail)

    def leave_out(self, id: str, split: str, reason: str, detail: str = "") -> None:
        """Like `reject`, for what was asked for (a disjoint split, say): no fault to `strict`."""
        self.rejected.append({"id": id, "split": split, "reason": reason, "detail": detail})

    def _check(self, source: str, strict: bool) -> None:
        if self._faults and strict:
            found = ", ".join(f"{n} {reason}" for reason, n in self._faults.items())
            raise UserError(
                f"{source}: {self._faults.total()} utterances rejected ({found}); "
                f"without --strict they are listed and left out"
            )
        if not self._splits:
            reasons = Counter(row["reason"] for row in self.rejected)
            found = ", ".join(f"{n} {reason}" for reason, n in reasons.items()) or "none at all"
            raise UserError(f"{source}: no usable utterance (rejected: {found})")


class _SplitWriter:
    """Arrow files of one split, cut into shards of about `SHARD_BYTES`."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._rows: list[dict[str, Any]] = []
        self._shards: list[Path] = []
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._shard_bytes = 0
        self._utterances, self._samples = 0, 0
        self._speakers: set[str] = set()
        self.hash = hashlib.sha256()

    def add(self, utterance: Utterance) -> None:
        audio = np.ascontiguousarray(utterance.audio, dtype="<i2").tobytes()
        row = {column: getattr(utterance, column) for column in TEXT_COLUMNS}
        self.hash.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode())
        self.hash.update(hashlib.sha256(audio).digest())
        self._rows.append(row | {"audio": audio, "samples": len(utterance.audio)})
        self._utterances += 1
        self._samples += len(utterance.audio)
        self._shard_bytes += len(audio)
        if utterance.speaker is not None:
            self._speakers.add(utterance.speaker)
        if len(self._rows) == ROWS_PER_BATCH:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()
        if len(self._shards) == 1:
            self._shards[0].rename(self._folder / f"{self._split}.arrow")

    def summary(self) -> dict[str, Any]:
        return {
            "utterances": self._utterances,
            "hours": round(self._samples / SAMPLE_RATE_HZ / 3600, 4),
            "speakers": len(self._speakers) or None,
        }

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            path = self._folder / f"{self._split}-{len(self._shards):05d}.arrow"
            self._shards.append(path)
            self._writer = pa.ipc.new_file(path, SCHEMA)
        self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, SCHEMA))
        self._rows = []
        if self._shard_bytes >= SHARD_BYTES:
            self._writer.close()
            self._writer, self._shard_bytes = None, 0


class Split:
    """The utterances of one split, in the order they were prepared, behind a memory map."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._table = pa.concat_tables([_mapped(path) for path in paths])
        self._audio = self._table.column("audio")
        self._starts = np.cumsum([0, *(len(chunk) for chunk in self._audio.chunks)])

    def __reduce__(self) -> tuple[type["Split"], tuple[Sequence[Path]]]:
        """A loader's process opens the files itself, so that the page cache is shared."""
        return Split, (self._paths,)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @cached_property
    def ids(self) -> list[str]:
        return self.column("id")

    @cached_property
    def texts(self) -> list[str]:
        return self.column("text")

    @cached_property
    def samples(self) -> npt.NDArray[np.int64]:
        """Length of each utterance, in samples at 16 kHz."""
        return np.asarray(self._table.column("samples").to_numpy(), dtype=np.int64)

    @property
    def hours(self) -> float:
        return float(self.samples.sum()) / SAMPLE_RATE_HZ / 3600

    def column(self, name: str) -> list[Any]:
        return list(self._table.column(name).to_pylist())

    def audio(self, index: int) -> Samples:
        """The 16 kHz samples of one utterance: a read-only view of the memory map, no copy."""
        chunk = int(np.searchsorted(self._starts, index, side="right")) - 1
        row = index - int(self._starts[chunk])
        # A binary array is (validity, int32 offsets, bytes); taking its scalar would copy.
        _, offsets, data = self._audio.chunk(chunk).buffers()
        start, end = np.frombuffer(offsets, dtype=np.int32)[row : row + 2].tolist()
        return np.frombuffer(data, dtype="<i2", count=(end - start) // 2, offset=start)


class Corpus:
    """A prepared corpus folder, opened for reading."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.folder = folder
        self.name: str = about["name"]
        self.fingerprint: str = about["fingerprint"]
        self.text_profile: str = about["text_profile"]
        self.split_names: list[str] = list(about["splits"])

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        """Raises `UserError` where there is no corpus, or one of another format version."""
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
        return cls(folder, about)

    def split(self, name: str) -> Split:
        pick(f"{self.folder}: split", name, self.split_names)
        whole = self.folder / f"{name}.arrow"
        paths = (
            [whole] if whole.is_file() else sorted(self.folder.glob(f"{name}-{5 * '[0-9]'}.arrow"))
        )
        if not paths:
            raise UserError(f"{self.folder}: {name}.arrow is missing; prepare the corpus again")
        return Split(paths)


def _mapped(path: Path) -> pa.Table:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read ({reason}); prepare the corpus again") from None


def _fingerprint(hashes: dict[str, str]) -> str:
    """16 hexadecimal digits over ids, texts and audio of every split, in their order."""
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:16]
