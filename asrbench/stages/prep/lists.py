"""Functions that read the lists of a corpus: lines, keys, JSON objects, paths."""

import gzip
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from asrbench.base.errors import Fault, UserError
from asrbench.base.files import TEXT_BYTES, bounded, open_regular, parse_json
from asrbench.text.korean_encoding import UTF8, read_korean
from asrbench.text.normal_form import normalise

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import CorpusWriter

SPLIT_ALIASES = {"valid": "dev", "validation": "dev", "val": "dev", "development": "dev"}

FOLDER_SPLITS = {name: name for name in ("train", "dev", "test")} | {
    **SPLIT_ALIASES,
    "eval": "test",
    "evaluation": "test",
}
"""The split of a folder or a file with each of these names."""

SPLIT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
ALLOWED_IN_SPLIT = "up to 64 letters, digits, '_' and '-'"
"""What every file system takes, because splits are file names."""

_SPACE = re.compile("[ \t]")


def check_split_name(where: str, name: str) -> str:
    """Returns `name`. Raises `UserError`, with `where`, if a split cannot have this name."""
    if not SPLIT_NAME.fullmatch(name):
        raise UserError(f"{where}: found '{name}', allowed: {ALLOWED_IN_SPLIT}")
    return name


def numbered_lines(path: Path, encodings: dict[str, str]) -> list[tuple[int, str]]:
    """Returns (number, line) for the lines of a text file that are not blank, without line ends.

    A file whose name ends in .gz is unpacked. Its encoding enters `encodings` as by `text_of`.
    Raises `UserError` if it cannot be read.
    """
    text = _unpacked(path) if path.suffix == ".gz" else text_of(path, encodings)
    # Not splitlines(): U+2028 and U+0085 are characters of a text.
    lines = enumerate(text.split("\n"), start=1)
    return [(number, line.removesuffix("\r")) for number, line in lines if line.strip()]


def text_of(path: Path, encodings: dict[str, str]) -> str:
    """Returns the text of a list. Unless it is UTF-8, its encoding enters `encodings` by name."""
    text, encoding = read_korean(path)
    if encoding != UTF8:
        encodings[path.name] = encoding
    return text


def _unpacked(path: Path) -> str:
    try:
        with open_regular(path) as packed, gzip.open(packed) as file:
            return bounded(file, TEXT_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason})") from None


def split_key(line: str) -> tuple[str, str]:
    """Returns the key of a line that is not blank, and the unchanged rest: `id a  b` -> `a  b`.

    A space or a tab ends the key, as in Kaldi.
    """
    key, *rest = _SPACE.split(line.lstrip(" \t"), maxsplit=1)
    return key, "".join(rest)


@contextmanager
def rejecting(writer: "CorpusWriter", split: str, where: str, id: str = "") -> Iterator[None]:
    """Rejects the entry at `where` if the block raises a `Fault`."""
    try:
        yield
    except Fault as fault:
        detail = f"{where}: {fault.detail}" if fault.detail else where
        writer.reject(id, split, fault.reason, detail)


def normal_text(raw: str) -> str:
    """Returns the normal form of a transcript. Raises `Fault` if it is empty."""
    text = normalise(raw)
    if not text:
        raise Fault("text empty after normalisation", repr(raw))
    return text


def locate(path: str, *folders: Path) -> Path:
    """Returns `path` in the first of `folders` that has such a file, or else in the first folder.

    An absolute path is returned unchanged.
    """
    places = [folder / path for folder in folders]
    return next((place for place in places if os.path.isfile(place)), places[0])


def stem_of(audio: str, folder: Path) -> str:
    """Returns the path of an audio file without its suffix, relative to `folder` if it is inside.

    The name is therefore the same wherever the corpus is stored.
    """
    path = PurePath(audio)
    if path.is_relative_to(folder):
        path = path.relative_to(folder)
    return str(path)[: len(str(path)) - len(path.suffix)]


class UniqueIds:
    """Makes the ids of utterances unique, for lists that have no ids."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._counts: Counter[str] = Counter()

    def unique(self, name: str) -> str:
        """Returns `name`, or the first of `name-2`, `name-3` and so on that is not taken yet."""
        while True:
            self._counts[name] += 1
            count = self._counts[name]
            id = name if count == 1 else f"{name}-{count}"
            if id not in self._given:
                self._given.add(id)
                return id


class _Object(dict[str, Any]):
    """A JSON object. `twice` says whether a key occurred more than once in its text."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = len(self) < len(pairs)


def json_object(line: str) -> dict[str, Any]:
    """Returns the object of one line of JSON Lines. Raises `Fault` for anything else."""
    try:
        found = parse_json(line, object_pairs_hook=_Object)
    except ValueError as error:
        raise Fault("not JSON", str(error)) from None
    if not isinstance(found, _Object):
        raise Fault("not a JSON object", line[:80])
    if found.twice:
        raise Fault("key stands twice", line[:80])
    if "\\ud" in line.lower():  # the only way to spell half a surrogate pair
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Fault("not Unicode", ascii(line[:80])) from None
    return found


def json_rows(
    path: Path, split: str, writer: "CorpusWriter"
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the place of each object of a JSON Lines file and the object; rejects other lines."""
    for number, line in numbered_lines(path, writer.encodings):
        where = f"{path.name}, line {number}"
        row = None
        with rejecting(writer, split, where):
            row = json_object(line)
        if row is not None:
            yield where, row


def string(row: dict[str, Any], key: str) -> str | None:
    """Returns a text, or a whole number in digits, or `None` if the key is missing.

    Raises `Fault` for a value of another type.
    """
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, str):
        return value
    raise Fault("wrong type", f"'{key}' is neither text nor a whole number")


def number(row: dict[str, Any], key: str) -> float | None:
    """Returns a number, or `None` if the key is missing. Raises `Fault` for another type."""
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault("wrong type", f"'{key}' is no number")
    return float(value) if abs(value) < 1e9 else float("inf")


def label(row: dict[str, Any], key: str) -> str | None:
    """Returns the normal form of a speaker or a language, or `None` if it is blank."""
    return normalise(string(row, key) or "") or None
