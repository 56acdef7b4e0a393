"""A language of Mozilla's Common Voice, as its archive unpacks.

    validated.tsv    client_id  path                         sentence  ...  locale  ...
    train.tsv        4d3a...    common_voice_ko_1234.mp3     안녕       ...  ko      ...
    clips/common_voice_ko_1234.mp3

and the same for dev.tsv and test.tsv. Cells are not quoted: a quotation mark is text. The other
columns differ by release and are not needed.
"""

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

from asrbench.base.errors import Fault, UserError
from asrbench.base.files import read_utf8
from asrbench.stages.prep.lists import normal_text, rejecting
from asrbench.stages.prep.recipe import Argument, Option, Preparation, Recipe
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.table import TableRow, read_tsv
from asrbench.text.normal_form import normalise

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import CorpusWriter

HELD_OUT = ("dev", "test")


@dataclass(frozen=True)
class Options:
    source: Annotated[Path, Argument("The folder of a language, with clips/.")]
    validated: Annotated[
        bool, Option("Train on all that shares no speaker and no text with dev and test.")
    ] = False


def prepare(options: Options, preparation: Preparation) -> None:
    """Prepares one language of Common Voice, with the splits of train.tsv, dev.tsv and test.tsv.

    With `options.validated`, train is every utterance of validated.tsv that shares neither a
    speaker nor a text with dev and test; the others are listed in `rejected.jsonl`. A client is a
    speaker, and the locale is the language. The column `raw` holds the sentence as listed.

    Raises `UserError`, leaving nothing behind, if a list is missing or lacks a column.
    """
    source = options.source
    with preparation.new_corpus(name="commonvoice", source=str(source)) as writer:
        splits = {split: _listed(source, split, split, writer) for split in HELD_OUT}
        if options.validated:
            validated = _listed(source, "validated", "train", writer)
            splits["train"] = _disjoint(validated, splits, writer)
        else:
            splits["train"] = _listed(source, "train", "train", writer)
        write_utterances(writer, splits, preparation)


def _listed(source: Path, name: str, split: str, writer: "CorpusWriter") -> list[Source]:
    """Returns the usable utterances of a list, and rejects the others under `split`."""
    path = source / f"{name}.tsv"
    if not path.is_file():
        raise UserError(
            f"{path}: not found; SOURCE is the folder of one language in Common Voice's archive, "
            f"with clips/, validated.tsv, train.tsv, dev.tsv and test.tsv"
        )
    columns, rows = read_tsv(path, read_utf8(path))
    if missing := [column for column in ("path", "sentence") if column not in columns]:
        raise UserError(
            f"{path}: column '{missing[0]}': not found; the first line has "
            f"{', '.join(columns) or 'no columns'}"
        )
    utterances: dict[str, Source] = {}
    for row in rows:
        id = PurePath(_cell(row, "path")).stem
        with rejecting(writer, split, f"{path.name}, line {row.line}", id):
            if id in utterances:
                raise Fault("duplicate id")
            utterances[id] = _utterance(source, row, id)
    return list(utterances.values())


def _utterance(source: Path, row: TableRow, id: str) -> Source:
    if row.fault is not None:
        raise Fault(*row.fault)
    clip = _cell(row, "path")
    if not clip:
        raise Fault("no audio path")
    raw = row.cells["sentence"] or ""
    return Source(
        id,
        # The first releases named the clips without their suffix.
        source / "clips" / (clip if PurePath(clip).suffix else f"{clip}.mp3"),
        normal_text(raw),
        normalise(_cell(row, "client_id")) or None,
        raw,
        language=_cell(row, "locale") or None,
    )


def _cell(row: TableRow, column: str) -> str:
    return (row.cells.get(column) or "").strip()


def _disjoint(
    validated: list[Source], held_out: dict[str, list[Source]], writer: "CorpusWriter"
) -> list[Source]:
    """Returns the utterances that share no speaker and no text with the held-out splits.

    The others are listed as left out, except those that are in a held-out split themselves.
    """
    home = {source.id: split for split, sources in held_out.items() for source in sources}
    speaker_in = {s.speaker: split for split, sources in held_out.items() for s in sources}
    text_in = {s.text: split for split, sources in held_out.items() for s in sources}
    kept = []
    for source in validated:
        if source.id in home:
            continue
        if source.speaker is not None and source.speaker in speaker_in:
            detail = f"in {speaker_in[source.speaker]}: {source.speaker}"
            writer.leave_out(source.id, "train", "speaker held out", detail)
        elif source.text in text_in:
            detail = f"in {text_in[source.text]}: {source.text}"
            writer.leave_out(source.id, "train", "text held out", detail)
        else:
            kept.append(source)
    return kept


RECIPE = Recipe(
    details="Splits are those of train.tsv, dev.tsv and test.tsv.",
    options=Options,
    prepare=prepare,
)
