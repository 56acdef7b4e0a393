"""Reading and writing files. A reader never sees half a file, and a crash never leaves one."""

import errno
import hashlib
import io
import json
import os
import platform
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from asrbench.base.errors import UserError

TEXT_BYTES = 1 << 30
"""Largest text file that is read, 1 GiB. The list of a million utterances has about 300 MB."""

MOST_FOLDERS = 100
"""Most folders that are made for one path. `shutil.rmtree` could not delete some hundreds again."""

_PIECE = 1 << 20
"""Bytes that are read at a time: `read(n)` allocates all n of them, however short the file is."""

_STRAY = re.compile(r".+\.tmp-(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}(\.gz)?")
"""A temporary name, with the machine and the process that made it."""

_REMEDIES = {
    errno.EACCES: "choose a place that is yours, or change its rights",
    errno.EPERM: "choose a place that is yours, or change its rights",
    errno.EROFS: "choose another place",
    errno.ENOSPC: "make room, or choose another place",
    errno.EDQUOT: "make room, or choose another place",
    errno.EFBIG: "raise the limit for the size of a file, or choose another place",
    errno.EMFILE: "raise the limit for open files (ulimit -n)",
    errno.ENFILE: "close other programs, which have too many files open",
    errno.EAGAIN: "raise the limit for processes (ulimit -u), or free memory",
    errno.ENOMEM: "use less at a time, or free memory",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "it is a link that leads back to itself; choose another place",
    errno.EISDIR: "move the folder that is in its place",
    errno.ENOTDIR: "move the file that is in the place of a folder",
    errno.EIO: "the device is damaged or was removed; choose another place",
}
"""Errors of the operating system that the user can fix, and how."""


def disk_error(error: OSError, path: Path | str | None = None) -> UserError | None:
    """Returns the one line for an error that the user can fix; None for any other error.

    `path` is the file that was to be written, by default the one that the error names.
    """
    if error.errno not in _REMEDIES:
        return None
    where = path or error.filename
    prefix = "" if where is None else f"{where}: "
    return UserError(f"{prefix}{os.strerror(error.errno)}; {_REMEDIES[error.errno]}")


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yields a new, empty file beside `path`, which is deleted afterwards if it still exists.

    It is created exclusively, so that no link of that name is followed. Temporary files that
    killed processes left in the same folder are deleted first.

    Raises `UserError` if the disk is full, or for another error of the disk that the user can fix.
    """
    make_parents(path)
    for stray in strays(path.parent):
        with suppress(OSError):  # another user's
            stray.unlink(missing_ok=True)
    made_by = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f"{path.name}.tmp-{made_by}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
    except OSError as error:
        raise disk_error(error, path) or error from None
    finally:
        with suppress(OSError):  # a disk that only can be read
            temporary.unlink(missing_ok=True)


def strays(folder: Path) -> list[Path]:
    """Returns the temporary files in a folder whose processes no longer exist, sorted.

    Those of another machine, which may share the folder, are not among them.
    """
    named = ((path, _STRAY.fullmatch(path.name)) for path in folder.iterdir())
    return sorted(
        path
        for path, found in named
        if found and found["host"] == _machine() and not is_running(int(found["process"]))
    )


def is_running(process: int) -> bool:
    """Returns whether a process of this machine exists."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another user's
        pass
    return True


@cache
def _machine() -> str:
    """Returns 8 hexadecimal digits that stand for the name of this machine."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to, then flushes that file and renames it to `path`.

    The mode of the file is that of the umask.
    """
    with temporary_beside(path) as temporary:
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        # safetensors puts a new file in its place, which only its owner could read.
        temporary.chmod(mode)
        flush(temporary)
        temporary.replace(path)


class ErrorKeeping(io.FileIO):
    """A file to write to that keeps its first error, for libraries that raise another one instead.

    torch turns a full disk into a `RuntimeError` about positions in its archive.
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Writes all of `data`, and returns its size in bytes."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = self.error or error
            raise
        return size


@contextmanager
def writing(path: Path) -> Iterator[ErrorKeeping]:
    """Yields a new file. An error of the disk is raised in place of what came of it."""
    with ErrorKeeping(path, "wb") as file:
        try:
            yield file
        except Exception:
            if file.error is not None:
                raise file.error from None
            raise


def flush(path: Path) -> None:
    """Writes a file to the disk: returns once the kernel has (fsync)."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def digest(path: Path) -> str:
    """Returns 16 hexadecimal digits of the SHA-256 of a regular file, or raises `OSError`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def make_parents(path: Path) -> list[Path]:
    """Makes the folders above `path` and returns those that were missing, the innermost first.

    Raises `UserError`, with none of them made, if a file is in the way, if permission is denied, or
    if there are more than `MOST_FOLDERS`.
    """
    missing = [parent for parent in path.parents if not parent.exists()]
    if len(missing) > MOST_FOLDERS:
        shown = f"{path.parts[0]}/..." if path.parts[1:] else str(path)
        raise UserError(
            f"{shown}: found {len(missing):,} folders that do not exist, one in another; allowed: "
            f"at most {MOST_FOLDERS}"
        )
    made: list[Path] = []
    try:
        for parent in reversed(missing or [path.parent]):
            parent.mkdir(exist_ok=True)
            made.append(parent)
    except OSError as error:
        for parent in reversed(made):
            with suppress(OSError):  # another process has put something into it
                parent.rmdir()
        raise UserError(f"{path.parent}: cannot be made ({error.strerror})") from None
    return missing


def write_text(path: Path, text: str) -> None:
    """Writes a file in UTF-8, as `atomic` does."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes one indented JSON document, as `atomic` does."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Writes one JSON document per line, as `atomic` does."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


@contextmanager
def open_regular(path: Path) -> Iterator[io.BufferedReader]:
    """Opens a file for reading bytes.

    Raises `OSError`, also for a pipe or a device: reading it could wait for ever or never end.
    """
    # Without O_NONBLOCK, opening a pipe waits until something writes to it.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        yield file


def read_bounded(path: Path, limit: int) -> bytes:
    """Returns the bytes of a regular file. Raises `OSError`, also for more than `limit` bytes."""
    with open_regular(path) as file:
        return bounded(file, limit)


def bounded(file: IO[bytes] | io.BufferedIOBase, limit: int) -> bytes:
    """Returns all bytes of an open file. Raises `OSError` if it has more than `limit`."""
    pieces: list[bytes] = []
    size = 0
    while size <= limit and (piece := file.read(_PIECE)):
        pieces.append(piece)
        size += len(piece)
    if size > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes")
    return b"".join(pieces)


def read_utf8(path: Path, limit: int = TEXT_BYTES) -> str:
    """Returns the text of a regular file of at most `limit` bytes, without a byte order mark.

    Raises `UserError` if the file cannot be read or is not UTF-8.
    """
    try:
        return read_bounded(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not UTF-8; convert the file") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def read_json(path: Path) -> Any:
    """Returns the JSON document in a file. Raises `UserError` if it is none."""
    text = read_utf8(path)
    try:
        return parse_json(text)
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None


_DECODE = json.JSONDecoder().raw_decode
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""Half of a character beyond U+FFFF as JSON escapes it."""


def parse_json(text: str, **options: Any) -> Any:
    """Returns what `json.loads` does, in half the time where no white space surrounds the value.

    Raises `ValueError` too for values that are nested too deeply and, without `options`, for half a
    character, which no file in UTF-8 and no terminal can hold.
    """
    try:
        value, end = None, -1
        if not options:
            with suppress(ValueError):
                value, end = _DECODE(text)
        if end != len(text):
            value = json.loads(text, **options)
        if not options and _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def read_jsonl(path: Path) -> list[Any]:
    """Returns the JSON document of every line. Raises `UserError` with the line that is none."""
    rows = []
    # splitlines() would also split at U+2028, which texts may contain.
    lines = read_utf8(path).split("\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            rows.append(parse_json(line))
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error})") from None
    return rows
