"""Transcripts by utterance id, and the hypotheses of several systems beside their references."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrbench.base.errors import UserError
from asrbench.scoring.counted_text import counted
from asrbench.scoring.edit_counts import character_errors
from asrbench.scoring.transcript_formats import Key, has_sides, rows

OTHER_CER = 0.5
"""Two references with this CER between them, or a higher one, are of different utterances."""


@dataclass(frozen=True)
class Transcripts:
    """The transcripts of one file."""

    name: str
    """Path of the file, for messages."""
    texts: dict[str, str]
    """Text of each utterance by its id, in the order of the file."""
    numbered: bool = False
    """Whether the file has no ids, so that an id is the number of its row, from 1."""
    speakers: dict[str, str] = field(default_factory=dict)
    """Speaker of each utterance whose row has it, by the id of the utterance."""


def read(path: Path, key: Key = "hypothesis") -> Transcripts:
    """Returns the transcripts of a file in any format of `asrbench.scoring.transcript_formats`.

    Of a format that holds several texts of an utterance, `key` says which.

    Texts may be empty. Raises `UserError` for a row that is not in the format, an empty id, an id
    that occurs twice, and a file without utterances.
    """
    texts: dict[str, str] = {}
    speakers: dict[str, str] = {}
    numbered = False
    for number, row in enumerate(rows(path, key), start=1):
        numbered |= row.id is None
        name = str(number) if row.id is None else row.id
        if not name:
            raise UserError(f"{path}, {row.place}: found an empty id")
        if name in texts:
            raise UserError(f"{path}, {row.place}: found the id '{name}' a second time")
        texts[name] = row.text
        if row.speaker is not None:
            speakers[name] = row.speaker
    if not texts:
        raise UserError(f"{path}: found no utterances")
    return Transcripts(str(path), texts, numbered, speakers)


def read_transcripts(path: Path, key: Key = "hypothesis") -> dict[str, str]:
    """Returns the texts of `read` by utterance id."""
    return read(path, key).texts


def matched(
    reference: dict[str, str], hypothesis: dict[str, str], name: str
) -> tuple[list[str], list[str], list[str]]:
    """Returns ids, references and hypotheses as three lists, in the order of the reference.

    Raises `UserError` unless both sides have the same ids; `name` is that of the hypotheses in its
    message.
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


# Several files


@dataclass(frozen=True)
class Gathered:
    """References and the hypotheses of systems, all in the order of the references."""

    source: Path
    """The file of the references."""
    references: dict[str, str]
    """Reference of each utterance by its id."""
    systems: dict[str, list[list[str]]]
    """Hypotheses of each system by its label, one list per file."""
    stored_speakers: dict[str, str] = field(default_factory=dict)
    """Speaker of an utterance by its id, from the first file that has it."""
    notes: list[str] = field(default_factory=list)
    """Lines that the user should read beside the figures."""

    @property
    def speakers(self) -> list[str] | None:
        """The speaker of each utterance; None unless all are known."""
        if not self.references.keys() <= self.stored_speakers.keys():
            return None
        return [self.stored_speakers[name] for name in self.references]


def gather(reference: Path | None, systems: Mapping[str, Sequence[Path]], profile: str) -> Gathered:
    """Reads the files of each system and matches them with the references.

    Without `reference`, the references come from the first file that holds some. A file without
    ids is matched by the order of its rows. Where a file holds references of its own, they have to
    be of the same utterances; those that are spelled differently are reported in `notes`. Raises
    `UserError` for ids that differ, for references of other utterances, and without references.
    """
    paths = [path for files in systems.values() for path in files]
    source = reference or next((path for path in paths if has_sides(path)), None)
    if source is None:
        raise UserError(
            f"--ref: found none, and no references in {paths[0]}; name a file that holds them"
        )
    references = read(source, "reference")
    empty: dict[str, list[list[str]]] = {label: [] for label in systems}
    gathered = Gathered(source, references.texts, empty, {**references.speakers})
    for label, files in systems.items():
        for path in files:
            hypotheses = read(path, "hypothesis")
            if hypotheses.numbered != references.numbered:
                hypotheses = _renamed(hypotheses, references)
                gathered.notes.append(f"{path}: matched with {source.name} by the order of rows")
            texts = matched(references.texts, hypotheses.texts, hypotheses.name)[2]
            gathered.systems[label].append(texts)
            for name, speaker in hypotheses.speakers.items():
                gathered.stored_speakers.setdefault(name, speaker)
            if path != source and (own := _own_references(path, hypotheses)) is not None:
                gathered.notes.extend(_compared(own, references, profile))
    return gathered


def _renamed(transcripts: Transcripts, references: Transcripts) -> Transcripts:
    """Returns `transcripts` under the ids of `references`, matched by the order of rows."""
    count, wanted = len(transcripts.texts), len(references.texts)
    if count != wanted:
        without = transcripts if transcripts.numbered else references
        raise UserError(
            f"{transcripts.name}: found {count} utterances for {wanted} references; "
            f"{without.name} has no ids, so both must have the same utterances in the same order"
        )
    names = dict(zip(transcripts.texts, references.texts, strict=True))
    return Transcripts(
        transcripts.name,
        {names[name]: text for name, text in transcripts.texts.items()},
        numbered=True,
        speakers={names[name]: speaker for name, speaker in transcripts.speakers.items()},
    )


def _own_references(path: Path, hypotheses: Transcripts) -> Transcripts | None:
    """Returns the references in a file of hypotheses, under the ids of the hypotheses, if any."""
    if not has_sides(path):
        return None
    try:
        found = read(path, "reference")
    except UserError:
        return None  # the format can hold references, but this file has none
    texts = dict(zip(hypotheses.texts, found.texts.values(), strict=True))
    return Transcripts(str(path), texts, hypotheses.numbered)


def _compared(own: Transcripts, references: Transcripts, profile: str) -> list[str]:
    """Returns a note if references of the file differ from those that are scored against.

    Raises `UserError` if a pair differs so much that it must be of two utterances.
    """
    differing = [
        name
        for name, text in own.texts.items()
        if counted(text, profile) != counted(references.texts[name], profile)
    ]
    for name in differing:
        one, other = references.texts[name], own.texts[name]
        if character_errors([one], [other], profile).rate >= OTHER_CER:
            raise UserError(
                f"{own.name}: found the reference {other!r} for utterance {name}, where "
                f"{references.name} has {one!r}; the files hold other utterances or another order"
            )
    if not differing:
        return []
    return [
        f"{own.name}: {len(differing)} of its {len(own.texts)} references differ from those of "
        f"{references.name}, which are scored against ({_first(differing)})"
    ]


def _first(keys: list[str], count: int = 3) -> str:
    return ", ".join(keys[:count]) + (", ..." if len(keys) > count else "")
