"""Lhotse manifests: recordings with their supervisions, or cuts, as JSON Lines.

    [<corpus>_]recordings[_<split>].jsonl[.gz]      and supervisions beside them, or
    [<corpus>_]cuts[_<split>].jsonl[.gz]

The files are read as JSON, without lhotse: it would bring five more packages and its own decoding
to floats, and this recipe needs a dozen keys of its format. A supervision is an utterance. A
supervision that is not a part of one channel of one file (mixed and padded cuts, several channels
at once, transforms, commands, URLs) is rejected.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from asrbench.base.errors import Fault, UserError
from asrbench.data.segment import Segment
from asrbench.stages.prep.lists import (
    FOLDER_SPLITS,
    check_split_name,
    json_rows,
    label,
    locate,
    normal_text,
    number,
    rejecting,
    string,
)
from asrbench.stages.prep.recipe import (
    Argument,
    CorpusName,
    Preparation,
    Recipe,
    SplitSeed,
    TakeDev,
)
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.splits import with_dev

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import CorpusWriter

PLAIN_CUTS = ("MonoCut", "Cut")
"""Types of a cut of one channel. The second is the name it had before lhotse 0.8."""

KINDS = ("recordings", "supervisions", "cuts")

_NAME = re.compile(
    rf"(?:(?P<prefix>.+)_)?(?P<kind>{'|'.join(KINDS)})(?:_(?P<part>.+))?\.jsonl(?:\.gz)?"
)

Tracks = dict[int, tuple[Path, int | None]]
"""The file of each channel of a recording, with the index in that file if it has several."""


@dataclass(frozen=True)
class Options:
    source: Annotated[Path, Argument("A folder of manifests, or a file of cuts.")]
    dev: TakeDev = 0
    seed: SplitSeed = 0
    name: CorpusName = None


def prepare(options: Options, preparation: Preparation) -> None:
    """Prepares a folder of manifests, or a file of cuts, which become train.

    The part of a manifest's name after its kind is the split (`valid` and the like are dev, `eval`
    is test); without that part it is train. `options.dev` > 0 takes about that many utterances
    from train, whole speakers. A path is relative to the folder asrbench runs in, as in lhotse, or
    else to the manifest's folder. The corpus is named after its folder by default.

    A line that cannot be used is rejected. Raises `UserError`, leaving nothing behind, if there is
    no manifest or if a split could be read in two ways.
    """
    source = options.source
    manifests = _manifests(source)
    folder = source if source.is_dir() else source.parent
    name = options.name or folder.resolve().name
    with preparation.new_corpus(name=name, source=str(source)) as writer:
        splits = {split: _read(files, split, writer) for split, files in manifests.items()}
        write_utterances(writer, with_dev(splits, options.dev, options.seed), preparation)


def _manifests(source: Path) -> dict[str, dict[str, Path]]:
    """Returns the files of each split by kind: either cuts, or recordings and supervisions."""
    if source.is_file():
        match = _NAME.fullmatch(source.name)
        if match is None or match["kind"] != "cuts":
            raise UserError(
                f"{source}: its name has no 'cuts'; SOURCE is a file of cuts, or a folder"
            )
        return {"train": {"cuts": source}}
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(source.glob("*.jsonl*")):
        if (match := _NAME.fullmatch(path.name)) is None:
            continue
        files = found.setdefault(_split(path, match["prefix"], match["part"]), {})
        if match["kind"] in files:
            raise UserError(f"{path}: the same split as {files[match['kind']].name}; move one away")
        files[match["kind"]] = path
    if not found:
        raise UserError(
            f"{source}: found no manifest; SOURCE has recordings.jsonl.gz and "
            f"supervisions.jsonl.gz, or cuts.jsonl.gz, or the same for each split (cuts_dev...)"
        )
    for split, files in found.items():
        if files.keys() not in ({"cuts"}, {"recordings", "supervisions"}):
            raise UserError(
                f"{source}: {split}: found {' and '.join(sorted(files))}, allowed: cuts alone, or "
                f"recordings and supervisions; move some away, or name a file of cuts as SOURCE"
            )
    return found


def _split(path: Path, prefix: str | None, part: str | None) -> str:
    if part is None:
        return FOLDER_SPLITS.get(prefix or "", "train")
    return FOLDER_SPLITS.get(part, check_split_name(f"{path}: split", part))


@dataclass(slots=True)
class _SplitReader:
    """Collects the utterances of one split."""

    split: str
    writer: "CorpusWriter"
    found: dict[str, Source] = field(default_factory=dict)

    def add(self, where: str, row: dict[str, Any], tracks: Tracks | Fault, cut_s: float) -> None:
        """Adds the supervision `row`, whose times are relative to `cut_s`, or rejects it."""
        with rejecting(self.writer, self.split, where, _id(row)):
            if isinstance(tracks, Fault):
                raise Fault(tracks.reason, tracks.detail)
            utterance = _utterance(row, tracks, cut_s)
            if utterance.id in self.found:
                raise Fault("duplicate id")
            self.found[utterance.id] = utterance


def _read(files: dict[str, Path], split: str, writer: "CorpusWriter") -> list[Source]:
    """Returns the usable utterances of one split, and rejects the others."""
    reader = _SplitReader(split, writer)
    if "cuts" in files:
        _read_cuts(files["cuts"], reader)
    else:
        _read_pair(files["recordings"], files["supervisions"], reader)
    return list(reader.found.values())


def _read_pair(recordings: Path, supervisions: Path, reader: _SplitReader) -> None:
    split, writer = reader.split, reader.writer
    known: dict[str, Tracks | Fault] = {}
    for where, row in json_rows(recordings, split, writer):
        with rejecting(writer, split, where):
            if _id(row) in known:
                raise Fault("duplicate recording", _id(row))
            known[_id(row)] = _tracks_or_fault(row, recordings.parent)
    unused = dict.fromkeys(known)
    for where, row in json_rows(supervisions, split, writer):
        recording = str(row.get("recording_id"))
        unused.pop(recording, None)
        missing = Fault("no recording", f"'{recording}' is not in {recordings.name}")
        reader.add(where, row, known.get(recording, missing), 0.0)
    for recording in unused:
        writer.leave_out(recording, split, "recording without a supervision", recordings.name)


def _read_cuts(cuts: Path, reader: _SplitReader) -> None:
    split, writer = reader.split, reader.writer
    for where, row in json_rows(cuts, split, writer):
        with rejecting(writer, split, where, _id(row)):
            if row.get("type") not in PLAIN_CUTS:
                raise Fault("not a plain cut", f"of type '{row.get('type')}'")
            start_s = number(row, "start") or 0.0
            supervisions = _objects(row, "supervisions")
            if not supervisions:
                writer.leave_out(_id(row), split, "cut without a supervision", where)
            tracks = _tracks_of_cut(row, cuts.parent)
            for supervision in supervisions:
                channel = {"channel": row.get("channel", 0)}
                reader.add(where, channel | supervision, tracks, start_s)


def _tracks_of_cut(cut: dict[str, Any], folder: Path) -> Tracks | Fault:
    if not isinstance(cut.get("recording"), dict):
        return Fault("no recording", "a cut of features")
    return _tracks_or_fault(cut["recording"], folder)


def _tracks_or_fault(recording: dict[str, Any], folder: Path) -> Tracks | Fault:
    """Returns the tracks of a recording, or the fault that all of its utterances share."""
    try:
        return dict(_tracks(recording, folder))
    except Fault as fault:
        return fault


def _tracks(
    recording: dict[str, Any], folder: Path
) -> Iterator[tuple[int, tuple[Path, int | None]]]:
    for transform in _objects(recording, "transforms"):
        _check_harmless(transform)
    for source in _objects(recording, "sources"):
        if source.get("type") != "file":
            raise Fault("audio not in a file", f"but of type '{source.get('type')}'")
        if source.get("video") is not None:
            raise Fault("audio not in a file", "but in a video")
        path, channels = string(source, "source"), source.get("channels")
        if not path or not isinstance(channels, list) or not all(map(_is_whole, channels)):
            raise Fault("wrong type", "a source has no path, or no channels")
        for index, channel in enumerate(channels):
            place = index if len(channels) > 1 else None
            yield channel, (locate(path, Path(), folder), place)


def _check_harmless(transform: dict[str, Any]) -> None:
    """Raises `Fault` for a transform that changes the sound, as resampling below 16 kHz does."""
    from asrbench.data.waveform import SAMPLE_RATE_HZ

    settings = transform.get("kwargs")
    if transform.get("name") == "Resample" and isinstance(settings, dict):
        rate_hz = number(settings, "target_sampling_rate")
        if rate_hz is not None and rate_hz >= SAMPLE_RATE_HZ:
            return
    raise Fault("transformed audio", f"by '{transform.get('name')}'")


def _utterance(supervision: dict[str, Any], tracks: Tracks, cut_s: float) -> Source:
    id = _id(supervision)
    if not id:
        raise Fault("no id")
    channel = _channel(supervision)
    if channel not in tracks:
        raise Fault("no such channel", f"{channel} of {', '.join(map(str, tracks)) or 'none'}")
    raw = string(supervision, "text") or ""
    start_s, duration_s = number(supervision, "start"), number(supervision, "duration")
    if start_s is None or duration_s is None:
        raise Fault("missing field", "'start' or 'duration'")
    # The sum of two decimals may be off by one bit, and a start of 0 could become negative.
    begin_s = round(cut_s + start_s, 9)
    path, index = tracks[channel]
    return Source(
        id,
        path,
        normal_text(raw),
        label(supervision, "speaker"),
        raw,
        str(channel),
        label(supervision, "language"),
        Segment(begin_s, begin_s + duration_s, index),
    )


def _channel(supervision: dict[str, Any]) -> int:
    """Returns the channel of a supervision, 0 if it names none. Raises `Fault` for several."""
    found = supervision.get("channel", 0)
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if isinstance(found, list):
        raise Fault("several channels", ", ".join(map(str, found)))
    if not _is_whole(found):
        raise Fault("wrong type", "'channel' is no whole number")
    return int(found)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _objects(row: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Returns the list of objects under `key`, empty if there is none."""
    found = row.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Fault("wrong type", f"'{key}' is no list of objects")
    return found


def _id(row: dict[str, Any]) -> str:
    id = row.get("id")
    return id if isinstance(id, str) else ""


RECIPE = Recipe(
    details="Each supervision is an utterance. The name of a manifest gives its split, as "
    "cuts_dev.jsonl.gz.",
    options=Options,
    prepare=prepare,
)
