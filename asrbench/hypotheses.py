"""Transcripts on disk: references or hypotheses as TRN, TSV or JSONL, by utterance id."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from asrbench.errors import UserError
from asrbench.files import read_utf8

Key = Literal["reference", "hypothesis", "text", "spelling", "phonetic"]
"""Of a row that `asrbench eval` left: its reference, its hypothesis, other sides of its text."""

_TRN = re.compile(r"(?P<text>.*?)\s*\((?P<id>[^()\s]+)\)\s*")


def read_transcripts(path: Path, key: Key = "hypothesis") -> dict[str, str]:
    """Text by utterance id, in the order of the file. The text may be empty, the id may not.

    By suffix: `.trn` holds lines `text (id)`, `.tsv` and `.txt` lines `id<TAB>text`, `.jsonl` rows
    with `id` and the `key` that is read. UTF-8, with or without a mark at its start;
    blank lines and the `;;` comments of a TRN are passed over.

    Raises `UserError`, with the line, for bytes that are no UTF-8, a line without an id, an id met
    twice, and for a suffix not named above or a file without utterances.
    """
    parse = _parser(path, key)
    transcripts: dict[str, str] = {}
    for number, line in _lines(path):
        if not line.strip() or (path.suffix == ".trn" and line.startswith(";;")):
            continue
        try:
            name, text = parse(line)
        except _Unreadable as error:
            raise UserError(f"{path}, line {number}: {error}") from None
        if name in transcripts:
            raise UserError(f"{path}, line {number}: found the id '{name}' a second time")
        transcripts[name] = text
    if not transcripts:
        raise UserError(f"{path}: found no utterances")
    return transcripts


def matched(
    reference: dict[str, str], hypothesis: dict[str, str], name: str
) -> tuple[list[str], list[str], list[str]]:
    """Ids, references and hypotheses side by side, in the order of the reference.

    Raises `UserError` unless both hold the same ids; `name` is what it calls the hypotheses.
    """
    missing = [key for key in reference if key not in hypothesis]
    unknown = [key for key in hypothesis if key not in reference]
    if missing or unknown:
        parts = [
            f"{len(keys)} {what} ({_first(keys)})"
            for keys, what in ((missing, "missing"), (unknown, "unknown"))
            if keys
        ]
        raise UserError(
            f"{name}: found {len(hypothesis)} utterances for {len(reference)} references: "
            + ", ".join(parts)
        )
    return list(reference), list(reference.values()), [hypothesis[key] for key in reference]


def _first(keys: list[str], count: int = 3) -> str:
    return ", ".join(keys[:count]) + (", ..." if len(keys) > count else "")


class _Unreadable(Exception):
    """What was found in a line, and what is allowed."""


def _parser(path: Path, key: Key) -> Callable[[str], tuple[str, str]]:
    match path.suffix:
        case ".trn":
            return _trn
        case ".tsv" | ".txt":
            return _tsv
        case ".jsonl":
            return lambda line: _json(line, key)
    raise UserError(f"{path}: found the suffix '{path.suffix}', allowed: .trn, .tsv, .txt, .jsonl")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines. Only a line feed ends one: `str.splitlines` would also cut at U+2028."""
    return enumerate((line.removesuffix("\r") for line in read_utf8(path).split("\n")), start=1)


def _trn(line: str) -> tuple[str, str]:
    match = _TRN.fullmatch(line)
    if match is None:
        raise _Unreadable(f"found no id at the end of {_shown(line)}, allowed: text (id)")
    return match["id"], match["text"].strip()


def _tsv(line: str) -> tuple[str, str]:
    name, *texts = (part.strip() for part in line.split("\t"))
    if len(texts) != 1:
        raise _Unreadable(f"found {len(texts)} tabs in {_shown(line)}, allowed: id<TAB>text")
    if not name:
        raise _Unreadable(f"found no id before the tab of {_shown(line)}, allowed: id<TAB>text")
    return name, texts[0]


def _json(line: str, key: Key) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _Unreadable(f"not JSON ({error})") from None
    allowed = f"allowed: an object with the texts 'id' and '{key}'"
    if not isinstance(row, dict):
        raise _Unreadable(f"found {_shown(line)}, {allowed}")
    for name in ("id", key):
        if not isinstance(row.get(name), str):
            raise _Unreadable(f"found no text under '{name}', {allowed}")
    if not row["id"]:
        raise _Unreadable(f"found an empty 'id', {allowed}")
    return row["id"], row[key]


def _shown(line: str, limit: int = 40) -> str:
    return repr(line if len(line) <= limit else line[:limit] + "...")
