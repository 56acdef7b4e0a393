"""Audio within a page, as Opus in Ogg (RFC 7845), which browsers play.

The clips are for listening: Opus loses detail that nobody hears, and takes a quarter of FLAC.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import soundfile

from asrbench.base.errors import UserError
from asrbench.data.corpus import Corpus
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples

CLIPS = 60
BYTES = 1_500_000
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
    return Clips(f"{len(sources):,} of them have audio (Opus){rest}.", sources)


def address(samples: Samples) -> str:
    """Returns audio as a `data:` address; equal samples give equal addresses."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS")
    stream = without_serial(file.getvalue())
    return f"data:audio/ogg;base64,{base64.b64encode(stream).decode()}"


# Ogg (RFC 3533): a page has the serial number of its stream at byte 14, its checksum at 22, the
# number of its segments at 26, and then the length of each.
_SERIAL, _CHECKSUM, _SEGMENTS, _HEAD = slice(14, 18), slice(22, 26), 26, 27


def without_serial(stream: bytes) -> bytes:
    """Returns an Ogg stream with the serial number 0 in place of a random one."""
    pages, start = [], 0
    while start < len(stream):
        head = start + _HEAD + stream[start + _SEGMENTS]
        end = head + sum(stream[start + _HEAD : head])
        page = bytearray(stream[start:end])
        page[_SERIAL] = page[_CHECKSUM] = bytes(4)
        page[_CHECKSUM] = _checksum(page).to_bytes(4, "little")
        pages.append(bytes(page))
        start = end
    return b"".join(pages)


def _checksum(page: bytearray) -> int:
    """Returns the CRC of an Ogg page: polynomial 0x04c11db7, nothing reflected or inverted."""
    table, crc = _table(), 0
    for byte in page:
        crc = (crc << 8) & 0xFFFFFFFF ^ table[crc >> 24 ^ byte]
    return crc


@cache
def _table() -> tuple[int, ...]:
    def remainder(byte: int) -> int:
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x104C11DB7 if crc & 0x80000000 else 0)
        return crc

    return tuple(map(remainder, range(256)))
