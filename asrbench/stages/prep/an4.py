"""AN4, CMU's census database, as CMU distributes it: 948 + 130 utterances, 0.81 hours.

    etc/an4_train.fileids         an4_clstk/fash/an251-fash-b
    etc/an4_train.transcription   <s> YES </s> (an251-fash-b)
    wav/an4_clstk/fash/an251-fash-b.sph

and the same for `test`. The folder before the name is the speaker. AN4 has no official
development set.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from asrbench.base.errors import UserError
from asrbench.base.files import read_utf8
from asrbench.stages.prep.recipe import Argument, Preparation, Recipe, SplitSeed, TakeDev
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.splits import with_dev
from asrbench.text.normal_form import normalise

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import CorpusWriter

SPLITS = ("train", "test")
SUFFIXES = (".sph", ".wav")

_TRANSCRIPT = re.compile(r"\s*(?:<s>\s*)?(?P<text>.*?)\s*(?:</s>\s*)?\((?P<id>[^()\s]+)\)\s*")


@dataclass(frozen=True)
class Options:
    source: Annotated[Path, Argument("CMU's distribution: the folder with etc/ and wav/.")]
    dev: TakeDev = 100
    seed: SplitSeed = 0


def prepare(options: Options, preparation: Preparation) -> None:
    """Prepares AN4. `options.dev` > 0 takes about that many utterances, whole speakers, from train.

    Transcripts are matched to audio by utterance id. An utterance without a transcript or without
    readable audio is rejected. The column `raw` holds the line of the transcription file.
    """
    source = options.source
    with preparation.new_corpus(name="an4", source=str(source)) as writer:
        splits = {split: list(_utterances(source, split, writer)) for split in SPLITS}
        splits = with_dev(splits, options.dev, options.seed)
        write_utterances(writer, splits, preparation)


def _utterances(source: Path, split: str, writer: "CorpusWriter") -> Iterator[Source]:
    """Yields an utterance for each file id with a transcript, and rejects the other entries."""
    transcripts = _transcripts(source, split, writer)
    seen = set()
    for line in _lines(source, split, "fileids"):
        *folders, id = line.strip().split("/")
        if id in seen:
            writer.reject(id, split, "duplicate id", line)
            continue
        seen.add(id)
        if id not in transcripts:
            writer.reject(id, split, "no transcript", line)
            continue
        raw, text = transcripts[id]
        if not text:
            writer.reject(id, split, "text empty after normalisation", raw)
            continue
        yield Source(id, _audio(source, line.strip()), text, folders[-1] if folders else None, raw)
    for id, (raw, _) in transcripts.items():
        if id not in seen:
            writer.reject(id, split, "no fileid", raw)


def _transcripts(source: Path, split: str, writer: "CorpusWriter") -> dict[str, tuple[str, str]]:
    """Returns, for each utterance id, its unchanged line and the text in it."""
    transcripts: dict[str, tuple[str, str]] = {}
    for line in _lines(source, split, "transcription"):
        match = _TRANSCRIPT.fullmatch(line)
        if match is None:
            writer.reject("", split, "transcript without an id", line)
        elif match["id"] in transcripts:
            writer.reject(match["id"], split, "duplicate transcript", line)
        else:
            transcripts[match["id"]] = (line, normalise(match["text"]))
    return transcripts


def _lines(source: Path, split: str, kind: str) -> list[str]:
    """Returns the lines of one list in `etc/` that are not blank, without their line ends."""
    path = source / "etc" / f"an4_{split}.{kind}"
    if not path.is_file():
        raise UserError(
            f"{path}: not found; SOURCE is the folder 'an4' of CMU's distribution, with "
            f"etc/an4_train.fileids, etc/an4_train.transcription, the same for test, and wav/"
        )
    lines = read_utf8(path).split("\n")
    return [line.removesuffix("\r") for line in lines if line.strip()]


def _audio(source: Path, fileid: str) -> Path:
    """Returns the path of the audio. If no file exists, returns the path that CMU uses."""
    paths = [source / "wav" / f"{fileid}{suffix}" for suffix in SUFFIXES]
    return next((path for path in paths if path.is_file()), paths[0])


RECIPE = Recipe(
    details="SPHERE audio under wav/, fileids and transcription under etc/.",
    options=Options,
    prepare=prepare,
)
