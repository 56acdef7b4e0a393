"""Transcripts by utterance id, and those of several files brought together on one test set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrbench.base.errors import UserError
from asrbench.scoring.score import character_errors, counted
from asrbench.scoring.transcripts import Key, has_sides, rows

__all__ = ["Gathered", "Key", "Transcripts", "gather", "matched", "read", "read_transcripts"]

OTHER_CER = 0.5
"""Of two spellings of one utterance: at this CER or above they are two utterances."""


@dataclass(frozen=True)
class Transcripts:
    """What a file holds."""

    name: str
    """Of the file, for what is said of it."""
    texts: dict[str, str]
    """By id, in the order of the file."""
    numbered: bool = False
    """Whether the file has no ids: they are the numbers of its rows, from 1."""


def read(path: Path, key: Key = "hypothesis") -> Transcripts:
    """Transcripts of any format that `asrbench.scoring.transcripts` knows; of several sides, `key`.

    A text may be empty, an id may not. Raises `UserError`, with the place, for what cannot be read,
    an id met twice, and a file without utterances.
    """
    texts: dict[str, str] = {}
    numbered = False
    for number, row in enumerate(rows(path, key), start=1):
        numbered |= row.id is None
        name = str(number) if row.id is None else row.id
        if not name:
            raise UserError(f"{path}, {row.place}: found an empty id")
        if name in texts:
            raise UserError(f"{path}, {row.place}: found the id '{name}' a second time")
        texts[name] = row.text
    if not texts:
        raise UserError(f"{path}: found no utterances")
    return Transcripts(str(path), texts, numbered)


def read_transcripts(path: Path, key: Key = "hypothesis") -> dict[str, str]:
    """As `read`: the texts alone."""
    return read(path, key).texts


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


# Several files


@dataclass(frozen=True)
class Gathered:
    """Systems on one test set, all in the order of its references."""

    source: Path
    """Of the references."""
    references: dict[str, str]
    systems: dict[str, list[list[str]]]
    """Hypotheses of each system, a list for each of its files."""
    notes: list[str] = field(default_factory=list)


def gather(reference: Path | None, systems: Mapping[str, Sequence[Path]], profile: str) -> Gathered:
    """Reads every file of `systems`, by label, and puts it beside the references.

    Without `reference` these are those of the first file that holds some. A file that has no ids is
    matched by the order of its rows, if its own references are the same ones, row by row; one that
    spells a few of them otherwise is taken, and told of in `notes`. Raises `UserError` for ids that
    differ, for references that cannot be the same, and where there are none.
    """
    paths = [path for files in systems.values() for path in files]
    source = reference or next((path for path in paths if has_sides(path)), None)
    if source is None:
        raise UserError(
            f"--ref: found none, and no references in {paths[0]}; name a file that holds them"
        )
    references = read(source, "reference")
    gathered = Gathered(source, references.texts, {label: [] for label in systems})
    for label, files in systems.items():
        for path in files:
            hypotheses = read(path, "hypothesis")
            if hypotheses.numbered != references.numbered:
                hypotheses = _renamed(hypotheses, references)
                gathered.notes.append(f"{path}: matched with {source.name} by the order of rows")
            texts = matched(references.texts, hypotheses.texts, hypotheses.name)[2]
            gathered.systems[label].append(texts)
            if path != source and (own := _own_references(path, hypotheses)) is not None:
                gathered.notes.extend(_compared(own, references, profile))
    return gathered


def _renamed(transcripts: Transcripts, references: Transcripts) -> Transcripts:
    """Under the ids of the references, by order, where one side has none of its own."""
    count, wanted = len(transcripts.texts), len(references.texts)
    if count != wanted:
        without = transcripts if transcripts.numbered else references
        raise UserError(
            f"{transcripts.name}: found {count} utterances for {wanted} references; "
            f"{without.name} has no ids, so that they must be as many, in the same order"
        )
    texts = dict(zip(references.texts, transcripts.texts.values(), strict=True))
    return Transcripts(transcripts.name, texts, numbered=True)


def _own_references(path: Path, hypotheses: Transcripts) -> Transcripts | None:
    """Those that a file of hypotheses holds too, under the ids of the hypotheses."""
    if not has_sides(path):
        return None
    try:
        found = read(path, "reference")
    except UserError:
        return None  # a file of hypotheses alone, as many are
    texts = dict(zip(hypotheses.texts, found.texts.values(), strict=True))
    return Transcripts(str(path), texts, hypotheses.numbered)


def _compared(own: Transcripts, references: Transcripts, profile: str) -> list[str]:
    """A note if the references that a file holds are spelled otherwise than those scored against.

    Raises `UserError` if they cannot be the same utterances.
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
                f"{references.name} has {one!r}; they are of other utterances, or in another order"
            )
    if not differing:
        return []
    return [
        f"{own.name}: {len(differing)} of its own {len(own.texts)} references differ from those "
        f"of {references.name}, which count ({_first(differing)})"
    ]


def _first(keys: list[str], count: int = 3) -> str:
    return ", ".join(keys[:count]) + (", ..." if len(keys) > count else "")
