"""Lhotse manifests: recordings with their supervisions, or cuts, as JSON Lines.

    [<corpus>_]recordings[_<split>].jsonl[.gz]      and supervisions beside them, or
    [<corpus>_]cuts[_<split>].jsonl[.gz]

The files are read as what they are, lines of JSON: lhotse itself would bring five packages more and
its own decoding, to floats, and this needs a dozen keys of its format. A supervision is an
utterance. What is not a plain part of a plain file (mixed and padded cuts, several channels at
once, transforms, commands, URLs) is rejected.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrbench.base.errors import Fault, UserError
from asrbench.data.audio import Segment
from asrbench.data.corpus import CorpusWriter
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.stages.prep import PLAINLY, How
from asrbench.stages.prep.lists import (
    FOLDER_SPLITS,
    check_split_name,
    found_at,
    json_rows,
    mark,
    real,
    rejecting,
    spoken,
    string,
)
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.splits import with_dev

PLAIN_CUTS = ("MonoCut", "Cut")
"""Types of a cut of one channel; the second is its name before lhotse 0.8."""

KINDS = ("recordings", "supervisions", "cuts")

_NAME = re.compile(
    rf"(?:(?P<prefix>.+)_)?(?P<kind>{'|'.join(KINDS)})(?:_(?P<part>.+))?\.jsonl(?:\.gz)?"
)

Tracks = dict[int, tuple[Path, int | None]]
"""Channel of a recording -> the file it is in, and its place there if there are several."""


def prepare(
    source: Path,
    out: Path,
    *,
    dev: int = 0,
    seed: int = 0,
    name: str | None = None,
    how: How = PLAINLY,
) -> None:
    """Reads the manifests in `source` and the audio they name, and leaves a corpus in `out`.

    `source` is a folder of manifests, or a file of cuts, which are train. What follows the kind of
    a manifest in its name is its split, `valid` and the like being dev and `eval` test; without
    that it is train. `dev` > 0 takes about so many utterances from train, whole speakers drawn by
    `seed`. A path is relative to the folder asrbench runs in, as it is to lhotse, or else to the
    manifest's. The corpus is named `name`, or else like the folder.

    What cannot be used is rejected, with its line. Raises `UserError`, leaving nothing behind:
    there are no manifests, or two ways to read a split, `dev` is more than train has, or as
    `CorpusWriter.create` does.
    """
    manifests = _manifests(source)
    folder = source if source.is_dir() else source.parent
    with CorpusWriter.create(
        out,
        name=name or folder.resolve().name,
        recipe="lhotse",
        source=str(source),
        text_profile="verbatim",
        strict=how.strict,
        force=how.force,
    ) as writer:
        splits = {split: _read(files, split, writer) for split, files in manifests.items()}
        write_utterances(writer, with_dev(splits, dev, seed), how)


def _manifests(source: Path) -> dict[str, dict[str, Path]]:
    """Split -> kind -> file: either cuts, or recordings and supervisions."""
    if source.is_file():
        match = _NAME.fullmatch(source.name)
        if match is None or match["kind"] != "cuts":
            raise UserError(f"{source}: its name has no 'cuts'; SOURCE is one of cuts, or a folder")
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
class _Gathering:
    """The utterances of a split, as they are found."""

    split: str
    writer: CorpusWriter
    found: dict[str, Source] = field(default_factory=dict)

    def add(self, where: str, row: dict[str, Any], tracks: Tracks | Fault, cut_s: float) -> None:
        """Adds the supervision `row`, in which times count from `cut_s` on, or rejects it."""
        with rejecting(self.writer, self.split, where, _id(row)):
            if isinstance(tracks, Fault):
                raise Fault(tracks.reason, tracks.detail)
            utterance = _utterance(row, tracks, cut_s)
            if utterance.id in self.found:
                raise Fault("duplicate id")
            self.found[utterance.id] = utterance


def _read(files: dict[str, Path], split: str, writer: CorpusWriter) -> list[Source]:
    gathering = _Gathering(split, writer)
    if "cuts" in files:
        _read_cuts(files["cuts"], gathering)
    else:
        _read_pair(files["recordings"], files["supervisions"], gathering)
    return list(gathering.found.values())


def _read_pair(recordings: Path, supervisions: Path, gathering: _Gathering) -> None:
    split, writer = gathering.split, gathering.writer
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
        gathering.add(where, row, known.get(recording, missing), 0.0)
    for recording in unused:
        writer.leave_out(recording, split, "recording without a supervision", recordings.name)


def _read_cuts(cuts: Path, gathering: _Gathering) -> None:
    split, writer = gathering.split, gathering.writer
    for where, row in json_rows(cuts, split, writer):
        with rejecting(writer, split, where, _id(row)):
            if row.get("type") not in PLAIN_CUTS:
                raise Fault("not a plain cut", f"of type '{row.get('type')}'")
            start_s = real(row, "start") or 0.0
            supervisions = _objects(row, "supervisions")
            if not supervisions:
                writer.leave_out(_id(row), split, "cut without a supervision", where)
            tracks = _tracks_of_cut(row, cuts.parent)
            for supervision in supervisions:
                channel = {"channel": row.get("channel", 0)}
                gathering.add(where, channel | supervision, tracks, start_s)


def _tracks_of_cut(cut: dict[str, Any], folder: Path) -> Tracks | Fault:
    if not isinstance(cut.get("recording"), dict):
        return Fault("no recording", "a cut of features")
    return _tracks_or_fault(cut["recording"], folder)


def _tracks_or_fault(recording: dict[str, Any], folder: Path) -> Tracks | Fault:
    """The fault is that of every utterance in the recording."""
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
            yield channel, (found_at(path, Path(), folder), place)


def _check_harmless(transform: dict[str, Any]) -> None:
    """Raises `Fault` for what changes the sound: not for another rate, where 16 kHz is below it."""
    settings = transform.get("kwargs")
    if transform.get("name") == "Resample" and isinstance(settings, dict):
        rate_hz = real(settings, "target_sampling_rate")
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
    start_s, duration_s = real(supervision, "start"), real(supervision, "duration")
    if start_s is None or duration_s is None:
        raise Fault("missing field", "'start' or 'duration'")
    # A sum of decimals may be off by a bit, and what begins at 0 below it.
    begin_s = round(cut_s + start_s, 9)
    path, index = tracks[channel]
    return Source(
        id,
        path,
        spoken(raw),
        mark(supervision, "speaker"),
        raw,
        str(channel),
        mark(supervision, "language"),
        Segment(begin_s, begin_s + duration_s, index),
    )


def _channel(supervision: dict[str, Any]) -> int:
    """The one channel of a supervision; where it has none, the first."""
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
    """A list of objects, empty where there is none."""
    found = row.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Fault("wrong type", f"'{key}' is no list of objects")
    return found


def _id(row: dict[str, Any]) -> str:
    id = row.get("id")
    return id if isinstance(id, str) else ""
