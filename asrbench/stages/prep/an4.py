"""AN4, CMU's census database, as CMU distributes it: 948 + 130 utterances, 0.81 hours.

    etc/an4_train.fileids         an4_clstk/fash/an251-fash-b
    etc/an4_train.transcription   <s> YES </s> (an251-fash-b)
    wav/an4_clstk/fash/an251-fash-b.sph

and the same for `test`. The folder before the name is the speaker. No development set is official.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from asrbench.base.errors import UserError
from asrbench.base.files import read_utf8
from asrbench.data.corpus import CorpusWriter
from asrbench.stages.prep import PLAINLY, How
from asrbench.stages.prep.sources import Source, write_utterances
from asrbench.stages.prep.splits import with_dev
from asrbench.text.normal_form import normalise

SPLITS = ("train", "test")
SUFFIXES = (".sph", ".wav")

_TRANSCRIPT = re.compile(r"\s*(?:<s>\s*)?(?P<text>.*?)\s*(?:</s>\s*)?\((?P<id>[^()\s]+)\)\s*")


def prepare(
    source: Path,
    out: Path,
    *,
    dev: int = 0,
    seed: int = 0,
    how: How = PLAINLY,
) -> None:
    """Reads the distribution in `source` (with `etc/` and `wav/`) and leaves a corpus in `out`.

    `dev` > 0 takes about so many utterances from train, whole speakers drawn by `seed`. `raw` is
    the line of the transcription file. Transcripts are matched to audio by utterance id; what has
    only one of the two, or audio that cannot be read, is rejected.

    Raises `UserError`, leaving nothing behind: `source` is no such folder, `dev` is more than
    train has, or as `CorpusWriter.create` does.
    """
    with CorpusWriter.create(
        out,
        name="an4",
        recipe="an4",
        source=str(source),
        text_profile="verbatim",
        strict=how.strict,
        force=how.force,
    ) as writer:
        splits = {split: list(_utterances(source, split, writer)) for split in SPLITS}
        write_utterances(writer, with_dev(splits, dev, seed), how)


def _utterances(source: Path, split: str, writer: CorpusWriter) -> Iterator[Source]:
    """Every fileid of `split` that has a transcript, and every fault of the two lists rejected."""
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


def _transcripts(source: Path, split: str, writer: CorpusWriter) -> dict[str, tuple[str, str]]:
    """Utterance id -> its line, untouched, and the text in it."""
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
    """The lines of one list in `etc/` that are not blank, without their ends."""
    path = source / "etc" / f"an4_{split}.{kind}"
    if not path.is_file():
        raise UserError(
            f"{path}: not found; SOURCE is the folder 'an4' of CMU's distribution, with "
            f"etc/an4_train.fileids, etc/an4_train.transcription, the same for test, and wav/"
        )
    lines = read_utf8(path).split("\n")
    return [line.removesuffix("\r") for line in lines if line.strip()]


def _audio(source: Path, fileid: str) -> Path:
    """Where the audio of `fileid` is, or, if it is missing, where CMU has it."""
    paths = [source / "wav" / f"{fileid}{suffix}" for suffix in SUFFIXES]
    return next((path for path in paths if path.is_file()), paths[0])
