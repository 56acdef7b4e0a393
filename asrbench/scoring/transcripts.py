"""Files of transcripts, as this program and others leave them: one small reader a format.

    TRN      text (id)                   sclite, ESPnet's `hyp.trn`
    TSV      id<TAB>text
    text     id text                     Kaldi, ESPnet's `text`
    CSV      targets,predictions         KoSpeech and its like, cp949 or UTF-8
    JSONL    {"id", "reference", "hypothesis"}           `asrbench eval`
             {"audio_filepath", "text", "pred_text"}     NeMo
    JSON     {"text"} or {"segments"}    Whisper, a file or a folder of them

The suffix says which, and where several share one, the content does.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from asrbench.base.errors import UserError
from asrbench.base.files import read_json, read_utf8

Key = Literal["reference", "hypothesis", "text", "spelling", "phonetic"]
"""Of a row that `asrbench eval` left: its reference, its hypothesis, other sides of its text."""

SUFFIXES = (".trn", ".tsv", ".txt", ".csv", ".jsonl", ".json")

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "utt_id", "utterance_id", "audio_filepath", "audio_path", "audio", "file"),
    "reference": ("targets", "target", "references", "reference", "ref", "label", "text"),
    "hypothesis": (
        *("predictions", "prediction", "predicts", "hypotheses", "hypothesis", "hyp", "pred"),
        "pred_text",
    ),
}
"""Names that a column of a CSV may have, in any case."""


@dataclass(frozen=True, slots=True)
class Row:
    """An utterance of a file."""

    place: str
    """Within the file: `line 3`."""
    id: str | None
    """None where the format has none: then it is known by its place."""
    text: str


class Unreadable(Exception):
    """What was found in a row, and what is allowed."""


def rows(path: Path, key: Key) -> Iterator[Row]:
    """The utterances of a file or folder, in its order, the side `key` where it has several.

    Raises `UserError` for what cannot be read as the format that it has, or has no known one.
    """
    if path.is_dir():
        return _whisper_folder(path)
    match path.suffix.lower():
        case ".trn":
            return _trn(path)
        case ".tsv":
            return _by_line(path, _tsv)
        case ".txt" | "":
            # Kaldi parts id and text by any white space: only with no tab at all is it surely that.
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
    """Whether the format of a file has room for references beside the hypotheses."""
    if path.suffix.lower() in (".csv", ".jsonl"):
        return True
    return path.suffix.lower() == ".json" and path.is_file() and not _is_whisper(_parsed(path))


# Lines


def _by_line(path: Path, parse: Callable[[str], tuple[str, str]]) -> Iterator[Row]:
    for place, line in _lines(path):
        if line.strip():
            with _at(path, place):
                row = Row(place, *parse(line))
            yield row


@contextmanager
def _at(path: Path, place: str) -> Iterator[None]:
    """What is unreadable is told with its place."""
    try:
        yield
    except Unreadable as error:
        raise UserError(f"{path}, {place}: {error}") from None


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Numbered lines. Only a line feed ends one: `str.splitlines` would also cut at U+2028."""
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        yield f"line {number}", line.removesuffix("\r")


def _tsv(line: str) -> tuple[str, str]:
    name, *texts = (part.strip() for part in line.split("\t"))
    if len(texts) != 1:
        raise Unreadable(f"found {len(texts)} tabs in {_shown(line)}, allowed: id<TAB>text")
    if not name:
        raise Unreadable(f"found no id before the tab of {_shown(line)}, allowed: id<TAB>text")
    return name, texts[0]


def _kaldi(line: str) -> tuple[str, str]:
    name, *text = line.split(maxsplit=1)
    return name, text[0].strip() if text else ""


# TRN

_TRN = re.compile(r"(?P<text>.*?)\s*\((?P<id>[^()\s]+)\)\s*")

_SPACE, _WORD_BEGINS = "<space>", "▁"
"""How ESPnet writes a space where the words of its TRN are characters, or pieces of words."""


def _trn(path: Path) -> Iterator[Row]:
    """With `;;` comments passed over. What ESPnet cut up for its CER and TER is put together."""
    found = []
    for place, line in _lines(path):
        if line.strip() and not line.startswith(";;"):
            with _at(path, place):
                found.append(Row(place, *_trn_line(line)))
    tokens = {token for row in found for token in row.text.split()}
    if _SPACE in tokens:
        return (Row(row.place, row.id, _joined(row.text, _SPACE)) for row in found)
    if any(token.startswith(_WORD_BEGINS) for token in tokens):
        return (Row(row.place, row.id, _joined(row.text, _WORD_BEGINS)) for row in found)
    return iter(found)


def _trn_line(line: str) -> tuple[str, str]:
    match = _TRN.fullmatch(line)
    if match is None:
        raise Unreadable(f"found no id at the end of {_shown(line)}, allowed: text (id)")
    return match["id"], match["text"].strip()


def _joined(text: str, space: str) -> str:
    return "".join(text.split()).replace(space, " ").strip()


# CSV

_MARKERS = re.compile(r"<(?:sos|eos|pad|s|/s)>")
"""KoSpeech spells its symbol of start, and after the end that of padding, into the texts."""


def _csv(path: Path, key: Key) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(_decoded(path), newline=""))
    header = [name.strip() for name in next(reader, [])]
    text, name = _column(header, key), _column(header, "id")
    if text is None:
        allowed = ", ".join(COLUMNS.get(key, (key,)))
        raise UserError(
            f"{path}: found the columns {', '.join(header) or 'none'}; for the {key} allowed: "
            f"{allowed}"
        )
    for cells in reader:
        if not cells:
            continue
        place = f"line {reader.line_num}"
        if len(cells) != len(header):
            raise UserError(
                f"{path}, {place}: found {len(cells)} cells under {len(header)} columns"
            )
        yield Row(place, None if name is None else cells[name], _MARKERS.sub("", cells[text]))


def _decoded(path: Path) -> str:
    """UTF-8, or cp949, as Korean Windows and KoSpeech have it: hardly a text is both."""
    try:
        return read_utf8(path)
    except UserError:
        try:
            return path.read_bytes().decode("cp949")
        except OSError:
            pass
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise UserError(f"{path}, line {line}: neither UTF-8 nor cp949") from None
        raise


def _column(header: Sequence[str], key: str) -> int | None:
    """The first of the names that `key` may have, in the order of `COLUMNS`."""
    names = [column.lower() for column in header]
    found = (names.index(name) for name in COLUMNS.get(key, (key,)) if name in names)
    return next(found, None)


# JSON


def _json_lines(path: Path, key: Key) -> Iterator[Row]:
    found = []
    for place, line in _lines(path):
        if line.strip():
            with _at(path, place):
                found.append((place, _object(line)))
    return _from_objects(path, found, key)


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise Unreadable(f"not JSON ({error})") from None


def _from_objects(path: Path, found: Sequence[tuple[str, Any]], key: Key) -> Iterator[Row]:
    # NeMo names an utterance by its audio: its stem, unless that is of several.
    audio = [row["audio_filepath"] for _, row in found if _is_nemo(row)]
    stems = Counter(PurePosixPath(name).stem for name in set(audio))
    for place, row in found:
        with _at(path, place):
            name, text = _nemo(row, key, stems) if _is_nemo(row) else _own(row, key)
        yield Row(place, name, text)


def _is_nemo(row: Any) -> bool:
    return isinstance(row, dict) and "id" not in row and isinstance(row.get("audio_filepath"), str)


def _own(row: Any, key: Key) -> tuple[str, str]:
    allowed = f"allowed: an object with the texts 'id' and '{key}'"
    if not isinstance(row, dict):
        raise Unreadable(f"found {_shown(json.dumps(row, ensure_ascii=False))}, {allowed}")
    for name in ("id", key):
        if not isinstance(row.get(name), str):
            raise Unreadable(f"found no text under '{name}', {allowed}")
    if not row["id"]:
        raise Unreadable(f"found an empty 'id', {allowed}")
    return row["id"], row[key]


def _nemo(row: dict[str, Any], key: Key, stems: Mapping[str, int]) -> tuple[str, str]:
    side = {"reference": "text", "hypothesis": "pred_text"}.get(key, key)
    if not isinstance(row.get(side), str):
        raise Unreadable(
            f"found no text under '{side}', allowed: an object with the texts 'audio_filepath' "
            f"and '{side}'"
        )
    audio, offset_s = PurePosixPath(row["audio_filepath"]), row.get("offset")
    name = audio.stem if stems[audio.stem] == 1 else str(audio.with_suffix(""))
    return f"{name}-{offset_s:09.3f}" if offset_s else name, row[side]


def _json(path: Path, key: Key) -> Iterator[Row]:
    """A document of Whisper's, a list of objects, or lines of them under another name."""
    found = _parsed(path)
    if _is_whisper(found):
        return iter([_whisper(path, found)])
    if isinstance(found, list):
        return _from_objects(path, [(f"row {i}", row) for i, row in enumerate(found, 1)], key)
    return _json_lines(path, key)


def _parsed(path: Path) -> Any:
    """None if it is not one document."""
    try:
        return json.loads(read_utf8(path))
    except ValueError:
        return None


# Whisper


def _is_whisper(found: Any) -> bool:
    if not isinstance(found, dict) or "audio_filepath" in found or "id" in found:
        return False
    return isinstance(found.get("text"), str) or isinstance(found.get("segments"), list)


def _whisper(path: Path, found: Any) -> Row:
    """The whole text, or that of all segments, which is all that WhisperX leaves."""
    if not _is_whisper(found):
        raise UserError(f"{path}: found neither 'text' nor 'segments', as Whisper's JSON has them")
    text = found.get("text")
    if not isinstance(text, str):
        text = " ".join(str(segment.get("text", "")).strip() for segment in found["segments"])
    return Row(path.name, path.stem, text.strip())


def _whisper_folder(path: Path) -> Iterator[Row]:
    files = sorted(path.glob("*.json"))
    if not files:
        raise UserError(f"{path}: a folder without .json files; of folders only Whisper's are read")
    return (_whisper(file, read_json(file)) for file in files)


def _shown(line: str, limit: int = 40) -> str:
    return repr(line if len(line) <= limit else line[:limit] + "...")
