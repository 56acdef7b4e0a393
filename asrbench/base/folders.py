"""Folders that are whole or not there, also after a kill, and the folders below another."""

import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from filelock import FileLock, Timeout

from asrbench.base.errors import UserError
from asrbench.base.files import flush, make_parents, read_json, write_json

_ENDS = ("tmp", "old", "whole")
_DELETED = ".deleted.json"
"""Lists the files that go when those beside it are moved; a name that no file made here has."""


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields an empty folder, which is renamed to `path` if the block ends without an exception.

    With `replace`, an existing `path` is replaced at that moment; if it is a symbolic link, the
    folder that it names is. The new folder is made beside `path` under a fixed name, and `path` is
    replaced by two renames, so that the next call completes or undoes what a killed process left.
    Raises `UserError` if `path` exists without `replace`, or if another process is making it.
    """
    place = path.resolve() if path.is_symlink() else path
    temporary, old, _ = _beside(place)
    with _parents(place), _held(FileLock(_lock_of(place), timeout=0), path):
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


@contextmanager
def atomic_files(folder: Path, name: str) -> Iterator[Path]:
    """Yields an empty folder, whose files are moved to `folder` if the block ends without an
    exception; those of the same names are replaced, and those named to `delete_with` deleted.

    The new folder is `.NAME.tmp` in `folder`. It is renamed when all of its files are complete, so
    that the next call deletes and moves the rest of them if a process was killed meanwhile. Raises
    `UserError` if another process makes files of that `name` in `folder`, or if a folder is in the
    place of a file.
    """
    place = folder / name
    temporary, _, whole = _beside(place)
    with _parents(place), _held(FileLock(_lock_of(place), timeout=0), place):
        _settle(place)
        temporary.mkdir()
        try:
            yield temporary
            for file in (folder / each.name for each in sorted(temporary.iterdir())):
                if file.is_dir() and not file.is_symlink():
                    raise UserError(f"{file}: is a folder; move it, or choose another --out")
            temporary.rename(whole)
        finally:
            _settle(place)


def delete_with(temporary: Path, names: Iterable[str]) -> None:
    """Has files deleted when those of `temporary`, a folder of `atomic_files`, are moved.

    They are files of these `names` in the folder to which the others are moved. A name that
    `temporary` has as well is that of a file that is replaced.
    """
    write_json(temporary / _DELETED, sorted({*names} - {file.name for file in temporary.iterdir()}))


@contextmanager
def _parents(path: Path) -> Iterator[None]:
    """Makes the folders above `path`, and deletes those that are new if the block raises."""
    made = make_parents(path)
    try:
        yield
    except BaseException:
        for parent in made:
            with suppress(OSError):  # another process has put something there
                parent.rmdir()
        raise


def unsettled(folder: Path) -> list[Path]:
    """Returns what was being made within `folder` when its process was killed, sorted.

    These are the paths of `atomic_folder`, and the names of `atomic_files` as paths. They may not
    exist yet. Those that a living process is making are not among them.
    """
    named = (re.fullmatch(rf"\.(.+)\.({'|'.join(_ENDS)})", path.name) for path in folder.iterdir())
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
    """Completes or undoes what a killed process left of making the folder or the files `path`.

    Raises `UserError` if another process is making it.
    """
    with _held(FileLock(_lock_of(path), timeout=0), path):
        _settle(path)


def _beside(path: Path) -> tuple[Path, Path, Path]:
    """Returns where a folder `path` is made, where the one that it replaces waits, and where files
    that are complete wait to be moved to the folder above."""
    temporary, old, whole = (path.with_name(f".{path.name}.{end}") for end in _ENDS)
    return temporary, old, whole


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _settle(path: Path) -> None:
    """Brings a replacement that was interrupted at any step to its end, and clears up after it.

    The old folder exists only once the new one is complete. It is renamed before it is deleted, so
    that a folder of its name is always whole.
    """
    temporary, old, whole = _beside(path)
    if whole.is_dir() and not whole.is_symlink():
        if (whole / _DELETED).is_file():
            names = read_json(whole / _DELETED)
            for file in path.parent.iterdir():
                if file.name in names and not file.is_dir():
                    file.unlink()
            (whole / _DELETED).unlink()
        for file in sorted(whole.iterdir()):
            file.replace(path.parent / file.name)
    _clear(whole)
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


def folders_below(
    root: Path, *, links: bool = True, depth: float = math.inf
) -> Iterator[tuple[Path, list[str]]]:
    """Yields `root` and each folder down to `depth` below it, with the sorted names of its files.

    Follows symbolic links to folders unless `links` is false. Each folder is yielded once, even if
    several links lead to it or a link leads back to a folder above. Yields nothing if `root` is no
    folder. Raises `UserError` for a folder that cannot be read, as one that is deleted meanwhile.
    """
    if not root.is_dir():
        return
    seen: set[tuple[int, int]] = set()
    level = len(root.parts)
    try:
        for name, below, files in os.walk(root, onerror=_refuse, followlinks=links):
            folder, about = Path(name), os.stat(name)
            if (about.st_dev, about.st_ino) in seen:
                below.clear()
                continue
            seen.add((about.st_dev, about.st_ino))
            # In place: os.walk goes on in this order, and not into what is taken out.
            below[:] = sorted(below) if len(folder.parts) - level < depth else []
            yield folder, sorted(files)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from None


def _refuse(error: OSError) -> NoReturn:
    raise error
