"""A corpus as it was downloaded: files in a folder, or still in the zips they came in."""

import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from asrbench.base.errors import Fault, UserError

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
"""What `zipfile` raises for a member that is cut, corrupt, encrypted or packed in a new way."""


class Tree:
    """Every file under a folder, and every member of the zips that lie in it, by relative path.

    Of a file that is both unpacked and in a zip, the one that is unpacked is read.
    """

    def __init__(self, root: Path, *suffixes: str) -> None:
        """`root` is a folder, or one zip; looks for files with one of `suffixes`.

        Raises `UserError` if it is neither, and for a member of a zip whose path leads outside.
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
        """Relative paths of the files, parts between slashes."""

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._zips:
            archive.close()

    def read(self, name: str) -> bytes:
        """The bytes of one of `names`, or of a file beside one.

        Raises `Fault`: "missing" or "unreadable".
        """
        try:
            if (self.root / name).is_file():
                return (self.root / name).read_bytes()
            for archive in self._zips:
                if name in archive.NameToInfo:
                    return archive.read(name)
            raise Fault("missing", f"{self.root / name}")
        except (OSError, *_DAMAGE) as error:
            raise Fault("unreadable", f"{self.root / name}: {error}") from None


def _files(root: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Relative paths of what lies under a folder; of a file, nothing."""
    for folder, _, files in os.walk(root, followlinks=True):
        inside = os.path.relpath(folder, root).replace(os.sep, "/")
        for file in files:
            if file.endswith(suffixes):
                yield file if inside == "." else f"{inside}/{file}"


def _members(archive: zipfile.ZipFile) -> Iterator[str]:
    for name in archive.namelist():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(
                f"{archive.filename}: its member '{name}' points outside; no corpus to trust"
            )
        yield name


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read as a zip ({error}); download it again") from None
