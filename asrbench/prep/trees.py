"""A corpus as it was downloaded: files in a folder, or still in the zips they came in."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from asrbench.errors import Fault, UserError


class Tree:
    """Every file under a folder, and every member of the zips that lie in it, by relative path.

    Of a file that is both unpacked and in a zip, the one that is unpacked is read.
    """

    def __init__(self, root: Path) -> None:
        """`root` is a folder, or one zip. Raises `UserError` if it is neither."""
        if not root.is_dir() and not zipfile.is_zipfile(root):
            raise UserError(f"{root}: found neither a folder nor a zip")
        self.root = root
        packed = sorted(root.rglob("*.zip")) if root.is_dir() else [root]
        self._zips = [_opened(path) for path in packed]
        self._home: dict[str, int] = {}  # of a member: which zip has it

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._zips:
            archive.close()

    def names(self, *suffixes: str) -> Iterator[str]:
        """Paths of the files with one of these suffixes, parts between slashes; in no order.

        Raises `UserError` for a member of a zip whose path leads outside.
        """
        unpacked = set()
        for name in self._unpacked(suffixes):
            if self._zips:
                unpacked.add(name)
            yield name
        for number, archive in enumerate(self._zips):
            for name in archive.namelist():
                path = PurePosixPath(name)
                if path.is_absolute() or ".." in path.parts:
                    raise UserError(
                        f"{archive.filename}: its member '{name}' points outside; this is no "
                        f"corpus to trust"
                    )
                if not name.endswith(suffixes) or name in unpacked:
                    continue
                if self._home.setdefault(name, number) == number:
                    yield name

    def read(self, name: str) -> bytes:
        """The bytes of one of `names`. Raises `Fault`: "missing" or "unreadable"."""
        try:
            if name in self._home:
                return self._zips[self._home[name]].read(name)
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise Fault("missing", f"{self.root / name}") from None
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise Fault("unreadable", f"{self.root / name}: {error}") from None

    def _unpacked(self, suffixes: tuple[str, ...]) -> Iterator[str]:
        for folder, _, files in os.walk(self.root, followlinks=True):  # of a file, nothing
            inside = os.path.relpath(folder, self.root).replace(os.sep, "/")
            for file in files:
                if file.endswith(suffixes):
                    yield file if inside == "." else f"{inside}/{file}"


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read as a zip ({error}); download it again") from None
