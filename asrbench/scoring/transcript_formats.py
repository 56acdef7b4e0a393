"""Readers of transcript files as asrbench and other toolkits write them, one per format.

    TRN      text (id)                   sclite, ESPnet's `hyp.trn`
    TSV      id<TAB>text
    text     id text                     Kaldi, ESPnet's `text`
    CSV      targets,predictions         KoSpeech and its like, cp949 or UTF-8
    JSONL    {"id", "reference", "hypothesis"}           `asrbench eval`
             {"audio_filepath", "text", "pred_text"}     NeMo
    JSON     {"text"} or {"segments"}    Whisper, a file or a folder of them

The suffix tells the format; where formats share a suffix, the content does.
"""

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from asrbench.base.errors import UserError
from asrbench.base.files import parse_json, read_json, read_utf8
from asrbench.text.korean_encoding import read_korean

Key = Literal["reference", "hypothesis", "text", "spelling", "phonetic"]
"""Which text of an utterance is read from a format that holds several, as JSONL of `asrbench eval`:
the reference, the hypothesis, or another side of the reference."""

SUFFIXES = (".trn", ".tsv", ".txt", ".csv", ".jsonl", ".json")

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "utt_id", "utterance_id", "audio_filepath", "audio_path", "audio", "file"),
    "reference": ("targets", "target", "references", "reference", "ref", "label", "text"),
    "hypothesis": (
        *("predictions", "prediction", "predicts", "hypotheses", "hypothesis", "hyp", "pred"),
        "pred_text",
    ),
}
"""Column names that a CSV may use for each key, in upper or lower case. The first found counts."""


@dataclass(frozen=True, slots=True)
class TranscriptRow:
    """One utterance as it stands in a file."""

    place: str
    """Where in the file, for messages, as in `line 3`."""
    id: str | None
    """Utterance id, or None in a format without ids."""
    text: str
    speaker: str | None = None
    """The speaker, which JSONL of `asrbench eval` has; None in other formats, or if not known."""


class UnreadableRow(Exception):
    """A row that is not in the format of its file. The message says what was found and what is
    allowed; `_at` adds the file and the place."""


def rows(path: Path, key: Key) -> Iterator[TranscriptRow]:
    """Yields the utterances of a file or folder in their order, with the text that `key` names.

    Raises `UserError` for an unknown suffix and for rows that are not in the format of the file.
    """
    if path.is_dir():
        return _whisper_folder(path)
    match path.suffix.lower():
        case ".trn":
            return _trn(path)
        case ".tsv":
            return _by_line(path, _tsv)
        case ".txt" | "":
            # In Kaldi's text any white space ends the id, so a file with a tab may be either: it is
            # read as TSV.
            return _by_line(path, _tsv if "\t" in read_utf8(path) else _kaldi)
        case ".csv":
            return _csv(path, key)
        case ".jsonl":
            return _json_lines(path, key)
        case ".json":
            return _json(path, key)
    raise UserError(
        f"{path}: found the suffix '{path.suffix}', allowed: {', '.join(SUFFIXES)}, "
        f"none, or a folder"
    )


def has_sides(path: Path) -> bool:
    """Returns whether the format of a file can hold references beside the hypotheses."""
    if path.suffix.lower() in (".csv", ".jsonl"):
        return True
    return path.suffix.lower() == ".json" and path.is_file() and not _is_whisper(_parsed(path))


# Lines


def _by_line(path: Path, parse: Callable[[str], tuple[str, str]]) -> Iterator[TranscriptRow]:
    for place, line in _lines(path):
        if line.strip():
            with _at(path, place):
                row = TranscriptRow(place, *parse(line))
            yield row


@contextmanager
def _at(path: Path, place: str) -> Iterator[None]:
    """Turns an `UnreadableRow` within into a `UserError` that names the file and the place."""
    try:
        yield
    except UnreadableRow as error:
        raise UserError(f"{path}, {place}: {error}") from None


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yields the place and the text of each line. Only a line feed ends a line: `str.splitlines`
    would also split at U+2028."""
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        yield f"line {number}", line.removesuffix("\r")


def _tsv(line: str) -> tuple[str, str]:
    name, *texts = (part.strip() for part in line.split("\t"))
    if len(texts) != 1:
        raise UnreadableRow(f"found {len(texts)} tabs in {_shown(line)}, allowed: id<TAB>text")
    if not name:
        raise UnreadableRow(f"found no id before the tab of {_shown(line)}, allowed: id<TAB>text")
    return name, texts[0]


def _kaldi(line: str) -> tuple[str, str]:
    name, *text = line.split(maxsplit=1)
    return name, text[0].strip() if text else ""


# TRN

_TRN = re.compile(r"(?P<text>.*)\((?P<id>[^()\s]+)\)")

_ALTERNATION = re.compile(r"(?<!\S)\{.*?(?:\}|$)")
"""A brace at the beginning of a word, which opens an alternation in sclite."""

_SPACE, _WORD_START = "<space>", "▁"
"""How ESPnet marks a space in its TRN of characters, and in its TRN of subwords."""


def _trn(path: Path) -> Iterator[TranscriptRow]:
    """Yields the rows of a TRN without its `;;` comments. The characters and subwords that ESPnet
    writes for its CER and TER are joined to words.

    An alternation, `{ a / b / @ }`, is refused: sclite scores the alternative that has the fewest
    errors, and that of a reference decides about N, so that each system would have another.
    """
    found = []
    for place, line in _lines(path):
        if line.strip() and not line.startswith(";;"):
            with _at(path, place):
                found.append(TranscriptRow(place, *_trn_line(line)))
    tokens = {token for row in found for token in row.text.split()}
    if _SPACE in tokens:
        return _joined(found, _SPACE)
    if any(token.startswith(_WORD_START) for token in tokens):
        return _joined(found, _WORD_START)
    return iter(found)


def _trn_line(line: str) -> tuple[str, str]:
    match = _TRN.fullmatch(line.strip())
    if match is None:
        raise UnreadableRow(f"found no id at the end of {_shown(line)}, allowed: text (id)")
    text = match["text"].rstrip()
    if alternation := _ALTERNATION.search(text):
        raise UnreadableRow(
            f"found the alternation {_shown(alternation[0])}, which asrbench cannot score as "
            f"sclite does; leave one of its alternatives in the text"
        )
    return match["id"], text


def _joined(rows: Sequence[TranscriptRow], space: str) -> Iterator[TranscriptRow]:
    """Yields rows of tokens as rows of text; `space` marks a space."""
    for row in rows:
        text = "".join(row.text.split()).replace(space, " ").strip()
        yield replace(row, text=text)


# CSV

_MARKERS = re.compile(r"<(?:sos|eos|pad|s|/s)>")
"""Symbols of start, end and padding, which KoSpeech leaves in its texts."""


def _csv(path: Path, key: Key) -> Iterator[TranscriptRow]:
    rows = _csv_rows(path)
    header = [name.strip() for name in next(rows, ("", []))[1]]
    text, name = _column(header, key), _column(header, "id")
    if text is None:
        allowed = ", ".join(COLUMNS.get(key, (key,)))
        raise UserError(
            f"{path}: found the columns {', '.join(header) or 'none'}; for the {key} allowed: "
            f"{allowed}"
        )
    for place, cells in rows:
        if not cells:
            continue
        if len(cells) != len(header):
            raise UserError(
                f"{path}, {place}: found {len(cells)} cells under {len(header)} columns"
            )
        id = None if name is None else cells[name]
        yield TranscriptRow(place, id, _MARKERS.sub("", cells[text]))


def _csv_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields the place and the cells of each row."""
    reader = csv.reader(io.StringIO(read_korean(path)[0], newline=""))
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # a quote that is never closed, or a cell over 128 KiB
            raise UserError(f"{path}, line {reader.line_num}: not CSV ({error})") from None
        yield f"line {reader.line_num}", cells


def _column(header: Sequence[str], key: str) -> int | None:
    """Returns the index of the column for `key`, whose names are tried as `COLUMNS` lists them."""
    names = [column.lower() for column in header]
    found = (names.index(name) for name in COLUMNS.get(key, (key,)) if name in names)
    return next(found, None)


# JSON


def _json_lines(path: Path, key: Key) -> Iterator[TranscriptRow]:
    found = []
    for place, line in _lines(path):
        if line.strip():
            with _at(path, place):
                found.append((place, _object(line)))
    return _from_objects(path, found, key)


def _object(line: str) -> Any:
    try:
        return parse_json(line)
    except ValueError as error:
        raise UnreadableRow(f"not JSON ({error})") from None


def _from_objects(
    path: Path, found: Sequence[tuple[str, Any]], key: Key
) -> Iterator[TranscriptRow]:
    # NeMo knows an utterance by its audio file. Its id is the stem, unless several files share it.
    audio = [row["audio_filepath"] for _, row in found if _is_nemo(row)]
    stems = Counter(PurePosixPath(name).stem for name in set(audio))
    for place, row in found:
        with _at(path, place):
            if _is_nemo(row):
                yield TranscriptRow(place, *_nemo(row, key, stems))
            else:
                yield TranscriptRow(place, *_own(row, key), _speaker(row))


def _is_nemo(row: Any) -> bool:
    return isinstance(row, dict) and "id" not in row and isinstance(row.get("audio_filepath"), str)


def _own(row: Any, key: Key) -> tuple[str, str]:
    allowed = f"allowed: an object with the texts 'id' and '{key}'"
    if not isinstance(row, dict):
        raise UnreadableRow(f"found {_json_shown(row)}, {allowed}")
    for name in ("id", key):
        if not isinstance(row.get(name), str):
            raise UnreadableRow(f"found no text under '{name}', {allowed}")
    if not row["id"]:
        raise UnreadableRow(f"found an empty 'id', {allowed}")
    return row["id"], row[key]


def _speaker(row: dict[str, Any]) -> str | None:
    found = row.get("speaker")
    if found is not None and not isinstance(found, str):
        raise UnreadableRow(f"found {_json_shown(found)} under 'speaker', allowed: a text or null")
    return found


def _nemo(row: dict[str, Any], key: Key, stems: Mapping[str, int]) -> tuple[str, str]:
    side = {"reference": "text", "hypothesis": "pred_text"}.get(key, key)
    if not isinstance(row.get(side), str):
        raise UnreadableRow(
            f"found no text under '{side}', allowed: an object with the texts 'audio_filepath' "
            f"and '{side}'"
        )
    audio, offset_s = PurePosixPath(row["audio_filepath"]), row.get("offset")
    if not audio.name:
        raise UnreadableRow("found no file name under 'audio_filepath', allowed: a path")
    if offset_s is not None and not _is_time(offset_s):
        raise UnreadableRow(f"found {_json_shown(offset_s)} under 'offset', allowed: seconds")
    name = audio.stem if stems[audio.stem] == 1 else str(audio.with_suffix(""))
    return f"{name}-{offset_s:09.3f}" if offset_s else name, row[side]


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _json(path: Path, key: Key) -> Iterator[TranscriptRow]:
    """Yields the rows of a Whisper document, of a list of objects, or of JSONL named `.json`."""
    found = _parsed(path)
    if _is_whisper(found):
        return iter([_whisper(path, found)])
    if isinstance(found, list):
        return _from_objects(path, [(f"row {i}", row) for i, row in enumerate(found, 1)], key)
    return _json_lines(path, key)


def _parsed(path: Path) -> Any:
    """Returns the JSON document in a file, or None if the file is not one JSON document."""
    try:
        return parse_json(read_utf8(path))
    except ValueError:
        return None


# Whisper


def _is_whisper(found: Any) -> bool:
    if not isinstance(found, dict) or "audio_filepath" in found or "id" in found:
        return False
    return isinstance(found.get("text"), str) or isinstance(found.get("segments"), list)


def _whisper(path: Path, found: Any) -> TranscriptRow:
    """Returns the whole text, or the joined segments, because WhisperX writes nothing else."""
    if not _is_whisper(found):
        raise UserError(
            f"{path}: found neither 'text' nor 'segments', allowed: Whisper's JSON with either"
        )
    text = found.get("text")
    if not isinstance(text, str):
        for number, segment in enumerate(found["segments"], start=1):
            if not isinstance(segment, dict) or not isinstance(segment.get("text"), str):
                raise UserError(
                    f"{path}, segment {number}: found {_json_shown(segment)}, allowed: an object "
                    f"with a 'text'"
                )
        text = " ".join(segment["text"].strip() for segment in found["segments"])
    return TranscriptRow(path.name, path.stem, text.strip())


def _whisper_folder(path: Path) -> Iterator[TranscriptRow]:
    files = sorted(path.glob("*.json"))
    if not files:
        raise UserError(
            f"{path}: found a folder without .json files, allowed: a folder of Whisper's JSON, or "
            f"a file"
        )
    return (_whisper(file, read_json(file)) for file in files)


def _json_shown(value: Any) -> str:
    return _shown(json.dumps(value, ensure_ascii=False))


def _shown(line: str, limit: int = 40) -> str:
    return repr(line if len(line) <= limit else line[:limit] + "...")
