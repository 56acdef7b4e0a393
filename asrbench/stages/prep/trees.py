"""A corpus as it was downloaded: files in a folder, or in zip files."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from asrbench.base.errors import Fault, UserError
from asrbench.base.files import bounded, open_regular
from asrbench.base.folders import folders_below

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
"""Errors of `zipfile` for a member that is truncated, corrupt, encrypted or of unknown format."""


MOST_BYTES = 256 << 20
"""Largest file that is read, 256 MiB. The longest list of KsponSpeech has 60 MB."""


class Tree:
    """The files under a folder and the members of the zip files in it, by relative path.

    If a file is both in a folder and in a zip, the one in the folder is read.
    """

    def __init__(self, root: Path, *suffixes: str) -> None:
        """Lists the files with one of `suffixes` in `root`, a folder or one zip.

        Raises `UserError` if `root` is neither, and for a zip member whose path leads outside.
        """
        if not root.is_dir() and not zipfile.is_zipfile(root):
            raise UserError(f"{root}: found neither a folder nor a zip")
        self.root = root
        found = set(_files(root, (*suffixes, ".zip")))
        packed = sorted(name for name in found if name.endswith(".zip"))
        found.difference_update(packed)
        self._zips = [_opened(root / name) for name in packed or [""] * root.is_file()]
        members = {name for archive in self._zips for name in _members(archive)}
        self.names = sorted(found | {name for name in members if name.endswith(suffixes)})
        """Relative paths of the files, separated by slashes, sorted."""

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._zips:
            archive.close()

    def read(self, name: str) -> bytes:
        """Returns the bytes of one of `names`, or of another file in the same place.

        Raises `Fault`, "missing" or "unreadable".
        """
        try:
            if (self.root / name).exists():
                with open_regular(self.root / name) as file:
                    return bounded(file, MOST_BYTES)
            for archive in self._zips:
                if name in archive.NameToInfo:
                    with archive.open(name) as member:
                        return bounded(member, MOST_BYTES)
            raise Fault("missing", f"{self.root / name}")
        except (OSError, *_DAMAGE) as error:
            reason = getattr(error, "strerror", None) or error
            raise Fault("unreadable", f"{self.root / name}: {reason}") from None


def _files(root: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Yields the relative paths of the files under a folder; nothing if `root` is a file.

    Raises `UserError` for a folder that cannot be read.
    """
    for folder, files in folders_below(root):
        relative = folder.relative_to(root)
        yield from ((relative / file).as_posix() for file in files if file.endswith(suffixes))


def _members(archive: zipfile.ZipFile) -> Iterator[str]:
    """Yields the names of the members. Raises `UserError` for a path that leads outside."""
    for name in archive.namelist():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(
                f"{archive.filename}: its member '{name}' points outside the zip; do not trust it"
            )
        yield name


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read as a zip ({error}); download it again") from None
