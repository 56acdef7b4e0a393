"""What the lists of all corpora have in common: lines, keys, JSON, paths, and what is wrong."""

import gzip
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from asrbench.base.errors import Fault, UserError
from asrbench.base.files import read_utf8
from asrbench.data.corpus import CorpusWriter
from asrbench.text.normal_form import normalise

SPLIT_ALIASES = {"valid": "dev", "validation": "dev", "val": "dev", "development": "dev"}

FOLDER_SPLITS = {name: name for name in ("train", "dev", "test")} | {
    **SPLIT_ALIASES,
    "eval": "test",
    "evaluation": "test",
}
"""Split of a folder or file that is called so."""

SPLIT_NAME = re.compile(r"[A-Za-z0-9_-]+")
"""What may be part of a file name everywhere."""

_SPACE = re.compile("[ \t]")


def check_split_name(where: str, name: str) -> str:
    """`name`, if a split can be called so; otherwise a `UserError`."""
    if not SPLIT_NAME.fullmatch(name):
        raise UserError(f"{where}: found '{name}', allowed: letters, digits, '_' and '-'")
    return name


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, without their ends, each after its number.

    A file whose name ends in .gz is unpacked. Raises `UserError` if it cannot be read.
    """
    # Not splitlines(): U+2028 and U+0085 are part of a text.
    lines = enumerate(_text(path).split("\n"), start=1)
    return [(number, line.removesuffix("\r")) for number, line in lines if line.strip()]


def _text(path: Path) -> str:
    if path.suffix != ".gz":
        return read_utf8(path)
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
            return file.read()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def keyed(line: str) -> tuple[str, str]:
    """What a line is about, and what it says of it, untouched: `id a  b` is `id` and `a  b`.

    White space is a space or a tab, as to Kaldi; the line is not blank.
    """
    key, *rest = _SPACE.split(line.lstrip(" \t"), maxsplit=1)
    return key, "".join(rest)


@contextmanager
def rejecting(writer: CorpusWriter, split: str, where: str, id: str = "") -> Iterator[None]:
    """Ends at a `Fault` of what stands at `where`, and rejects that."""
    try:
        yield
    except Fault as fault:
        detail = f"{where}: {fault.detail}" if fault.detail else where
        writer.reject(id, split, fault.reason, detail)


def spoken(raw: str) -> str:
    """The text of a transcript. Raises `Fault` if there is none in it."""
    text = normalise(raw)
    if not text:
        raise Fault("text empty after normalisation", repr(raw))
    return text


def found_at(path: str, *folders: Path) -> Path:
    """Where the file is that a list calls `path`: in the first folder that has it.

    Where none has it, that is in the first of them. An absolute path is what it is.
    """
    places = [folder / path for folder in folders]
    return next((place for place in places if os.path.isfile(place)), places[0])


def stem_of(audio: str, folder: Path) -> str:
    """A name for an audio file: its path without the suffix, from `folder` on if it lies there."""
    path = PurePath(audio)
    if path.is_relative_to(folder):  # the same name wherever the corpus lies
        path = path.relative_to(folder)
    return str(path)[: len(str(path)) - len(path.suffix)]


class Names:
    """Gives each utterance an id of its own, where the list has none."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._counts: Counter[str] = Counter()

    def unique(self, name: str) -> str:
        """`name`, or if that is taken `name-2` and so on."""
        while True:
            self._counts[name] += 1
            count = self._counts[name]
            id = name if count == 1 else f"{name}-{count}"
            if id not in self._given:
                self._given.add(id)
                return id


class _Object(dict[str, Any]):
    """A JSON object that remembers whether a key stood twice in it."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = len(self) < len(pairs)


def json_object(line: str) -> dict[str, Any]:
    """The object that a line of JSON Lines has. Raises `Fault` for anything else."""
    try:
        found = json.loads(line, object_pairs_hook=_Object)
    except (ValueError, RecursionError) as error:
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


def json_rows(path: Path, split: str, writer: CorpusWriter) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each object of a JSON Lines file stands, and the object; other lines are rejected."""
    for number, line in numbered_lines(path):
        where = f"{path.name}, line {number}"
        row = None
        with rejecting(writer, split, where):
            row = json_object(line)
        if row is not None:
            yield where, row


def string(row: dict[str, Any], key: str) -> str | None:
    """A text, or a whole number in digits; `None` where there is none."""
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, str):
        return value
    raise Fault("wrong type", f"'{key}' is neither text nor a whole number")


def real(row: dict[str, Any], key: str) -> float | None:
    """A number, `None` where there is none."""
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault("wrong type", f"'{key}' is no number")
    return float(value) if abs(value) < 1e9 else float("inf")


def mark(row: dict[str, Any], key: str) -> str | None:
    """Who speaks, or what: the normal form of a text, `None` where it is blank."""
    return normalise(string(row, key) or "") or None
