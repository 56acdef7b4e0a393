"""Any corpus that comes as a table of audio files and their texts: TSV, CSV or JSON Lines.

    id         audio                 speaker  split  text
    ada00001   audio/ada00001.ogg    ada      train  각 조에서 상위 이개국씩 결선 토너먼트에 진출해

The suffix tells the format. TSV has no quoting: a quote is a quote. CSV has. The first line of both
names the columns, of which only audio and text are needed; JSON Lines has an object a line.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrbench.base.errors import Fault, UserError, pick
from asrbench.base.files import read_utf8
from asrbench.data.corpus import CorpusWriter
from asrbench.stages.prep import PLAINLY, How
from asrbench.stages.prep.lists import (
    SPLIT_ALIASES,
    SPLIT_NAME,
    Names,
    json_object,
    rejecting,
    spoken,
    stem_of,
)
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.splits import Fractions, disjoint_splits, with_dev
from asrbench.text.normal_form import normalise

COLUMNS = {
    "audio": ("audio", "path", "audio_path", "audio_filepath", "file"),
    "text": ("text", "sentence", "transcript", "transcription"),
    "id": ("id", "utt_id", "utterance"),
    "speaker": ("speaker", "spk", "speaker_id", "client_id"),
    "split": ("split", "subset"),
}
"""What a column is looked for under, the first that is there, if the user does not name it."""

NO_SPLIT = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: column -> cell, or what is wrong with the line.

    A cell is `None` where JSON has neither text nor a whole number: it has no one spelling.
    """

    line: int
    cells: dict[str, str | None]
    fault: tuple[str, str] | None = None


def prepare(
    source: Path,
    out: Path,
    *,
    audio_column: str | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    speaker_column: str | None = None,
    split_column: str | None = None,
    dev: int = 0,
    split: Fractions | None = None,
    seed: int = 0,
    name: str | None = None,
    how: How = PLAINLY,
) -> None:
    """Reads the table `source` and the audio it names, and leaves a corpus in `out`.

    Audio paths are absolute or relative to the table's folder. Without an id column, the audio path
    without its suffix is the id. A speaker may be blank: it is not known then. Text is normalised,
    `raw` is what the table has. The corpus is named `name`, or else like the table's folder.

    Splits come from the split column (`validation` and the like are `dev`); with none, or a blank
    one, everything is `train`, unless `split` asks for shares of train, dev and test that have
    neither a speaker nor a text in common (what that costs is listed in `rejected.jsonl`). `dev` >
    0 takes about so many utterances from train. Both draw by `seed`.

    Rows that cannot be used are rejected, with their line number. Raises `UserError`, leaving
    nothing behind: the table cannot be read, lacks a column, contradicts `split` or `dev`, or as
    `CorpusWriter.create` does.
    """
    named = {
        "audio": audio_column,
        "text": text_column,
        "id": id_column,
        "speaker": speaker_column,
        "split": split_column,
    }
    with CorpusWriter.create(
        out,
        name=name or source.resolve().parent.name,
        recipe="table",
        source=str(source),
        text_profile="verbatim",
        strict=how.strict,
        force=how.force,
    ) as writer:
        columns, rows = read_table(source)
        reader = _Reader(source, _find_columns(source, columns, named))
        splits = _decide(source, reader.read(rows, writer), split, seed, writer)
        write_utterances(writer, with_dev(splits, dev, seed), how)


def read_table(path: Path) -> tuple[list[str], list[Row]]:
    """The names of the columns, and the rows that are not blank, those with a fault included.

    Raises `UserError` if the file is missing, of another format, not UTF-8, or has no header.
    """
    read = FORMATS[pick(f"{path}: format", path.suffix.lower(), FORMATS)]
    columns, rows = read(path, read_utf8(path))
    if not rows:
        raise UserError(
            f"{path}: no rows; the first line names the columns, one row a line follows"
        )
    return columns, rows


def read_tsv(path: Path, text: str) -> tuple[list[str], list[Row]]:
    """The columns and the rows of a table that may have no rows."""
    lines = [line.removesuffix("\r").split("\t") for line in text.split("\n")]
    return _with_header(path, [(number, cells) for number, cells in enumerate(lines, start=1)])


def _read_csv(path: Path, text: str) -> tuple[list[str], list[Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records = []
    line = 1
    try:
        for cells in reader:
            records.append((line, cells))
            line = reader.line_num + 1  # where the next one starts: a quoted cell may have breaks
    except csv.Error as error:
        raise UserError(f"{path}, line {line}: not CSV ({error})") from None
    return _with_header(path, records)


def _with_header(path: Path, records: list[tuple[int, list[str]]]) -> tuple[list[str], list[Row]]:
    """Rows of (line number, cells), the first of which names the columns."""
    records = [(line, cells) for line, cells in records if cells not in ([], [""])]
    columns = [cell.strip() for cell in records[0][1]] if records else []
    if twice := {column for column in columns if columns.count(column) > 1}:
        raise UserError(f"{path}: column '{min(twice)}' stands twice in the first line; rename one")
    rows = []
    for line, cells in records[1:]:
        if len(cells) == len(columns):
            rows.append(Row(line, dict(zip(columns, cells, strict=True))))
        else:
            detail = f"{len(cells)} fields, the first line has {len(columns)}"
            rows.append(Row(line, {}, ("wrong field count", detail)))
    return columns, rows


def _read_jsonl(path: Path, text: str) -> tuple[list[str], list[Row]]:
    rows = [
        _json_row(number, line)
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]
    return list(dict.fromkeys(column for row in rows for column in row.cells)), rows


def _json_row(number: int, line: str) -> Row:
    try:
        cells = {key: _cell(value) for key, value in json_object(line).items()}
    except Fault as fault:
        return Row(number, {}, (fault.reason, fault.detail))
    return Row(number, cells)


def _cell(value: Any) -> str | None:
    """Text as it is, a whole number in digits, null as a blank, anything else `None`."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


FORMATS: dict[str, Callable[[Path, str], tuple[list[str], list[Row]]]] = {
    ".tsv": read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
}


def _find_columns(
    path: Path, columns: list[str], named: dict[str, str | None]
) -> dict[str, str | None]:
    """Role -> the column that has it, `None` where there is none and none is needed."""
    found: dict[str, str | None] = {}
    for role, name in named.items():
        if name is not None:
            found[role] = pick(f"{path}: {role} column", name, columns)
            continue
        found[role] = next((column for column in COLUMNS[role] if column in columns), None)
        if found[role] is None and role in ("audio", "text"):
            raise UserError(
                f"{path}: {role} column: found none of {', '.join(COLUMNS[role])}; the table has "
                f"{', '.join(columns) or 'no columns'}; name it with --{role}"
            )
    return found


class _Reader:
    """Makes utterances of rows. Remembers the ids it gave, for there may be no second of any."""

    def __init__(self, table: Path, columns: dict[str, str | None]) -> None:
        self._table, self._columns = table, columns
        self._folder = table.parent.absolute()
        self._ids: set[str] = set()
        self._names = Names()

    def read(self, rows: list[Row], writer: CorpusWriter) -> dict[str, list[Source]]:
        """Utterances under the split the table gives them, `NO_SPLIT` where it gives none."""
        splits: dict[str, list[Source]] = {}
        for row in rows:
            where = f"{self._table.name}, line {row.line}"
            id, marked = self._cell(row, "id").strip(), self._cell(row, "split").strip()
            with rejecting(writer, marked, where, id):
                split, utterance = self._utterance(row)
                self._ids.add(utterance.id)
                splits.setdefault(split, []).append(utterance)
        return splits

    def _utterance(self, row: Row) -> tuple[str, Source]:
        if row.fault is not None:
            raise Fault(*row.fault)
        for role, column in self._columns.items():
            if role in ("audio", "text") and column not in row.cells:
                raise Fault("missing field", f"'{column}'")
            if column is not None and row.cells.get(column, "") is None:
                raise Fault("wrong type", f"'{column}' is neither text nor a whole number")
        audio, raw = self._cell(row, "audio").strip(), self._cell(row, "text")
        if not audio:
            raise Fault("no audio path", "")
        text = spoken(raw)
        speaker = normalise(self._cell(row, "speaker")) or None
        path = self._table.parent / audio
        return self._split(row), Source(self._id(row, audio), path, text, speaker, raw)

    def _split(self, row: Row) -> str:
        name = self._cell(row, "split").strip()
        name = SPLIT_ALIASES.get(name.lower(), name)
        if name and not SPLIT_NAME.fullmatch(name):
            raise Fault("split name", f"found '{name}', allowed: letters, digits, '_' and '-'")
        return name

    def _id(self, row: Row, audio: str) -> str:
        """The id the table gives, or else the audio path without suffix, and a count if need be."""
        if self._columns["id"] is not None:
            id = self._cell(row, "id").strip()
            if not id:
                raise Fault("no id", "")
            if id in self._ids:
                raise Fault("duplicate id", "")
            return id
        return self._names.unique(stem_of(audio, self._folder))

    def _cell(self, row: Row, role: str) -> str:
        """The cell of a role, blank where the table has none."""
        column = self._columns[role]
        return "" if column is None else row.cells.get(column) or ""


def _decide(
    table: Path,
    splits: dict[str, list[Source]],
    fractions: Fractions | None,
    seed: int,
    writer: CorpusWriter,
) -> dict[str, list[Source]]:
    """`splits` with every utterance in one: the table's own, made by `fractions`, or train."""
    marked = {name: sources for name, sources in splits.items() if name != NO_SPLIT}
    unmarked = splits.get(NO_SPLIT, [])
    if fractions is None and marked:
        for source in unmarked:
            writer.reject(source.id, NO_SPLIT, "no split", "blank, while other rows have one")
        return marked
    if marked:
        raise UserError(
            f"{table}: --split: {sum(map(len, marked.values()))} rows already are in "
            f"{', '.join(sorted(marked))}; leave --split out, or blank the split column"
        )
    if fractions is None or not unmarked:
        return {"train": unmarked} if unmarked else {}
    decided = disjoint_splits(unmarked, fractions, seed)
    made: dict[str, list[Source]] = {}
    for source in unmarked:
        if out := decided.left_out.get(source.id):
            detail = f"its speaker is in {out.split}, its text in {out.text_split}"
            writer.leave_out(source.id, out.split, "text or speaker shared between splits", detail)
        else:
            made.setdefault(decided.assignment[source.id], []).append(source)
    return made
