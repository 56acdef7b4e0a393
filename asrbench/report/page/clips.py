"""Audio within a page, as FLAC, which browsers play: exactly the samples of the corpus."""

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
"""Largest size of all clips together, as they are written into the page."""


@dataclass(frozen=True)
class Clips:
    """The audio of some utterances."""

    summary: str
    """Says which utterances have audio, and why the others have none."""
    sources: dict[str, str] = field(default_factory=dict)
    """A `data:` address for each of them, by the id of the utterance."""


def clips(folder: Path | None, fingerprint: str, split: str | None, ids: Sequence[str]) -> Clips:
    """Returns audio of the first of `ids`: at most `CLIPS` of them and `BYTES` in all.

    Without `split` they may be in any split of the corpus.
    """
    if folder is None:
        return Clips("No audio: this page was made without `--corpus`.")
    try:
        corpus = Corpus.open(folder)
    except UserError as error:
        return Clips(f"No audio: {error}.")
    if corpus.fingerprint != fingerprint:
        return Clips(
            f"No audio: the corpus given ({corpus.fingerprint}) is not that of the runs "
            f"({fingerprint})."
        )
    try:
        # On another corpus than the runs were trained on, its name follows that of the split.
        utterances = corpus.whole if split is None else corpus.split(split.partition("@")[0])
    except UserError as error:
        return Clips(f"No audio: {error}.")
    places = {id: place for place, id in enumerate(utterances.ids)}
    sources: dict[str, str] = {}
    size = 0
    for id in ids[:CLIPS]:
        if id not in places:
            continue
        source = address(utterances.audio(places[id]))
        # A clip that is too long is left out; shorter ones after it may still fit.
        if size + len(source) <= BYTES:
            sources[id] = source
            size += len(source)
    left = len(ids) - len(sources)
    rest = f"; the other {left:,} have none, to limit the size of the page" if left else ""
    return Clips(f"{len(sources):,} of them have audio{rest}.", sources)


def address(samples: Samples) -> str:
    """Returns audio as a `data:` address."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(file.getvalue()).decode()}"
