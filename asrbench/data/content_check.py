"""The digest of each file of a corpus, and the check that a file still has its own.

To digest a large file takes longer than to open it, so a file is checked once: a large one that was
found whole is remembered for this user, under its size, times and inode. Whoever writes to a file
or copies it changes these, and it is read again.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from asrbench.base.errors import UserError
from asrbench.base.files import digest, make_parents

REMEMBERED_BYTES = 64 << 20
"""Size from which a file is remembered. A smaller one is read again by every process."""

_REMEDY = "prepare the corpus again, or restore the file"

_found_whole: set[str] = set()
"""The rows of the files that this process found whole."""


@dataclass(frozen=True)
class StoredFile:
    """What `corpus.json` says of a file."""

    bytes: int
    digest: str
    """16 hexadecimal digits of the SHA-256 of the file."""

    @classmethod
    def of(cls, path: Path) -> "StoredFile":
        """Returns size and digest of a file that was just written."""
        return cls(path.stat().st_size, digest(path))


def check_content(path: Path, expected: StoredFile, *, again: bool = False) -> None:
    """Raises `UserError` if a file is not the one that was written.

    A file that is known to be unchanged since an earlier check is read only with `again`.
    """
    try:
        _check(path, expected, again=again)
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; {_REMEDY}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from None


def _check(path: Path, expected: StoredFile, *, again: bool) -> None:
    found = path.stat()
    if found.st_size != expected.bytes:
        raise UserError(
            f"{path}: is damaged, found {found.st_size:,} bytes, "
            f"written were {expected.bytes:,}; {_REMEDY}"
        )
    times = [found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
    row = json.dumps([str(path.resolve()), expected.bytes, expected.digest, *times])
    large = expected.bytes >= REMEMBERED_BYTES
    if not again and (row in _found_whole or (large and row in _remembered())):
        return
    if digest(path) != expected.digest:
        raise UserError(
            f"{path}: is damaged, its content does not have its digest {expected.digest}; {_REMEDY}"
        )
    _found_whole.add(row)
    if large:
        _remember(row)


def memory_path() -> Path:
    """Returns the file that lists the large files which this user found whole."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "asrbench" / "files_found_whole.jsonl"


def _remembered() -> list[str]:
    try:
        return memory_path().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _remember(row: str) -> None:
    try:
        make_parents(memory_path())
        with memory_path().open("a", encoding="utf-8") as file:
            file.write(row + "\n")
    except (OSError, UserError):
        return  # The file is read again by the next process.
