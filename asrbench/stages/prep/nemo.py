"""NeMo manifests: JSON Lines, one utterance on each line, one file for each split.

    {"audio_filepath": "calls/0007.wav", "offset": 61.2, "duration": 3.4, "text": "hello there"}

Only audio_filepath and text are required. Without a duration, an utterance lasts to the end of its
file. `lang` and `speaker` are kept if they are given. A path is relative to the manifest's folder,
or else to the folder asrbench runs in, as in NeMo. Files whose names end in .gz are unpacked.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from asrbench.base.errors import Fault, UserError
from asrbench.data.segment import Segment
from asrbench.stages.prep.lists import (
    UniqueIds,
    json_rows,
    label,
    locate,
    normal_text,
    number,
    rejecting,
    stem_of,
    string,
)
from asrbench.stages.prep.recipe import (
    Argument,
    CorpusName,
    Option,
    Preparation,
    Recipe,
    SplitSeed,
)
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.splits import with_dev

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import CorpusWriter


@dataclass(frozen=True)
class Options:
    source: Annotated[Path | None, Argument("The manifest of train.")] = None
    train: Annotated[Path | None, Option("Another way to name the manifest of train.")] = None
    dev: Annotated[str, Option("A manifest, or how many utterances to take from train.")] = "0"
    test: Annotated[Path | None, Option("The manifest of test.")] = None
    seed: SplitSeed = 0
    name: CorpusName = None


def prepare(options: Options, preparation: Preparation) -> None:
    """Prepares the manifests of train, dev and test, any of which may be missing.

    The id of an utterance is its audio path without the suffix, then its offset in seconds if it
    has one (`calls/0007-00061.200`), then a count if that is not unique. The same audio therefore
    is the same utterance in every manifest, and stays in dev or test if it is in train as well. The
    corpus is named after the folder of the first manifest by default.

    A line that cannot be used is rejected. Raises `UserError`, leaving nothing behind, if no
    manifest is named or if one cannot be read.
    """
    train, dev = options.train, options.dev
    if options.source is not None and train is not None:
        raise UserError(
            f"--train: found {train}, but SOURCE is the manifest of train: {options.source}"
        )
    named = {
        "train": options.source or train,
        "dev": None if dev.isdecimal() else Path(dev),
        "test": options.test,
    }
    manifests = {split: path for split, path in named.items() if path is not None}
    if not manifests:
        raise UserError("SOURCE, --train, --dev and --test: found none; name a manifest")
    name = options.name or next(iter(manifests.values())).resolve().parent.name
    with preparation.new_corpus(
        name=name, source=", ".join(map(str, manifests.values()))
    ) as writer:
        splits = {split: _utterances(path, split, writer) for split, path in manifests.items()}
        splits = with_dev(splits, int(dev) if dev.isdecimal() else 0, options.seed)
        write_utterances(writer, splits, preparation)


def _utterances(manifest: Path, split: str, writer: "CorpusWriter") -> list[Source]:
    """Returns the usable utterances of a manifest, and rejects the others."""
    ids = UniqueIds()
    found: list[Source] = []
    for where, row in json_rows(manifest, split, writer):
        with rejecting(writer, split, where):
            found.append(_utterance(row, manifest.parent.absolute(), ids))
    return found


def _utterance(row: dict[str, Any], folder: Path, ids: UniqueIds) -> Source:
    for key in ("audio_filepath", "text"):
        if key not in row:
            raise Fault("missing field", f"'{key}'")
    if isinstance(row["audio_filepath"], list):
        raise Fault("wrong channel count", "a file for each channel")
    audio = (string(row, "audio_filepath") or "").strip()
    if not audio:
        raise Fault("no audio path")
    raw = string(row, "text") or ""
    text = normal_text(raw)
    start_s, duration_s = number(row, "offset") or 0.0, number(row, "duration")
    segment = Segment(start_s, None if duration_s is None else start_s + duration_s)
    name = stem_of(audio, folder) + (f"-{start_s:09.3f}" if start_s else "")
    return Source(
        ids.unique(name),
        locate(audio, folder, Path()),
        text,
        label(row, "speaker"),
        raw,
        language=label(row, "lang"),
        segment=segment,
    )


RECIPE = Recipe(
    details="Paths are relative to the manifest, or else to where asrbench runs.",
    options=Options,
    prepare=prepare,
)
