"""Audio within a page: FLAC, which browsers play, sample for sample what the models heard."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from asrbench.base.errors import UserError
from asrbench.data.corpus import Corpus
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples

CLIPS = 20
BYTES = 6_000_000
"""Of all clips of a page, as they are written into it."""


@dataclass(frozen=True)
class Clips:
    says: str
    """Which utterances have audio, and why the others have none."""
    sources: dict[str, str] = field(default_factory=dict)
    """By the id of the utterance: a `data:` address."""


def clips(folder: Path | None, fingerprint: str, split: str, ids: Sequence[str]) -> Clips:
    """Audio of the first of `ids`, up to `CLIPS` of them and `BYTES` in all."""
    if folder is None:
        return Clips("No audio: the corpus was not at hand when this page was made.")
    try:
        corpus = Corpus.open(folder)
        utterances = corpus.split(split)
    except UserError as error:
        return Clips(f"No audio: {error}.")
    if corpus.fingerprint != fingerprint:
        return Clips(
            f"No audio: the corpus at hand is another one ({corpus.fingerprint}) than that of the "
            f"runs ({fingerprint})."
        )
    places = {id: place for place, id in enumerate(utterances.ids)}
    sources: dict[str, str] = {}
    size = 0
    for id in ids[:CLIPS]:
        if id not in places:
            continue
        source = address(utterances.audio(places[id]))
        # A long one gives way to shorter ones after it.
        if size + len(source) <= BYTES:
            sources[id] = source
            size += len(source)
    left = len(ids) - len(sources)
    rest = f", the other {left:,} not, to bound the size of the page" if left else ""
    return Clips(f"{len(sources):,} of them have audio{rest}.", sources)


def address(samples: Samples) -> str:
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(file.getvalue()).decode()}"
