"""What LibriSpeech and Zeroth-Korean have in common: a transcript to a chapter, FLAC beside it.

<chapter>.trans.txt    <utterance> <text>, a line an utterance
<utterance>.flac
"""

from collections.abc import Callable
from pathlib import Path

from asrbench.base.errors import Fault
from asrbench.data.corpus import CorpusWriter
from asrbench.stages.prep.lists import keyed, numbered_lines, rejecting, spoken
from asrbench.stages.prep.sources import Source


def chapters(
    folder: Path, split: str, speaker_of: Callable[[Path], str], writer: CorpusWriter
) -> list[Source]:
    """Every line of every transcript under `folder`; `speaker_of` the folder it lies in is known.

    Rejects a second line of an id, a line without a text, and audio that has no line.
    """
    found: list[Source] = []
    seen: set[str] = set()
    silent = set(folder.rglob("*.flac"))
    for path in sorted(folder.rglob("*.trans.txt")):
        for number, line in numbered_lines(path):
            id, raw = keyed(line)
            audio = path.parent / f"{id}.flac"
            silent.discard(audio)
            with rejecting(writer, split, f"{path.relative_to(folder.parent)}, line {number}", id):
                if id in seen:
                    raise Fault("duplicate id")
                found.append(Source(id, audio, spoken(raw), speaker_of(path.parent), raw))
                seen.add(id)
    for audio in sorted(silent):
        detail = str(audio.relative_to(folder.parent))
        writer.reject(audio.stem, split, "no transcript", detail)
    return found
