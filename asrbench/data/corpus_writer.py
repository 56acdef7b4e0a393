"""Writing a corpus folder: utterances, splits as Arrow files, and what was left out.

The folder itself is described in `asrbench.data.corpus`, which reads it.
"""

import errno
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from asrbench.base.errors import UserError
from asrbench.base.files import write_json
from asrbench.base.folders import atomic_folder
from asrbench.data.content_check import StoredFile
from asrbench.data.corpus import FORMAT, Corpus, other_files
from asrbench.data.ledger import Ledger
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples

SHARD_BYTES = 2 << 30
"""Size at which a split continues in a new file."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
ROWS_PER_BATCH, BATCH_BYTES = 64, 256 << 20
"""A record batch ends when it has this many rows or bytes of audio."""

MOST_AUDIO_BYTES = 1 << 30
"""Largest audio of an utterance, 9.3 hours. Arrow counts the bytes of a batch in 31 bits."""

TEXT_COLUMNS = ("id", "speaker", "text", "spelling", "phonetic", "raw")
MARK_COLUMNS = ("channel", "language")
"""Columns that were added later. Only their values that are not `None` enter the fingerprint."""

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
    """One row of a split. `audio` is 16 kHz mono. Fields that a recipe does not fill are `None`."""

    id: str
    """Name of the utterance, unique in the corpus."""
    audio: Samples
    """16-bit samples at 16 kHz, little-endian, of one channel."""
    text: str
    """Transcript that is trained on by default and scored, in NFC."""
    speaker: str | None = None
    """Name of the speaker; null if it is not known."""
    spelling: str | None = None
    """Transcript in standard spelling, of a corpus with dual transcriptions."""
    phonetic: str | None = None
    """Transcript as it was pronounced, of a corpus with dual transcriptions."""
    raw: str | None = None
    """Transcript as the source has it, with its marks."""
    channel: str | None = None
    """Channel of the recording, where the source has several."""
    language: str | None = None
    """Language, as the source names it."""
    remarks: tuple[str, ...] = ()
    """Fixed phrases about an unusual utterance. `remarks.jsonl` lists and counts them."""

    @property
    def samples(self) -> int:
        """Number of samples of the audio."""
        return len(self.audio)

    @cached_property
    def digest(self) -> bytes:
        """The digest of the stored audio. Reading threads compute it, to relieve the writer."""
        return hashlib.sha256(self.stored_audio.data).digest()

    @property
    def stored_audio(self) -> Samples:
        """The samples as they are stored: contiguous, little-endian."""
        return np.ascontiguousarray(self.audio, dtype="<i2")


class CorpusWriter:
    """Writes a corpus folder under a temporary name. `create` renames it when it is complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._splits: dict[str, _SplitWriter] = {}
        self._ids: set[str] = set()
        self._rejected = Ledger(folder / "rejected.jsonl")
        self._remarks = Ledger(folder / "remarks.jsonl")
        self._faults: Counter[str] = Counter()
        self.about: dict[str, Any] = {}
        """Further keys of `corpus.json`, which the recipe sets."""
        self.encodings: dict[str, str] = {}
        """The encodings of the lists that are not in UTF-8, by the names of their files."""
        self.share_written = 0.0
        """The share of the corpus that is written, from 0 to 1, as far as the recipe knows."""

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
        """Yields a writer. When the block ends without an error, renames the corpus to `out`.

        Raises `UserError`, leaving nothing behind, if `out` names no folder or exists (with
        `force`, only if it is not a corpus and nothing else), if another process is making it, if
        no utterance was added, if the disk is full, and with `strict` if an utterance was rejected.
        """
        if out.name in ("", "..") or (out.is_symlink() and not out.exists()):
            found = "a link that leads nowhere" if out.is_symlink() else f"'{out}'"
            raise UserError(f"--out: found {found}, allowed: the name of a new folder")
        _refuse_other(out, force)
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
                    "splits": {n: asdict(s.summary()) for n, s in sorted(writer._splits.items())},
                    "rejected": dict(writer._rejected.reasons),
                    "remarks": dict(writer._remarks.reasons),
                    "files": {
                        path.name: asdict(stored)
                        for _, split in sorted(writer._splits.items())
                        for path, stored in split.files.items()
                    },
                    "fingerprint": _fingerprint(
                        {n: s.hash.hexdigest() for n, s in writer._splits.items()}
                    ),
                }
                | ({"encodings": writer.encodings} if writer.encodings else {})
                | writer.about,
            )
            _refuse_other(out, force)  # preparing takes hours, in which files can be put there

    def add(self, split: str, utterance: Utterance) -> bool:
        """Adds an utterance to a split.

        Rejects a second one of the same id, one that is too long, and one whose id is not Unicode,
        as file names may be, and returns `False`.
        """
        if not _is_unicode(utterance.id):
            self.reject(utterance.id, split, "not Unicode")
            return False
        if utterance.id in self._ids:
            self.reject(utterance.id, split, "duplicate id")
            return False
        if utterance.audio.nbytes > MOST_AUDIO_BYTES:
            hours = utterance.samples / SAMPLE_RATE_HZ / 3600
            self.reject(utterance.id, split, "too long", f"{hours:.1f} hours")
            return False
        self._ids.add(utterance.id)
        if split not in self._splits:
            self._splits[split] = _SplitWriter(self._folder, split)
        self._splits[split].add(utterance)
        for remark in utterance.remarks:
            self._remarks.enter(utterance.id, split, remark, utterance.raw or "")
        return True

    def reject(self, id: str, split: str, reason: str, detail: str = "") -> None:
        """Leaves out an utterance because of a fault, which is an error with `strict`."""
        self._faults[reason] += 1
        self.leave_out(id, split, reason, detail)

    def leave_out(self, id: str, split: str, reason: str, detail: str = "") -> None:
        """Leaves out an utterance as the options ask, for example to make splits disjoint.

        Writes a row of `rejected.jsonl`. It is no fault, so `strict` accepts it.
        """
        self._rejected.enter(id, split, reason, detail)

    def _close(self) -> None:
        for split in self._splits.values():
            split.close()
        self._rejected.close()
        self._remarks.close()

    def _full(self, out: Path) -> UserError:
        """Returns the error of a full disk, with the space that the corpus would need."""
        written = sum(path.stat().st_size for path in self._folder.iterdir()) / 1e9
        needed = f" of about {written / self.share_written:.1f}" if self.share_written else ""
        return UserError(
            f"{out}: the disk is full after {written:.1f}{needed} GB; make room, or choose another "
            f"--out"
        )

    def _check(self, source: str, strict: bool) -> None:
        """Raises `UserError` for an empty corpus, and with `strict` for a rejected utterance."""
        if self._faults and strict:
            found = ", ".join(f"{n} {reason}" for reason, n in self._faults.items())
            raise UserError(
                f"{source}: {self._faults.total()} utterances rejected ({found}); "
                f"without --strict they are listed and left out"
            )
        if not self._splits:
            reasons = self._rejected.reasons.items()
            found = ", ".join(f"{n} {reason}" for reason, n in reasons) or "none at all"
            example = f"; the first: {self._rejected.first}" if self._rejected.first else ""
            raise UserError(f"{source}: no usable utterance (rejected: {found}){example}")


def _refuse_other(out: Path, force: bool) -> None:
    """Raises `UserError` if `force` would delete anything but a prepared corpus."""
    if not force or not out.exists():
        return
    if not out.is_dir() or (others := other_files(out)) is None:
        raise UserError(f"{out}: is no prepared corpus, and --force replaces nothing else")
    if others:
        raise UserError(
            f"{out}: holds {others[0]}, which is no part of a corpus, and --force would delete it; "
            f"move it, or choose another --out"
        )


@dataclass(frozen=True)
class SplitSummary:
    """The counts of a split in `corpus.json`."""

    utterances: int
    hours: float
    speakers: int | None
    """`None` if no speaker is known."""


class _SplitWriter:
    """Writes one split as Arrow files of about `SHARD_BYTES`."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._rows: list[dict[str, Any]] = []
        self._audio: list[Samples] = []
        self._batch_bytes = 0
        self.files: dict[Path, StoredFile] = {}
        """The finished files in their order, each with its digest."""
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._shard_bytes = 0
        self._utterances, self._samples = 0, 0
        self._speakers: set[str] = set()
        self.hash = hashlib.sha256()

    def add(self, utterance: Utterance) -> None:
        row = {column: getattr(utterance, column) for column in (*TEXT_COLUMNS, *MARK_COLUMNS)}
        row = _hashed(self.hash, row, utterance.digest)
        self._rows.append(row | {"samples": utterance.samples})
        self._audio.append(utterance.stored_audio)
        self._utterances += 1
        self._samples += utterance.samples
        self._batch_bytes += self._audio[-1].nbytes
        self._shard_bytes += self._audio[-1].nbytes
        if utterance.speaker is not None:
            self._speakers.add(utterance.speaker)
        if len(self._rows) == ROWS_PER_BATCH or self._batch_bytes >= BATCH_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._end_file()
        if len(self.files) == 1:
            ((path, stored),) = self.files.items()
            self.files = {path.rename(self._folder / f"{self._split}.arrow"): stored}

    def summary(self) -> SplitSummary:
        """Returns the counts of the split so far."""
        return SplitSummary(
            utterances=self._utterances,
            hours=round(self._samples / SAMPLE_RATE_HZ / 3600, 4),
            speakers=len(self._speakers) or None,
        )

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            self._writer = pa.ipc.new_file(self._path, SCHEMA)
        self._writer.write_batch(_record_batch(self._rows, self._audio))
        self._rows, self._audio, self._batch_bytes = [], [], 0
        if self._shard_bytes >= SHARD_BYTES:
            self._end_file()

    @property
    def _path(self) -> Path:
        """The path of the file that is being written."""
        return self._folder / f"{self._split}-{len(self.files):05d}.arrow"

    def _end_file(self) -> None:
        """Closes the current file, if any, and digests it while it is still in memory."""
        if self._writer is not None:
            self._writer.close()
            self.files[self._path] = StoredFile.of(self._path)
            self._writer, self._shard_bytes = None, 0


def _record_batch(rows: list[dict[str, Any]], audio: list[Samples]) -> pa.RecordBatch:
    # One Python object for each recording would take most of the time of a preparation.
    starts = np.cumsum([0, *(wave.nbytes for wave in audio)], dtype=np.int32)
    buffers = [None, pa.py_buffer(starts), pa.py_buffer(b"".join(wave.data for wave in audio))]
    columns = [
        pa.Array.from_buffers(field.type, len(rows), buffers)
        if field.name == "audio"
        else pa.array([row.get(field.name) for row in rows], field.type)
        for field in SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def fingerprint_of(corpus: Corpus) -> str:
    """Returns the fingerprint that a corpus folder has by its content, all of which is read.

    Raises `UserError` for a split that cannot be read.
    """
    hashes = {}
    for name in corpus.split_names:
        split, hashed = corpus.split(name), hashlib.sha256()
        columns = {column: split.column(column) for column in (*TEXT_COLUMNS, *MARK_COLUMNS)}
        for index in range(len(split)):
            row = {column: values[index] for column, values in columns.items()}
            _hashed(hashed, row, hashlib.sha256(split.audio(index).data).digest())
        hashes[name] = hashed.hexdigest()
    return _fingerprint(hashes)


def _hashed(hashed: "hashlib._Hash", row: dict[str, Any], audio: bytes) -> dict[str, Any]:
    """Adds an utterance with the digest of its audio to the hash of a split.

    Returns the columns that count: those that were added later only if they have a value.
    """
    row = {c: value for c, value in row.items() if c in TEXT_COLUMNS or value is not None}
    hashed.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode())
    hashed.update(audio)
    return row


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fingerprint(hashes: dict[str, str]) -> str:
    """Returns 16 hexadecimal digits over ids, texts and audio of every split, in their order."""
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:16]
