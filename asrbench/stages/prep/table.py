"""Any corpus that comes as a table of audio files and their texts: TSV, CSV or JSON Lines.

    id         audio                 speaker  split  text
    ada00001   audio/ada00001.ogg    ada      train  각 조에서 상위 이개국씩 결선 토너먼트에 진출해

The suffix tells the format. Cells are quoted in CSV and not in TSV, where a quotation mark is text.
The first line of both names the columns, of which only audio and text are required. JSON Lines has
one object on each line.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from asrbench.base.errors import Fault, UserError, pick
from asrbench.base.formatting import counted
from asrbench.stages.prep.lists import (
    ALLOWED_IN_SPLIT,
    SPLIT_ALIASES,
    SPLIT_NAME,
    UniqueIds,
    json_object,
    normal_text,
    rejecting,
    stem_of,
    text_of,
)
from asrbench.stages.prep.recipe import (
    Argument,
    CorpusName,
    Option,
    Preparation,
    Recipe,
    SplitSeed,
    TakeDev,
    parse_shares,
)
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.splits import Fractions, disjoint_splits, with_dev
from asrbench.text.normal_form import normalise

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import CorpusWriter

COLUMNS = {
    "audio": ("audio", "path", "audio_path", "audio_filepath", "file"),
    "text": ("text", "sentence", "transcript", "transcription"),
    "id": ("id", "utt_id", "utterance"),
    "speaker": ("speaker", "spk", "speaker_id", "client_id"),
    "split": ("split", "subset"),
}
"""Usual names of each column. The first one in the table is taken if the user names none."""

NO_SPLIT = ""
"""Stands for the split of an utterance for which the table names none."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of the table: the cell of each column, or the fault of the line.

    A cell is `None` if its JSON value is neither a text nor a whole number.
    """

    line: int
    cells: dict[str, str | None]
    fault: tuple[str, str] | None = None


@dataclass(frozen=True)
class Options:
    source: Annotated[Path, Argument("A .tsv, .csv or .jsonl with a header.")]
    audio: Annotated[str | None, Option("Column of the audio path.")] = None
    text: Annotated[str | None, Option("Column of the text.")] = None
    id: Annotated[str | None, Option("Column of the id.")] = None
    speaker: Annotated[str | None, Option("Column of the speaker.")] = None
    split_column: Annotated[str | None, Option("Column of the split.")] = None
    dev: TakeDev = 0
    split: Annotated[
        str | None,
        Option("Make splits that share no speaker and no text, as 0.8/0.1/0.1."),
    ] = None
    name: CorpusName = None
    seed: SplitSeed = 0

    def columns(self) -> dict[str, str | None]:
        """Returns the columns that the user named, by role."""
        return {
            "audio": self.audio,
            "text": self.text,
            "id": self.id,
            "speaker": self.speaker,
            "split": self.split_column,
        }


def prepare(options: Options, preparation: Preparation) -> None:
    """Prepares the audio files that a table lists.

    Audio paths are absolute or relative to the table's folder. Without an id column, the audio path
    without its suffix is the id. A blank speaker is an unknown one. The text is normalised, and the
    column `raw` holds the cell. The corpus is named after the table's folder by default.

    Splits come from the split column (`validation` and the like are `dev`). Without that column, or
    if it is blank, all is `train`, unless `options.split` gives shares of train, dev and test: then
    the splits share neither a speaker nor a text, and `rejected.jsonl` lists the utterances that
    this excludes. `options.dev` > 0 takes about that many utterances from train.

    A row that cannot be used is rejected. Raises `UserError`, leaving nothing behind, if the table
    cannot be read, lacks a column, or contradicts the options.
    """
    source, seed = options.source, options.seed
    shares = None if options.split is None else parse_shares("--split", options.split)
    name = options.name or source.resolve().parent.name
    with preparation.new_corpus(name=name, source=str(source)) as writer:
        columns, rows = read_table(source, writer.encodings)
        reader = _Reader(source, _find_columns(source, columns, options.columns()))
        splits = _decide(source, reader.read(rows, writer), shares, seed, writer)
        write_utterances(writer, with_dev(splits, options.dev, seed), preparation)


def read_table(path: Path, encodings: dict[str, str]) -> tuple[list[str], list[TableRow]]:
    """Returns the names of the columns, and the rows that are not blank, also those with a fault.

    The text is UTF-8, or cp949 where that is certain, which `encodings` then says by file. Raises
    `UserError` if the file is missing, of another format or encoding, or has no header.
    """
    read = FORMATS[pick(f"{path}: format", path.suffix.lower(), FORMATS)]
    columns, rows = read(path, text_of(path, encodings))
    if not rows:
        raise UserError(
            f"{path}: no rows; the first line names the columns, one row a line follows"
        )
    return columns, rows


def read_tsv(path: Path, text: str) -> tuple[list[str], list[TableRow]]:
    """Returns the columns and the rows of a table, which may have no rows."""
    lines = [line.removesuffix("\r").split("\t") for line in text.split("\n")]
    return _with_header(path, [(number, cells) for number, cells in enumerate(lines, start=1)])


def _read_csv(path: Path, text: str) -> tuple[list[str], list[TableRow]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records = []
    line = 1
    try:
        for cells in reader:
            records.append((line, cells))
            line = reader.line_num + 1  # of the next record: a quoted cell may have line breaks
    except csv.Error as error:
        raise UserError(f"{path}, line {line}: not CSV ({error})") from None
    return _with_header(path, records)


def _with_header(
    path: Path, records: list[tuple[int, list[str]]]
) -> tuple[list[str], list[TableRow]]:
    """Returns columns and rows of (line number, cells), the first of which names the columns."""
    records = [(line, cells) for line, cells in records if cells not in ([], [""])]
    columns = [cell.strip() for cell in records[0][1]] if records else []
    if twice := {column for column in columns if columns.count(column) > 1}:
        raise UserError(f"{path}: column '{min(twice)}' occurs twice in the first line; rename one")
    rows = []
    for line, cells in records[1:]:
        if len(cells) == len(columns):
            rows.append(TableRow(line, dict(zip(columns, cells, strict=True))))
        else:
            detail = f"{len(cells)} fields, the first line has {len(columns)}"
            rows.append(TableRow(line, {}, ("wrong field count", detail)))
    return columns, rows


def _read_jsonl(path: Path, text: str) -> tuple[list[str], list[TableRow]]:
    rows = [
        _json_row(number, line)
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]
    return list(dict.fromkeys(column for row in rows for column in row.cells)), rows


def _json_row(number: int, line: str) -> TableRow:
    try:
        cells = {key: _cell(value) for key, value in json_object(line).items()}
    except Fault as fault:
        return TableRow(number, {}, (fault.reason, fault.detail))
    return TableRow(number, cells)


def _cell(value: Any) -> str | None:
    """Returns a text unchanged, a whole number in digits, "" for null, `None` for anything else."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


FORMATS: dict[str, Callable[[Path, str], tuple[list[str], list[TableRow]]]] = {
    ".tsv": read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
}


def _find_columns(
    path: Path, columns: list[str], named: dict[str, str | None]
) -> dict[str, str | None]:
    """Returns the column of each role, or `None` if the table lacks one that is not required."""
    found: dict[str, str | None] = {}
    for role, name in named.items():
        if name is not None:
            found[role] = pick(f"{path}: {role} column", name, columns)
            continue
        found[role] = next((column for column in COLUMNS[role] if column in columns), None)
        if found[role] is None and role in ("audio", "text"):
            _refuse_other_delimiter(path, columns)
            raise UserError(
                f"{path}: {role} column: found none of {', '.join(COLUMNS[role])}; the table has "
                f"{', '.join(columns) or 'no columns'}; name it with --{role}"
            )
    return found


def _refuse_other_delimiter(path: Path, columns: list[str]) -> None:
    """Raises `UserError` for a table of one column whose name has what separates other tables."""
    own = {".tsv": "tab", ".csv": "comma"}.get(path.suffix.lower())
    if len(columns) != 1 or own is None:
        return
    for mark, what, remedy in (
        ("\t", "tab", "name the file .tsv"),
        (",", "comma", "name the file .csv"),
        (";", "semicolon", "write commas or tabs instead"),
        ("|", "vertical bar", "write commas or tabs instead"),
    ):
        if what != own and (count := columns[0].count(mark)):
            raise UserError(
                f"{path}: found one column, whose name holds {counted(count, what)}, and a "
                f"{path.suffix} is separated by {own}s; {remedy}"
            )


class _Reader:
    """Turns rows into utterances, with unique ids."""

    def __init__(self, table: Path, columns: dict[str, str | None]) -> None:
        self._table, self._columns = table, columns
        self._folder = table.parent.absolute()
        self._ids: set[str] = set()
        self._unique_ids = UniqueIds()

    def read(self, rows: list[TableRow], writer: "CorpusWriter") -> dict[str, list[Source]]:
        """Returns the usable utterances by split, `NO_SPLIT` if it is blank; rejects the others."""
        splits: dict[str, list[Source]] = {}
        for row in rows:
            where = f"{self._table.name}, line {row.line}"
            id, marked = self._cell(row, "id").strip(), self._cell(row, "split").strip()
            with rejecting(writer, marked, where, id):
                split, utterance = self._utterance(row)
                self._ids.add(utterance.id)
                splits.setdefault(split, []).append(utterance)
        return splits

    def _utterance(self, row: TableRow) -> tuple[str, Source]:
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
        text = normal_text(raw)
        speaker = normalise(self._cell(row, "speaker")) or None
        path = self._table.parent / audio
        return self._split(row), Source(self._id(row, audio), path, text, speaker, raw)

    def _split(self, row: TableRow) -> str:
        name = self._cell(row, "split").strip()
        name = SPLIT_ALIASES.get(name.lower(), name)
        if name and not SPLIT_NAME.fullmatch(name):
            raise Fault("split name", f"found '{name}', allowed: {ALLOWED_IN_SPLIT}")
        return name

    def _id(self, row: TableRow, audio: str) -> str:
        """Returns the id of the table, or else the audio path without its suffix, made unique."""
        if self._columns["id"] is not None:
            id = self._cell(row, "id").strip()
            if not id:
                raise Fault("no id", "")
            if id in self._ids:
                raise Fault("duplicate id", "")
            return id
        return self._unique_ids.unique(stem_of(audio, self._folder))

    def _cell(self, row: TableRow, role: str) -> str:
        """Returns the cell of a role, "" if the table has no such column."""
        column = self._columns[role]
        return "" if column is None else row.cells.get(column) or ""


def _decide(
    table: Path,
    splits: dict[str, list[Source]],
    fractions: Fractions | None,
    seed: int,
    writer: "CorpusWriter",
) -> dict[str, list[Source]]:
    """Returns the final splits: those of the table, those made by `fractions`, or all in train."""
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


RECIPE = Recipe(
    details="Audio path and text are required; id, speaker and split are optional. A column that "
    "no option names is found by its usual names.",
    options=Options,
    prepare=prepare,
)
