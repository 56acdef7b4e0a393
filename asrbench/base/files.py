"""Reading and writing files. A reader never sees half a file, and a crash never leaves one."""

import errno
import hashlib
import io
import json
import os
import platform
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, BinaryIO

from filelock import FileLock, Timeout

from asrbench.base.errors import UserError

TEXT_BYTES = 1 << 30
"""Largest text file that is read, 1 GiB. The list of a million utterances has about 300 MB."""

_STRAY = re.compile(r".+\.tmp-(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}(\.gz)?")
"""A temporary name, with the machine and the process that made it."""

_REMEDIES = {
    errno.EACCES: "choose a place that is yours, or change its rights",
    errno.EPERM: "choose a place that is yours, or change its rights",
    errno.EROFS: "choose another place",
    errno.ENOSPC: "make room, or choose another place",
    errno.EDQUOT: "make room, or choose another place",
    errno.EFBIG: "raise the limit for the size of a file, or choose another place",
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
    """Returns 16 hexadecimal digits of the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields an empty folder, which is renamed to `path` if the block ends without an exception.

    With `replace`, an existing `path` is replaced at that moment; if it is a symbolic link, the
    folder that it names is. The new folder is made beside `path` under a fixed name, and `path` is
    replaced by two renames, so that the next call completes or undoes what a killed process left.
    Raises `UserError` if `path` exists without `replace`, or if another process is making it.
    """
    place = path.resolve() if path.is_symlink() else path
    made = make_parents(place)
    temporary, old = _beside(place)
    lock = FileLock(_lock_of(place), timeout=0)
    try:
        with _held(lock, path):
            _settle(place)
            if place.exists() and not replace:
                raise UserError(f"{path}: exists already; choose another --out, or --force")
            temporary.mkdir()
            try:
                yield temporary
                for file in temporary.rglob("*"):
                    if file.is_file():
                        flush(file)
                if place.exists():
                    place.rename(old)
                temporary.rename(place)
            finally:
                _settle(place)
    except BaseException:
        for parent in made:
            with suppress(OSError):  # another process has put something there
                parent.rmdir()
        raise


def unsettled(folder: Path) -> list[Path]:
    """Returns the folders within `folder` whose making was interrupted, sorted.

    They may not exist yet. Those that a living process is making are not among them.
    """
    named = (re.fullmatch(r"\.(.+)\.(tmp|old)", path.name) for path in folder.iterdir())
    found = {folder / each[1] for each in named if each and (folder / each[0]).is_dir()}
    return sorted(path for path in found if not is_locked(_lock_of(path)))


def is_locked(path: Path) -> bool:
    """Returns whether a living process holds the lock of that path."""
    if not path.is_file():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except (Timeout, OSError):  # it can be another user's
        return True


def settle(path: Path) -> None:
    """Completes or undoes what a killed process left of making the folder `path`.

    Raises `UserError` if another process is making it.
    """
    with _held(FileLock(_lock_of(path), timeout=0), path):
        _settle(path)


def _beside(path: Path) -> tuple[Path, Path]:
    """Returns where a folder `path` is made, and where the one that it replaces waits."""
    return path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _settle(path: Path) -> None:
    """Brings a replacement that was interrupted at any step to its end, and clears up after it.

    The old folder exists only once the new one is complete. It is renamed before it is deleted, so
    that a folder of its name is always whole.
    """
    temporary, old = _beside(path)
    if old.exists():
        if not path.exists():
            (temporary if temporary.exists() else old).rename(path)
        if old.exists():
            _clear(temporary)
            old.rename(temporary)
    _clear(temporary)


@contextmanager
def _held(lock: FileLock, path: Path) -> Iterator[None]:
    """Holds the lock of `path`. The system frees the lock of a process that was killed."""
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{path}: another process is making it; wait, or stop that first") from None
    try:
        yield
    finally:
        # Removed while the lock is held. A process that opened the file before finds `path` made,
        # or makes it.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _clear(folder: Path) -> None:
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def make_parents(path: Path) -> list[Path]:
    """Makes the folders above `path` and returns those that were missing, the innermost first.

    Raises `UserError` if a file is in the way or permission is denied.
    """
    missing = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
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
def open_regular(path: Path) -> Iterator[BinaryIO]:
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
    data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes")
    return data


def folders_below(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yields `root` and each folder below it, with the sorted names of its files.

    Follows symbolic links. Each folder is yielded once, even if several links lead to it or a link
    leads back to a folder above. Raises `OSError` for a folder that cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    seen: set[tuple[int, int]] = set()
    for folder, below, files in os.walk(root, onerror=refuse, followlinks=True):
        about = os.stat(folder)
        if (about.st_dev, about.st_ino) in seen:
            below.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        below.sort()  # in place: os.walk goes on in this order
        yield Path(folder), sorted(files)


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
