"""Writing so that a reader never sees half a file, a crash never leaves one."""

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
    """Yields a temporary name beside `path`; what is still there in the end is deleted."""
    make_parents(path)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`; what was written there is flushed and renamed."""
    with temporary_beside(path) as temporary:
        yield temporary
        flush(temporary)
        temporary.replace(path)


def flush(path: Path) -> None:
    """Returns when the file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def digest(path: Path) -> str:
    """16 hexadecimal digits over the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields a folder to fill, renamed to `path` when the block ends well; with `replace`, what
    is at `path` gives way then and not before.

    It lies beside `path` and is named after it: what a killed process left of it is cleared away
    by the next. Raises `UserError` if `path` exists, or if another process is making it.
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
            with suppress(OSError):  # somebody else put something there
                parent.rmdir()
        raise


@contextmanager
def _held(lock: FileLock, path: Path) -> Iterator[None]:
    """The system takes the lock from a process that died, however it died."""
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{path}: another process is making it; wait, or stop that first") from None
    try:
        yield
    finally:
        # Removed while it is held. Who waited for it finds `path` made, or begins anew.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def make_parents(path: Path) -> list[Path]:
    """Makes the folders above `path`; returns those that were missing, the innermost first.

    Raises `UserError` where a file is in the way, or the right to make them is missing.
    """
    missing = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be made ({error.strerror})") from None
    return missing


def write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_utf8(path: Path) -> str:
    """The text of a file, a byte order mark left out. Raises `UserError` if it cannot be read."""
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
    try:
        return json.loads(read_utf8(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None


_DECODE = json.JSONDecoder().raw_decode


def _parsed(line: str) -> Any:
    """As `json.loads`, in half the time for what has no space around it."""
    try:
        value, end = _DECODE(line)
    except ValueError:
        return json.loads(line)
    return value if end == len(line) else json.loads(line)


def read_jsonl(path: Path) -> list[Any]:
    rows = []
    # Not splitlines(): text may hold U+2028, which is no line break to JSON.
    lines = read_utf8(path).split("\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            rows.append(_parsed(line))
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error})") from None
    return rows
