"""A Kaldi data folder: lists with one utterance, or one recording, on each line.

    wav.scp                  rec1 audio/rec1.wav
    text                     rec1-0001 hello there
    utt2spk                  rec1-0001 ada               optional, like utt2lang
    segments                 rec1-0001 rec1 0.50 2.75    optional; an end of -1 is the recording's
    reco2file_and_channel    rec1 call7 A                optional; the sides of telephone calls

Without segments, each recording is an utterance. A relative path of wav.scp is looked up in the
folder that asrbench runs in, as Kaldi does, then in the data folder and in the two above it, from
which a recipe may have run. Commands (`cmd |`) are never run; their recordings are rejected.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from asrbench.base.errors import Fault, UserError
from asrbench.base.folders import folders_below
from asrbench.data.segment import Segment
from asrbench.stages.prep.lists import (
    FOLDER_SPLITS,
    check_split_name,
    locate,
    normal_text,
    numbered_lines,
    rejecting,
    split_key,
)
from asrbench.stages.prep.recipe import (
    Argument,
    CorpusName,
    Option,
    Preparation,
    Recipe,
    SplitSeed,
    TakeDev,
)
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.splits import with_dev
from asrbench.text.normal_form import normalise

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import CorpusWriter, Utterance

TO_THE_END = -1.0

_SPACES = re.compile("[ \t]+")
_NUMBER = re.compile("[0-9]{1,3}")
_IN_ARCHIVE = re.compile(r".*:\d+(?:\[.*\])?")


@dataclass(frozen=True)
class Options:
    source: Annotated[Path, Argument("A data folder, or the folder above train, dev and test.")]
    split_name: Annotated[str | None, Option("Split of a single data folder.", "train")] = None
    dev: TakeDev = 0
    seed: SplitSeed = 0
    name: CorpusName = None


def prepare(options: Options, preparation: Preparation) -> None:
    """Prepares one Kaldi data folder, or the folder above train, dev (valid) and test (eval).

    `options.dev` > 0 takes about that many utterances from train, whole speakers. The column `raw`
    holds the text as listed, `channel` the mark in reco2file_and_channel or in the fifth column of
    segments, and `language` that of utt2lang. The corpus is named after its folder by default.

    A line that cannot be used is rejected. Raises `UserError`, leaving nothing behind, if there is
    no data folder or if a list contradicts itself.
    """
    source = options.source
    folders = _folders(source, options.split_name)
    name = options.name or source.resolve().name
    with preparation.new_corpus(name=name, source=str(source)) as writer:
        for folder in _other_folders(source, folders):
            writer.leave_out("", "", "data folder that is no split", str(folder))
        splits = {split: _utterances(folder, split, writer) for split, folder in folders.items()}
        write_utterances(writer, with_dev(splits, options.dev, options.seed), preparation)


def _folders(source: Path, split_name: str | None) -> dict[str, Path]:
    """Returns the data folder of each split."""
    if (source / "wav.scp").is_file():
        return {check_split_name("--split-name", split_name or "train"): source}
    if split_name is not None:
        raise UserError(f"--split-name: {source} has no wav.scp, so it is not a single data folder")
    found: dict[str, Path] = {}
    for name, split in FOLDER_SPLITS.items():
        if not (source / name / "wav.scp").is_file():
            continue
        if split in found:
            raise UserError(
                f"{source}: {found[split].name} and {name} both are {split}; move one away"
            )
        found[split] = source / name
    if not found:
        raise UserError(
            f"{source}: no wav.scp; SOURCE is a Kaldi data folder, or the folder above train, dev "
            f"and test"
        )
    return found


def _other_folders(source: Path, folders: dict[str, Path]) -> list[Path]:
    """Returns the data folders in `source` that belong to no split."""
    if source in folders.values():
        return []
    found = (folder for folder, files in folders_below(source, depth=1) if "wav.scp" in files)
    return [folder for folder in found if folder not in folders.values()]


@dataclass(frozen=True, slots=True)
class _CallSide(Source):
    """One side of a telephone call, in a recording of both sides or of this side alone."""

    def read(self) -> "Utterance":
        try:
            return Source.read(self)
        except Fault as fault:
            if fault.reason != "no such channel":
                raise
            return Source.read(replace(self, segment=replace(self.segment, channel=None)))


def _utterances(folder: Path, split: str, writer: "CorpusWriter") -> list[Source]:
    """Returns the utterances that have audio and a text, and rejects those that lack one."""
    lists = _Lists(folder, split, writer)
    found: dict[str, Source] = {}
    listed: set[str] = set()
    used: set[str] = set()
    for where, (id, recording, *times) in lists.entries():
        listed.add(id)
        used.add(recording)
        with rejecting(writer, split, where, id):
            if id in found:
                raise Fault("duplicate id")
            found[id] = lists.source(id, recording, times)
    for id in lists.texts:
        if id not in listed:
            writer.reject(id, split, "no audio", f"text has it, {lists.entries_name} has not")
    for recording in lists.audio:
        if recording not in used:
            writer.leave_out(recording, split, "recording without a segment", "wav.scp")
    return list(found.values())


class _Lists:
    """The lists of a data folder, each read whole."""

    def __init__(self, folder: Path, split: str, writer: "CorpusWriter") -> None:
        self._folder, self._name, self._writer = folder, folder.resolve().name, writer
        above = folder.absolute().parents[:2]
        self._places = [Path(), folder, *above]
        """Where the paths of wav.scp may start."""
        self.audio = self._pairs("wav.scp")
        self.texts = self._texts(split)
        self._speakers, self._languages, self._sides = (
            self._pairs(name) if (folder / name).is_file() else {}
            for name in ("utt2spk", "utt2lang", "reco2file_and_channel")
        )
        self._paths: dict[str, Path] = {}
        self._has_segments = (folder / "segments").is_file()
        self.entries_name = "segments" if self._has_segments else "wav.scp"

    def entries(self) -> Iterator[tuple[str, list[str]]]:
        """Yields the place of each utterance, then its id, its recording and its further fields."""
        for number, line in numbered_lines(
            self._folder / self.entries_name, self._writer.encodings
        ):
            where = f"{self._name}/{self.entries_name}, line {number}"
            if self._has_segments:
                fields = _SPACES.split(line.strip(" \t"))
                yield where, [*fields, ""] if len(fields) == 1 else fields
            else:
                yield where, [split_key(line)[0]] * 2

    def source(self, id: str, recording: str, times: list[str]) -> Source:
        """Returns the utterance `id`. Raises `Fault` if one of the lists lacks something of it."""
        if self._has_segments and len(times) not in (2, 3):
            raise Fault("wrong field count", "allowed: utterance, recording, start, end, channel")
        if id not in self.texts:
            raise Fault("no transcript")
        raw = self.texts[id]
        text, audio = normal_text(raw), self._audio(recording)
        kind, channel, index = Source, None, None
        if len(times) == 3:
            channel, index = times[2], _counted_from_0(times[2])
        elif side := self._sides.get(recording, "").split()[-1:]:
            kind, channel, index = _CallSide, side[0], _letter_or_number(side[0])
        return kind(
            id,
            audio,
            text,
            normalise(self._speakers.get(id, "")) or None,
            raw,
            channel,
            normalise(self._languages.get(id, "")) or None,
            _segment(times, index),
            ("no speaker in utt2spk",) if self._speakers and id not in self._speakers else (),
        )

    def _audio(self, recording: str) -> Path:
        """Returns the path of a recording. Raises `Fault` if it is not a file of its own."""
        if recording not in self.audio:
            raise Fault("no recording", f"'{recording}' is not in wav.scp")
        named = self.audio[recording].strip()
        if not named:
            raise Fault("no audio path", f"'{recording}' in wav.scp")
        if named.endswith("|") or named.startswith("|"):
            raise Fault("pipe in wav.scp", f"write out what it makes: {named[:80]}")
        if recording not in self._paths:
            self._paths[recording] = self._found(named)
        return self._paths[recording]

    def _found(self, named: str) -> Path:
        """Returns where a path of wav.scp leads. Raises `Fault` if it is at none of the places."""
        path = locate(named, *self._places)
        if _IN_ARCHIVE.fullmatch(named) and not path.is_file():
            raise Fault("archive in wav.scp", named[:80])
        if not path.exists():
            looked = dict.fromkeys(str(place / named) for place in self._places)
            raise Fault("missing", f"looked for {', '.join(looked)}")
        return path

    def _texts(self, split: str) -> dict[str, str]:
        """Returns the unchanged text of each utterance, and rejects a second text of the same."""
        texts: dict[str, str] = {}
        for number, line in numbered_lines(self._folder / "text", self._writer.encodings):
            id, raw = split_key(line)
            if id in texts:
                where = f"{self._name}/text, line {number}"
                self._writer.reject(id, split, "duplicate transcript", where)
            else:
                texts[id] = raw
        return texts

    def _pairs(self, name: str) -> dict[str, str]:
        """Returns the value of each key. Raises `UserError` if a key has two different values."""
        path = self._folder / name
        pairs: dict[str, str] = {}
        for number, line in numbered_lines(path, self._writer.encodings):
            key, value = split_key(line)
            if pairs.setdefault(key, value) != value:
                raise UserError(
                    f"{path}, line {number}: '{key}' is '{value[:80]}' here and "
                    f"'{pairs[key][:80]}' before; leave one"
                )
        return pairs


def _segment(times: list[str], channel: int | None) -> Segment:
    """Returns the segment between two times, or the whole recording if `times` is empty."""
    try:
        start_s, end_s = map(float, times[:2]) if times else (0.0, TO_THE_END)
    except ValueError:
        raise Fault("segment times", f"from '{times[0]}' to '{times[1]}'") from None
    return Segment(start_s, None if end_s == TO_THE_END else end_s, channel)


def _counted_from_0(channel: str) -> int:
    """Returns a channel of segments as extract-segments.cc counts it, from 0."""
    if not _NUMBER.fullmatch(channel):
        raise Fault("channel", f"found '{channel}', allowed: 0, 1 and on")
    return int(channel)


def _letter_or_number(side: str) -> int:
    """Returns a channel as sph2pipe names it: A, or 1, is the first one, with the index 0."""
    if len(side) == 1 and "A" <= side.upper() <= "Z":
        return ord(side.upper()) - ord("A")
    if _NUMBER.fullmatch(side) and int(side) > 0:
        return int(side) - 1
    raise Fault("channel", f"found '{side}', allowed: A, B and on, or 1, 2 and on")


RECIPE = Recipe(
    details="Paths are relative to where asrbench runs, or else to the data folder or one of the "
    "two above it. Pipes are not run.",
    options=Options,
    prepare=prepare,
)
