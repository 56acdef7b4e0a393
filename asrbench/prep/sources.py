"""Utterances whose audio is still in files, and the loop that reads them into a corpus."""

from dataclasses import dataclass
from pathlib import Path

from asrbench.audio import AudioFault, read_audio
from asrbench.data.corpus import CorpusWriter, Utterance
from asrbench.prep import Tick


@dataclass(frozen=True, slots=True)
class Source:
    """An utterance whose audio is still in its file. `raw` is its text as distributed."""

    id: str
    audio: Path
    text: str
    speaker: str | None = None
    raw: str | None = None


def write_utterances(writer: CorpusWriter, splits: dict[str, list[Source]], tick: Tick) -> None:
    """Reads every utterance, one at a time, into its split, sorted by split and id.

    Those with an `AudioFault` are rejected for its reason.
    """
    total, done = sum(map(len, splits.values())), 0
    for split, sources in sorted(splits.items()):
        for source in sorted(sources, key=lambda source: source.id):
            try:
                audio = read_audio(source.audio)
            except AudioFault as fault:
                detail = f"{source.audio}: {fault.detail}" if fault.detail else str(source.audio)
                writer.reject(source.id, split, fault.reason, detail)
            else:
                writer.add(
                    split,
                    Utterance(source.id, audio, source.text, source.speaker, raw=source.raw),
                )
            done += 1
            tick(done, total)
