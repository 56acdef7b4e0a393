"""A Kaldi data folder: lists of an utterance, or a recording, a line.

    wav.scp                  rec1 audio/rec1.wav
    text                     rec1-0001 hello there
    utt2spk                  rec1-0001 ada               where it is there; utt2lang likewise
    segments                 rec1-0001 rec1 0.50 2.75    where recordings are cut; -1 is the end
    reco2file_and_channel    rec1 call7 A                where they are sides of a call

Without segments, a recording is an utterance. Paths of wav.scp that are not absolute are looked for
from the folder asrbench runs in, as Kaldi does, and then from the data folder. Commands (`cmd |`)
are never run: their recordings are rejected.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from asrbench.base.errors import Fault, UserError
from asrbench.data.audio import Segment
from asrbench.data.corpus import CorpusWriter, Utterance
from asrbench.stages.prep import PLAINLY, How
from asrbench.stages.prep.lists import (
    FOLDER_SPLITS,
    check_split_name,
    found_at,
    keyed,
    numbered_lines,
    rejecting,
    spoken,
)
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.splits import with_dev
from asrbench.text.normal_form import normalise

TO_THE_END = -1.0

_SPACES = re.compile("[ \t]+")
_NUMBER = re.compile("[0-9]{1,3}")
_IN_ARCHIVE = re.compile(r".*:\d+(?:\[.*\])?")


def prepare(
    source: Path,
    out: Path,
    *,
    split_name: str | None = None,
    dev: int = 0,
    seed: int = 0,
    name: str | None = None,
    how: How = PLAINLY,
) -> None:
    """Reads `source` and the audio it names, and leaves a corpus in `out`.

    `source` is a data folder, of the split `split_name` (train unless told), or has the data
    folders train, dev (or valid) and test (or eval). `dev` > 0 takes about so many utterances from
    train, whole speakers drawn by `seed`. `raw` is the text as listed, `channel` is what
    reco2file_and_channel or the fifth column of segments says, `language` comes from utt2lang. The
    corpus is named `name`, or else like the folder.

    What cannot be used is rejected, with its line. Raises `UserError`, leaving nothing behind:
    there is no data folder, a list contradicts itself, `dev` is more than train has, or as
    `CorpusWriter.create` does.
    """
    folders = _folders(source, split_name)
    with CorpusWriter.create(
        out,
        name=name or source.resolve().name,
        recipe="kaldi",
        source=str(source),
        text_profile="verbatim",
        strict=how.strict,
        force=how.force,
    ) as writer:
        for folder in _others(source, folders):
            writer.leave_out("", "", "data folder that is no split", str(folder))
        splits = {split: _utterances(folder, split, writer) for split, folder in folders.items()}
        write_utterances(writer, with_dev(splits, dev, seed), how)


def _folders(source: Path, split_name: str | None) -> dict[str, Path]:
    """Split -> its data folder."""
    if (source / "wav.scp").is_file():
        return {check_split_name("--split-name", split_name or "train"): source}
    if split_name is not None:
        raise UserError(f"--split-name: {source} has no wav.scp, so it is no single data folder")
    found: dict[str, Path] = {}
    for name, split in FOLDER_SPLITS.items():
        if not (source / name / "wav.scp").is_file():
            continue
        if split in found:
            raise UserError(f"{source}: {found[split].name} and {name} both are {split}; move one")
        found[split] = source / name
    if not found:
        raise UserError(
            f"{source}: no wav.scp; SOURCE is a Kaldi data folder, or the folder above train, dev "
            f"and test"
        )
    return found


def _others(source: Path, folders: dict[str, Path]) -> list[Path]:
    """Data folders beside those of the splits."""
    if source in folders.values():
        return []
    return sorted(
        path.parent for path in source.glob("*/wav.scp") if path.parent not in folders.values()
    )


@dataclass(frozen=True, slots=True)
class _Side(Source):
    """Side A or B of a call, in a recording of both or of itself alone."""

    def read(self) -> Utterance:
        try:
            return Source.read(self)
        except Fault as fault:
            if fault.reason != "no such channel":
                raise
            return Source.read(replace(self, segment=replace(self.segment, channel=None)))


def _utterances(folder: Path, split: str, writer: CorpusWriter) -> list[Source]:
    """Everything that has audio and a text; rejects what has only one of them, or neither."""
    lists = _Lists(folder, split, writer)
    found: dict[str, Source] = {}
    listed: set[str] = set()
    used: set[str] = set()
    for where, (id, recording, *times) in lists.pieces():
        listed.add(id)
        used.add(recording)
        with rejecting(writer, split, where, id):
            if id in found:
                raise Fault("duplicate id")
            found[id] = lists.source(id, recording, times)
    for id in lists.texts:
        if id not in listed:
            writer.reject(id, split, "no audio", f"text has it, {lists.pieces_name} has not")
    for recording in lists.audio:
        if recording not in used:
            writer.leave_out(recording, split, "recording without a segment", "wav.scp")
    return list(found.values())


class _Lists:
    """The lists of a data folder, each read whole."""

    def __init__(self, folder: Path, split: str, writer: CorpusWriter) -> None:
        self._folder, self._called = folder, folder.resolve().name
        self.audio = self._pairs("wav.scp")
        self.texts = self._texts(split, writer)
        self._speakers, self._languages, self._sides = (
            self._pairs(name) if (folder / name).is_file() else {}
            for name in ("utt2spk", "utt2lang", "reco2file_and_channel")
        )
        self._paths: dict[str, Path] = {}
        self._cut = (folder / "segments").is_file()
        self.pieces_name = "segments" if self._cut else "wav.scp"

    def pieces(self) -> Iterator[tuple[str, list[str]]]:
        """Where each utterance stands, and its id, its recording, and what follows in segments."""
        for number, line in numbered_lines(self._folder / self.pieces_name):
            where = f"{self._called}/{self.pieces_name}, line {number}"
            if self._cut:
                fields = _SPACES.split(line.strip(" \t"))
                yield where, [*fields, ""] if len(fields) == 1 else fields
            else:
                yield where, [keyed(line)[0]] * 2

    def source(self, id: str, recording: str, times: list[str]) -> Source:
        if self._cut and len(times) not in (2, 3):
            raise Fault("wrong field count", "allowed: utterance, recording, start, end, channel")
        if id not in self.texts:
            raise Fault("no transcript")
        raw = self.texts[id]
        text, audio = spoken(raw), self._audio(recording)
        kind, channel, index = Source, None, None
        if len(times) == 3:
            channel, index = times[2], _counted_from_0(times[2])
        elif side := self._sides.get(recording, "").split()[-1:]:
            kind, channel, index = _Side, side[0], _letter_or_number(side[0])
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
        """Where a recording is. Raises `Fault` if that is no file of its own."""
        if recording not in self.audio:
            raise Fault("no recording", f"'{recording}' is not in wav.scp")
        named = self.audio[recording].strip()
        if not named:
            raise Fault("no audio path", f"'{recording}' in wav.scp")
        if named.endswith("|") or named.startswith("|"):
            raise Fault("pipe in wav.scp", f"write out what it makes: {named[:80]}")
        if recording not in self._paths:
            self._paths[recording] = found_at(named, Path(), self._folder)
        path = self._paths[recording]
        if _IN_ARCHIVE.fullmatch(named) and not path.is_file():
            raise Fault("archive in wav.scp", named[:80])
        return path

    def _texts(self, split: str, writer: CorpusWriter) -> dict[str, str]:
        """Utterance -> its text, untouched. A second one is rejected."""
        texts: dict[str, str] = {}
        for number, line in numbered_lines(self._folder / "text"):
            id, raw = keyed(line)
            if id in texts:
                where = f"{self._called}/text, line {number}"
                writer.reject(id, split, "duplicate transcript", where)
            else:
                texts[id] = raw
        return texts

    def _pairs(self, name: str) -> dict[str, str]:
        """What a list says of each key. Raises `UserError` if it says two things of one."""
        path = self._folder / name
        pairs: dict[str, str] = {}
        for number, line in numbered_lines(path):
            key, value = keyed(line)
            if pairs.setdefault(key, value) != value:
                raise UserError(
                    f"{path}, line {number}: '{key}' is '{value[:80]}' here and "
                    f"'{pairs[key][:80]}' before; leave one"
                )
        return pairs


def _segment(times: list[str], channel: int | None) -> Segment:
    """From the third field of segments to the fourth, or all where there are no segments."""
    try:
        start_s, end_s = map(float, times[:2]) if times else (0.0, TO_THE_END)
    except ValueError:
        raise Fault("segment times", f"from '{times[0]}' to '{times[1]}'") from None
    return Segment(start_s, None if end_s == TO_THE_END else end_s, channel)


def _counted_from_0(channel: str) -> int:
    """As extract-segments.cc counts the fifth column of segments."""
    if not _NUMBER.fullmatch(channel):
        raise Fault("channel", f"found '{channel}', allowed: 0, 1 and on")
    return int(channel)


def _letter_or_number(side: str) -> int:
    """As sph2pipe counts: A is 1 is the first."""
    if len(side) == 1 and "A" <= side.upper() <= "Z":
        return ord(side.upper()) - ord("A")
    if _NUMBER.fullmatch(side) and int(side) > 0:
        return int(side) - 1
    raise Fault("channel", f"found '{side}', allowed: A, B and on, or 1, 2 and on")
