"""One Arrow file of a corpus, opened for reading.

Columns and audio are read with read(2), because reading through a memory map ends the process by
SIGBUS where the file was cut meanwhile or the disk fails. Only the places of the record batches are
looked up in a map, once, when the file is opened.
"""

import io
import mmap
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from asrbench.base.errors import UserError
from asrbench.data.waveform import Samples

NEEDED = {"id": pa.string(), "audio": pa.binary(), "samples": pa.int64(), "text": pa.string()}
"""The columns that every file has, with their types. No value of them is null. Other columns hold
text."""

_REMEDY = "restore the file, or prepare the corpus again"


class Shard:
    """The utterances of one Arrow file. A column is read when it is asked for.

    Every method raises `UserError` if the file cannot be read or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0
        with self._readable():
            # Without O_NONBLOCK, opening a pipe waits until something writes to it.
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._file)
            about = os.fstat(self._file)
            self._size = about.st_size
            if not stat.S_ISREG(about.st_mode):
                raise pa.ArrowInvalid("it is no regular file")
            self._schema = pa.ipc.open_file(self._arrow_file()).schema
            self.columns: list[str] = list(self._schema.names)
            for name in NEEDED:
                self._check_type(name)
            self.samples = _integers(self.column("samples"))
            self._starts = self._audio_starts()

    def __len__(self) -> int:
        return len(self.samples)

    def column(self, name: str) -> pa.ChunkedArray:
        """Returns one of `columns`, whose values are checked."""
        with self._readable():
            self._check_type(name)
            # A column is read as fast without threads, which take memory.
            options = pa.ipc.IpcReadOptions(
                included_fields=[self.columns.index(name)], use_threads=False
            )
            reader = pa.ipc.open_file(self._arrow_file(), options=options)
            values = reader.read_all().column(name)
            values.validate(full=True)
            if name in NEEDED and values.null_count:
                raise pa.ArrowInvalid(f"a value of '{name}' is missing")
            return values

    def audio(self, row: int) -> Samples:
        """Returns the 16 kHz samples of one utterance, read-only."""
        with self._readable():
            content = self._read(int(self._starts[row]), 2 * int(self.samples[row]))
        return np.frombuffer(content, dtype="<i2")

    def _check_type(self, column: str) -> None:
        found = self._schema.field(column).type if column in self.columns else "nothing"
        if found != (allowed := NEEDED.get(column, pa.string())):
            raise UserError(
                f"{self.path}: found the column '{column}' with {found}, allowed: {allowed}; "
                f"{_REMEDY}"
            )

    def _arrow_file(self) -> pa.PythonFile:
        return pa.PythonFile(_Reads(self._file), mode="r")

    def _audio_starts(self) -> npt.NDArray[np.int64]:
        """Returns the place in the file where the audio of each utterance begins."""
        mapped = pa.py_buffer(mmap.mmap(self._file, 0, access=mmap.ACCESS_READ))
        reader = pa.ipc.open_file(mapped)
        starts, lengths = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for number in range(reader.num_record_batches):
            # A binary array is (validity, int32 offsets, bytes).
            _, offsets, audio = reader.get_batch(number).column("audio").buffers()
            content = self._read(offsets.address - mapped.address, offsets.size)
            places = np.frombuffer(content, dtype="<i4").astype(np.int64)
            if places.min() < 0 or places.max() > audio.size:
                raise pa.ArrowInvalid("audio lies outside its batch")
            starts.append(places[:-1] + audio.address - mapped.address)
            lengths.append(np.diff(places))
        if not np.array_equal(np.concatenate(lengths), 2 * self.samples):
            raise pa.ArrowInvalid("audio has other lengths than 'samples' says")
        return np.concatenate(starts)

    def _read(self, start: int, size: int) -> bytes:
        content = os.pread(self._file, size, start)
        if len(content) < size:
            raise pa.ArrowInvalid(f"it ends {size - len(content):,} bytes too early")
        return content

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turns the errors of Arrow and of the system into `UserError`."""
        try:
            yield
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            if cut := self._cut():
                raise UserError(f"{self.path}: {cut}; {_REMEDY}") from None
            raise UserError(f"{self.path}: cannot be read ({reason}); {_REMEDY}") from None

    def _cut(self) -> str | None:
        """Returns how the file was cut since it was opened; None if it was not."""
        size = os.fstat(self._file).st_size if self._size else 0
        if size >= self._size:
            return None
        return f"was cut while it was read, from {self._size:,} bytes to {size:,}"


def _integers(values: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Returns a column without null. Its own `to_numpy` would import pandas, which is slow."""
    return np.concatenate([np.zeros(0, np.int64), *map(np.from_dlpack, values.chunks)])


class _Reads(io.RawIOBase):
    """An open file, read from a place of its own: that of a descriptor is shared by processes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._place = descriptor, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = os.fstat(self._descriptor).st_size
        self._place = offset + {os.SEEK_CUR: self._place, os.SEEK_END: size}.get(whence, 0)
        return self._place

    def readinto(self, buffer: Any) -> int:
        content = os.pread(self._descriptor, len(buffer), self._place)
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)
