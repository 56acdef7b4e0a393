"""Reading and writing files. A reader never sees half a file, and a crash never leaves one."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from asrbench.base.errors import UserError


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`. What still exists there afterwards is deleted."""
    make_parents(path)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to, then flushes that file and renames it to `path`."""
    with temporary_beside(path) as temporary:
        yield temporary
        flush(temporary)
        temporary.replace(path)


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

    With `replace`, an existing `path` is replaced at that moment. The temporary folder lies beside
    `path` under a fixed name, so that what a killed process left is deleted by the next. Raises
    `UserError` if `path` exists without `replace`, or if another process is making it.
    """
    made = make_parents(path)
    temporary = path.with_name(f".{path.name}.tmp")
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        with _held(lock, path):
            if path.exists() and not replace:
                raise UserError(f"{path}: exists already; choose another --out, or --force")
            _clear(temporary)
            temporary.mkdir()
            try:
                yield temporary
                for file in temporary.rglob("*"):
                    if file.is_file():
                        flush(file)
                if path.exists():
                    path.rename(path.with_name(f".{path.name}.old"))
                temporary.rename(path)
            finally:
                _clear(temporary)
                _clear(path.with_name(f".{path.name}.old"))
    except BaseException:
        for parent in made:
            with suppress(OSError):  # another process has put something there
                parent.rmdir()
        raise


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
    if folder.exists():
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


def read_utf8(path: Path) -> str:
    """Returns the text of a file without a byte order mark.

    Raises `UserError` if the file cannot be read or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not UTF-8; convert the file") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def read_json(path: Path) -> Any:
    """Returns the JSON document in a file. Raises `UserError` if it is none."""
    try:
        return json.loads(read_utf8(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None


_DECODE = json.JSONDecoder().raw_decode


def _parsed(line: str) -> Any:
    """Returns what `json.loads` does, in half the time where no white space surrounds the value."""
    try:
        value, end = _DECODE(line)
    except ValueError:
        return json.loads(line)
    return value if end == len(line) else json.loads(line)


def read_jsonl(path: Path) -> list[Any]:
    """Returns the JSON document of every line. Raises `UserError` with the line that is none."""
    rows = []
    # splitlines() would also split at U+2028, which texts may contain.
    lines = read_utf8(path).split("\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            rows.append(_parsed(line))
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error})") from None
    return rows
