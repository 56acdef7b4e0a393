"""The layout that LibriSpeech and Zeroth-Korean share: a transcript for each chapter, with FLAC.

<chapter>.trans.txt    <utterance> <text>, one line for each utterance
<utterance>.flac
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from asrbench.base.errors import Fault
from asrbench.base.folders import folders_below
from asrbench.stages.prep.lists import normal_text, numbered_lines, rejecting, split_key
from asrbench.stages.prep.sources import Source

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import CorpusWriter


def read_chapters(
    folder: Path, split: str, speaker_of: Callable[[Path], str], writer: "CorpusWriter"
) -> list[Source]:
    """Returns the utterances of every transcript under `folder`.

    `speaker_of` names the speaker of a transcript from the folder that holds it. A repeated id, a
    line without text, and audio without a transcript are rejected.
    """
    found: list[Source] = []
    seen: set[str] = set()
    files = [below / name for below, names in folders_below(folder) for name in names]
    untranscribed = {path for path in files if path.suffix == ".flac"}
    for path in (path for path in files if path.name.endswith(".trans.txt")):
        for number, line in numbered_lines(path, writer.encodings):
            id, raw = split_key(line)
            audio = path.parent / f"{id}.flac"
            untranscribed.discard(audio)
            with rejecting(writer, split, f"{path.relative_to(folder.parent)}, line {number}", id):
                if id in seen:
                    raise Fault("duplicate id")
                found.append(Source(id, audio, normal_text(raw), speaker_of(path.parent), raw))
                seen.add(id)
    for audio in sorted(untranscribed):
        detail = str(audio.relative_to(folder.parent))
        writer.reject(audio.stem, split, "no transcript", detail)
    return found
