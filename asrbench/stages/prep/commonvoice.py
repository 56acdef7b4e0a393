"""A language of Mozilla's Common Voice, as its archive unpacks.

    validated.tsv    client_id  path                         sentence  ...  locale  ...
    train.tsv        4d3a...    common_voice_ko_1234.mp3     안녕       ...  ko      ...
    clips/common_voice_ko_1234.mp3

and the same for dev.tsv and test.tsv. No cell is quoted: a quote is a quote. Columns beside these
four differ by release and are not needed.
"""

from pathlib import Path, PurePath

from asrbench.base.errors import Fault, UserError
from asrbench.base.files import read_utf8
from asrbench.data.corpus import CorpusWriter
from asrbench.stages.prep import PLAINLY, How
from asrbench.stages.prep.lists import rejecting, spoken
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.table import Row, read_tsv
from asrbench.text.normal_form import normalise

HELD_OUT = ("dev", "test")


def prepare(source: Path, out: Path, *, validated: bool = False, how: How = PLAINLY) -> None:
    """Reads the folder of a language, with `clips/` and the lists, and leaves a corpus in `out`.

    Train, dev and test are Mozilla's. With `validated`, train is all that was validated and is
    neither in dev nor in test, nor of a speaker or with a text that is there; what that costs is
    listed in `rejected.jsonl`. A client is a speaker, the locale the language, the sentence as
    listed `raw`.

    Raises `UserError`, leaving nothing behind: `source` is no such folder, a list is missing or
    lacks a column, or as `CorpusWriter.create` does.
    """
    with CorpusWriter.create(
        out,
        name="commonvoice",
        recipe="commonvoice",
        source=str(source),
        text_profile="verbatim",
        strict=how.strict,
        force=how.force,
    ) as writer:
        splits = {split: _listed(source, split, split, writer) for split in HELD_OUT}
        if validated:
            splits["train"] = _apart(_listed(source, "validated", "train", writer), splits, writer)
        else:
            splits["train"] = _listed(source, "train", "train", writer)
        write_utterances(writer, splits, how)


def _listed(source: Path, name: str, split: str, writer: CorpusWriter) -> list[Source]:
    """The utterances of a list that can be used, for `split`; the others are rejected."""
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


def _utterance(source: Path, row: Row, id: str) -> Source:
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
        spoken(raw),
        normalise(_cell(row, "client_id")) or None,
        raw,
        language=_cell(row, "locale") or None,
    )


def _cell(row: Row, column: str) -> str:
    return (row.cells.get(column) or "").strip()


def _apart(
    validated: list[Source], held_out: dict[str, list[Source]], writer: CorpusWriter
) -> list[Source]:
    """What of `validated` shares nothing with the splits that are held out; tells of the others."""
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
