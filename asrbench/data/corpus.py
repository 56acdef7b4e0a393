"""The corpus folder: what `prep` leaves and every other stage reads.

    corpus.json      name, recipe, source, counts, hours, sample rate, text profile, fingerprint
    <split>.arrow    one row an utterance (Arrow IPC; `<split>-00000.arrow` and on when large)
    rejected.jsonl   every utterance left out, and why
    remarks.jsonl    what was odd about utterances that are in it

Readable by pyarrow, pandas or polars without this program; read here through a memory map.
"""

import errno
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from asrbench.base.errors import UserError, pick
from asrbench.base.files import atomic_folder, read_json, write_json
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.text.profiles import Side

FORMAT = 1
SHARD_BYTES = 2 << 30
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
ROWS_PER_BATCH = 64

TEXT_COLUMNS = ("id", "speaker", "text", "spelling", "phonetic", "raw")
MARK_COLUMNS = ("channel", "language")
"""Later columns: they count in the fingerprint only where something is in them."""

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
        pa.field("channel", pa.string()),
        pa.field("language", pa.string()),
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
    channel: str | None = None
    language: str | None = None
    remarks: tuple[str, ...] = ()
    """What is odd about it, in fixed words: counted and listed."""

    @cached_property
    def digest(self) -> bytes:
        """Of the audio as it is stored. Who reads in several threads asks there for it."""
        return hashlib.sha256(self.stored_audio.data).digest()

    @property
    def stored_audio(self) -> Samples:
        return np.ascontiguousarray(self.audio, dtype="<i2")


class CorpusWriter:
    """Writes a corpus folder under a temporary name; `create` renames it when it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._splits: dict[str, _SplitWriter] = {}
        self._ids: set[str] = set()
        self._rejected = _Ledger(folder / "rejected.jsonl")
        self._remarks = _Ledger(folder / "remarks.jsonl")
        self._faults: Counter[str] = Counter()
        self.about: dict[str, Any] = {}
        """What the recipe has to say of the corpus: further keys of `corpus.json`."""
        self.share_written = 0.0
        """How much of the corpus is written, as far as the recipe knows: from 0 to 1."""

    @classmethod
    @contextmanager
    def create(
        cls,
        out: Path,
        *,
        name: str,
        recipe: str,
        source: str,
        text_profile: str,
        strict: bool = False,
        force: bool = False,
    ) -> Iterator["CorpusWriter"]:
        """Yields a writer; on a clean exit seals the corpus and renames it to `out`.

        Raises `UserError`, leaving nothing behind: `out` exists (with `force`, only if it is no
        corpus), another process is making it, no utterance was added, `strict` and anything was
        rejected, or the disk is full.
        """
        if force and out.exists() and not (out / "corpus.json").is_file():
            raise UserError(f"{out}: is no prepared corpus, and --force replaces nothing else")
        with atomic_folder(out, replace=force) as folder:
            writer = cls(folder)
            try:
                yield writer
                writer._close()
            except OSError as error:
                if error.errno not in DISK_FULL:
                    raise
                raise writer._full(out) from None
            finally:
                with suppress(OSError):
                    writer._rejected.close()
                    writer._remarks.close()
            writer._check(source, strict)
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
                    "rejected": dict(writer._rejected.reasons),
                    "remarks": dict(writer._remarks.reasons),
                    "fingerprint": _fingerprint(
                        {n: s.hash.hexdigest() for n, s in writer._splits.items()}
                    ),
                }
                | writer.about,
            )

    def add(self, split: str, utterance: Utterance) -> bool:
        """Appends `utterance` to `split`. A second one of the same id is rejected: false."""
        if utterance.id in self._ids:
            self.reject(utterance.id, split, "duplicate id")
            return False
        self._ids.add(utterance.id)
        if split not in self._splits:
            self._splits[split] = _SplitWriter(self._folder, split)
        self._splits[split].add(utterance)
        for remark in utterance.remarks:
            self._remarks.enter(utterance.id, split, remark, utterance.raw or "")
        return True

    def reject(self, id: str, split: str, reason: str, detail: str = "") -> None:
        """Records a fault: why an utterance is not in the corpus. A row of `rejected.jsonl`."""
        self._faults[reason] += 1
        self.leave_out(id, split, reason, detail)

    def leave_out(self, id: str, split: str, reason: str, detail: str = "") -> None:
        """Like `reject`, for what was asked for (a disjoint split, say): no fault to `strict`."""
        self._rejected.enter(id, split, reason, detail)

    def _close(self) -> None:
        for split in self._splits.values():
            split.close()
        self._rejected.close()
        self._remarks.close()

    def _full(self, out: Path) -> UserError:
        written = sum(path.stat().st_size for path in self._folder.iterdir()) / 1e9
        needed = f" of about {written / self.share_written:.1f}" if self.share_written else ""
        return UserError(
            f"{out}: the disk is full after {written:.1f}{needed} GB; make room, or choose another "
            f"--out"
        )

    def _check(self, source: str, strict: bool) -> None:
        if self._faults and strict:
            found = ", ".join(f"{n} {reason}" for reason, n in self._faults.items())
            raise UserError(
                f"{source}: {self._faults.total()} utterances rejected ({found}); "
                f"without --strict they are listed and left out"
            )
        if not self._splits:
            reasons = self._rejected.reasons.items()
            found = ", ".join(f"{n} {reason}" for reason, n in reasons) or "none at all"
            raise UserError(f"{source}: no usable utterance (rejected: {found})")


class _Ledger:
    """A list of utterances and reasons that goes to disk as it grows, and its sums."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self.reasons: Counter[str] = Counter()

    def enter(self, id: str, split: str, reason: str, detail: str) -> None:
        self.reasons[reason] += 1
        row = {"id": id, "split": split, "reason": reason, "detail": detail}
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()


class _SplitWriter:
    """Arrow files of one split, cut into shards of about `SHARD_BYTES`."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._rows: list[dict[str, Any]] = []
        self._audio: list[Samples] = []
        self._shards: list[Path] = []
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._shard_bytes = 0
        self._utterances, self._samples = 0, 0
        self._speakers: set[str] = set()
        self.hash = hashlib.sha256()

    def add(self, utterance: Utterance) -> None:
        row = {column: getattr(utterance, column) for column in TEXT_COLUMNS}
        row |= {c: mark for c in MARK_COLUMNS if (mark := getattr(utterance, c)) is not None}
        self.hash.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode())
        self.hash.update(utterance.digest)
        self._rows.append(row | {"samples": len(utterance.audio)})
        self._audio.append(utterance.stored_audio)
        self._utterances += 1
        self._samples += len(utterance.audio)
        self._shard_bytes += self._audio[-1].nbytes
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
        self._writer.write_batch(_record_batch(self._rows, self._audio))
        self._rows, self._audio = [], []
        if self._shard_bytes >= SHARD_BYTES:
            self._writer.close()
            self._writer, self._shard_bytes = None, 0


def _record_batch(rows: list[dict[str, Any]], audio: list[Samples]) -> pa.RecordBatch:
    # By way of one Python object a recording, most of a preparation's time would go here.
    starts = np.cumsum([0, *(wave.nbytes for wave in audio)], dtype=np.int32)
    buffers = [None, pa.py_buffer(starts), pa.py_buffer(b"".join(wave.data for wave in audio))]
    columns = [
        pa.Array.from_buffers(field.type, len(rows), buffers)
        if field.name == "audio"
        else pa.array([row.get(field.name) for row in rows], field.type)
        for field in SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


class Split:
    """The utterances of one split, in the order they were prepared, behind a memory map."""

    def __init__(self, paths: Sequence[Path], side: Side = "text") -> None:
        self._paths, self.side = paths, side
        self._table = pa.concat_tables([_mapped(path) for path in paths])
        self._audio = self._table.column("audio")
        self._starts = np.cumsum([0, *(len(chunk) for chunk in self._audio.chunks)])

    def __reduce__(self) -> tuple[type["Split"], tuple[Sequence[Path], Side]]:
        """A loader's process opens the files itself, so that the page cache is shared."""
        return Split, (self._paths, self.side)

    def on(self, side: Side) -> "Split":
        """The same utterances, with that column, one of `sides`, for their texts."""
        return Split(self._paths, side)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @cached_property
    def ids(self) -> list[str]:
        return self.column("id")

    @cached_property
    def texts(self) -> list[str]:
        return self.column(self.side)

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        """The columns that have a text for every utterance; `text` always does."""
        table, names = self._table, self._table.column_names
        return tuple(s for s in get_args(Side) if s in names and not table.column(s).null_count)

    @cached_property
    def samples(self) -> npt.NDArray[np.int64]:
        """Length of each utterance, in samples at 16 kHz."""
        return np.asarray(self._table.column("samples").to_numpy(), dtype=np.int64)

    @property
    def hours(self) -> float:
        return float(self.samples.sum()) / SAMPLE_RATE_HZ / 3600

    def column(self, name: str) -> list[Any]:
        """Of a folder from before the column there was, nothing for each utterance."""
        if name not in self._table.column_names:
            return [None] * len(self)
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
