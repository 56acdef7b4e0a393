"""NeMo manifests: JSON Lines, an utterance a line, a file a split.

    {"audio_filepath": "calls/0007.wav", "offset": 61.2, "duration": 3.4, "text": "hello there"}

Only audio_filepath and text are needed; without a duration, an utterance lasts to the end. `lang`
and `speaker` are kept where they stand. A path is relative to the manifest's folder, or else to the
folder asrbench runs in, as it is to NeMo. Names that end in .gz are unpacked.
"""

from pathlib import Path
from typing import Any

from asrbench.base.errors import Fault, UserError
from asrbench.data.audio import Segment
from asrbench.data.corpus import CorpusWriter
from asrbench.stages.prep import PLAINLY, How
from asrbench.stages.prep.lists import (
    Names,
    found_at,
    json_rows,
    mark,
    real,
    rejecting,
    spoken,
    stem_of,
    string,
)
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.splits import with_dev


def prepare(
    source: Path | None,
    out: Path,
    *,
    train: Path | None = None,
    dev: Path | int = 0,
    test: Path | None = None,
    seed: int = 0,
    name: str | None = None,
    how: How = PLAINLY,
) -> None:
    """Reads manifests and the audio they name, and leaves a corpus in `out`.

    `source` is the manifest of train, and another word for `train`. `dev` is a manifest, or about
    how many utterances to take from train, whole speakers drawn by `seed`. The id of an utterance
    is its audio path without the suffix, then its offset in seconds if it has one (`calls/0007-
    00061.200`), then a count if there are several of those: the same audio is the same utterance in
    every manifest, and stays in dev or test if it is in train as well. The corpus is named `name`,
    or else like the folder of the first manifest.

    Lines that cannot be used are rejected, with their number. Raises `UserError`, leaving nothing
    behind: there is no manifest, or one cannot be read, `dev` is more than train has, or as
    `CorpusWriter.create` does.
    """
    if source is not None and train is not None:
        raise UserError(f"--train: found {train}, but SOURCE is the manifest of train: {source}")
    taken = dev if isinstance(dev, int) else 0
    named = {"train": source or train, "dev": None if isinstance(dev, int) else dev, "test": test}
    manifests = {split: path for split, path in named.items() if path is not None}
    if not manifests:
        raise UserError("SOURCE, --train, --dev and --test: found none; name a manifest")
    first = next(iter(manifests.values()))
    with CorpusWriter.create(
        out,
        name=name or first.resolve().parent.name,
        recipe="nemo",
        source=", ".join(map(str, manifests.values())),
        text_profile="verbatim",
        strict=how.strict,
        force=how.force,
    ) as writer:
        splits = {split: _utterances(path, split, writer) for split, path in manifests.items()}
        write_utterances(writer, with_dev(splits, taken, seed), how)


def _utterances(manifest: Path, split: str, writer: CorpusWriter) -> list[Source]:
    names = Names()
    found: list[Source] = []
    for where, row in json_rows(manifest, split, writer):
        with rejecting(writer, split, where):
            found.append(_utterance(row, manifest.parent.absolute(), names))
    return found


def _utterance(row: dict[str, Any], folder: Path, names: Names) -> Source:
    for key in ("audio_filepath", "text"):
        if key not in row:
            raise Fault("missing field", f"'{key}'")
    if isinstance(row["audio_filepath"], list):
        raise Fault("wrong channel count", "a file for each channel")
    audio = (string(row, "audio_filepath") or "").strip()
    if not audio:
        raise Fault("no audio path")
    raw = string(row, "text") or ""
    text = spoken(raw)
    start_s, duration_s = real(row, "offset") or 0.0, real(row, "duration")
    segment = Segment(start_s, None if duration_s is None else start_s + duration_s)
    name = stem_of(audio, folder) + (f"-{start_s:09.3f}" if start_s else "")
    return Source(
        names.unique(name),
        found_at(audio, folder, Path()),
        text,
        mark(row, "speaker"),
        raw,
        language=mark(row, "lang"),
        segment=segment,
    )
