"""Seeded damage to recordings of every format that is read, and headers that are not true."""

import io
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import soundfile

from asrbench.base.stderr import silenced_stderr

RATE_HZ = 16_000
SAMPLES = 8_000
ENCODINGS = (
    ("wav", "WAV", "PCM_16"),
    ("wav", "WAV", "PCM_U8"),
    ("wav", "WAV", "PCM_24"),
    ("wav", "WAV", "PCM_32"),
    ("wav", "WAV", "FLOAT"),
    ("wav", "WAV", "DOUBLE"),
    ("wav", "WAV", "ULAW"),
    ("wav", "WAV", "ALAW"),
    ("wav", "WAV", "IMA_ADPCM"),
    ("wav", "WAV", "MS_ADPCM"),
    ("wav", "WAV", "GSM610"),
    ("wav", "WAVEX", "PCM_16"),
    ("wav", "RF64", "PCM_16"),
    ("w64", "W64", "PCM_16"),
    ("flac", "FLAC", "PCM_16"),
    ("flac", "FLAC", "PCM_24"),
    ("ogg", "OGG", "VORBIS"),
    ("opus", "OGG", "OPUS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
    ("sph", "NIST", "PCM_16"),
    ("sph", "NIST", "ULAW"),
    ("au", "AU", "PCM_16"),
    ("au", "AU", "FLOAT"),
    ("aiff", "AIFF", "PCM_16"),
    ("aiff", "AIFF", "PCM_24"),
    ("caf", "CAF", "PCM_16"),
)
NOT_READ = ("GSM610",)
"""Encodings that libsndfile writes and that are rejected whatever they hold."""

FLOATS = ("FLOAT", "DOUBLE")
LENGTHS_OF_WAV = ("fits", "longer", "shorter", "none", "pipe")


@dataclass(frozen=True)
class Recording:
    """A file, what was done to it, and what must become of it, where that is known."""

    what: str
    suffix: str
    content: bytes
    allowed: tuple[bool, ...] = (True, False)
    """Whether it may be read (`True`) and whether it may be rejected (`False`)."""


READ, REJECTED = (True,), (False,)


def wave_of(seed: int, samples: int = SAMPLES, channels: int = 1) -> Any:
    """Returns noise as floats, (S,) or (S, channels)."""
    shape = samples if channels == 1 else (samples, channels)
    return np.random.default_rng(seed).uniform(-0.3, 0.3, shape)


def encoded(wave: Any, format: str, subtype: str, rate_hz: int = RATE_HZ) -> bytes:
    """Returns the bytes of an audio file."""
    stream = io.BytesIO()
    with silenced_stderr():
        soundfile.write(stream, wave, rate_hz, format=format, subtype=subtype)
    return stream.getvalue()


@cache
def whole(format: str, subtype: str, seed: int = 0) -> bytes:
    return encoded(wave_of(seed), format, subtype)


# What is done to a recording


def intact(draw: random.Random) -> Recording:
    suffix, format, subtype = draw.choice(ENCODINGS)
    allowed = REJECTED if subtype in NOT_READ else READ
    return Recording(f"{format} {subtype}, whole", suffix, whole(format, subtype), allowed)


def flipped_header(draw: random.Random) -> Recording:
    return _flipped(draw, 64, "header")


def flipped_data(draw: random.Random) -> Recording:
    return _flipped(draw, None, "file")


def _flipped(draw: random.Random, within: int | None, where: str) -> Recording:
    suffix, format, subtype = draw.choice(ENCODINGS)
    content = bytearray(whole(format, subtype))
    bits = draw.choice([1, 1, 2, 8, 64])
    for _ in range(bits):
        place = draw.randrange(8 * (within or len(content)))
        content[place // 8] ^= 1 << place % 8
    what = f"{format} {subtype}, {bits} bits of its {where} flipped"
    return Recording(what, suffix, bytes(content))


def cut(draw: random.Random) -> Recording:
    """Takes at least a fifth of the samples away, which nothing may overlook."""
    suffix, format, subtype = draw.choice(ENCODINGS)
    content = whole(format, subtype)
    left = draw.randrange(len(content) * 4 // 5)
    what = f"{format} {subtype}, cut to {left} of {len(content)} bytes"
    return Recording(what, suffix, content[:left], REJECTED)


def other_bytes(draw: random.Random) -> Recording:
    """Removes or inserts bytes, or overwrites a stretch, at any place."""
    suffix, format, subtype = draw.choice(ENCODINGS)
    content = whole(format, subtype)
    place, size = draw.randrange(len(content)), draw.choice([1, 2, 3, 100, 2_000])
    kind = draw.choice(["removed", "inserted", "overwritten"])
    new = b"" if kind == "removed" else draw.choice([bytes(size), draw.randbytes(size)])
    after = content[place if kind == "inserted" else place + size :]
    what = f"{format} {subtype}, {size} bytes {kind} at {place}"
    return Recording(what, suffix, content[:place] + new + after)


def number_in_header(draw: random.Random) -> Recording:
    """Puts an extreme number of 2, 4 or 8 bytes anywhere into the header."""
    suffix, format, subtype = draw.choice(ENCODINGS)
    content = bytearray(whole(format, subtype))
    size = draw.choice([2, 4, 8])
    value = draw.choice([0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1])
    place = draw.randrange(4, 60)
    content[place : place + size] = value.to_bytes(size, draw.choice(["little", "big"]))
    what = f"{format} {subtype}, {value} at byte {place}"
    return Recording(what, suffix, bytes(content))


def length_of_wav(draw: random.Random) -> Recording:
    """Changes the size that the data chunk claims."""
    content = bytearray(whole("WAV", "PCM_16"))
    kind = draw.choice(LENGTHS_OF_WAV)
    size, allowed = {
        "fits": (2 * SAMPLES, READ),
        "longer": (draw.randrange(2 * SAMPLES + 2_000, 0x7FFF0000), REJECTED),
        # What follows the data is no chunk. The header's promise is as good.
        "shorter": (draw.randrange(2, 2 * SAMPLES - 2_000, 2), (True, False)),
        "none": (0, REJECTED),
        "pipe": (draw.choice([0x7FFF_FFFF - 36, 0xFFFF_FFFF, 0x7FFF_F000]), READ),
    }[kind]
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", size)
    return Recording(f"wav whose data chunk claims {size} bytes", "wav", bytes(content), allowed)


def length_of_sphere(draw: random.Random) -> Recording:
    content = whole("NIST", "PCM_16")
    count = draw.choice([0, 1, SAMPLES - 2_000, SAMPLES + 2_000, 10**9, 10**12, -1])
    old, new = b"sample_count -i %d\n" % SAMPLES, b"sample_count -i %d\n" % count
    assert old in content
    content = content.replace(old, new)
    head = content[: 1024 + len(new) - len(old)]
    content = head.rstrip(b" \n\0").ljust(1024, b" ") + content[len(head) :]
    allowed = REJECTED if count > SAMPLES else (True, False)
    return Recording(f"sphere that claims {count} samples", "sph", content, allowed)


def length_of_flac(draw: random.Random) -> Recording:
    """Changes the number of samples in STREAMINFO: 36 bits from the middle of byte 21 on."""
    content = bytearray(whole("FLAC", "PCM_16"))
    count = draw.choice([0, 1, SAMPLES - 2_000, SAMPLES + 2_000, 10**9, 2**36 - 1])
    content[21] = content[21] & 0xF0 | count >> 32
    content[22:26] = (count & 0xFFFF_FFFF).to_bytes(4, "big")
    allowed = (True, False) if 1 < count < SAMPLES else REJECTED
    return Recording(f"FLAC that claims {count} samples", "flac", bytes(content), allowed)


def joined(draw: random.Random) -> Recording:
    """Puts two recordings into one file, as `cat` does. None of the two may be dropped."""
    suffix, format, subtype = draw.choice(ENCODINGS)
    content = whole(format, subtype) + whole(format, subtype, draw.choice([0, 1]))
    return Recording(f"{format} {subtype}, two files in one", suffix, content, REJECTED)


def other_rate(draw: random.Random) -> Recording:
    format, subtype = draw.choice([("WAV", "PCM_16"), ("WAV", "FLOAT"), ("AU", "PCM_16")])
    rate_hz = draw.choice([1, 7, 999, 1_000, 8_000, 44_100, 767_999, 768_001, 10**7, 2**31 - 1])
    content = encoded(wave_of(0, max(800, min(rate_hz // 2, 96_000))), format, subtype, rate_hz)
    allowed = READ if rate_hz in (1_000, 8_000, 44_100) else REJECTED
    return Recording(f"{format} of {rate_hz} Hz", format.lower(), content, allowed)


def many_channels(draw: random.Random) -> Recording:
    format = draw.choice(["WAV", "FLAC", "AIFF", "AU"])
    channels = draw.choice([2, 6, 8] if format == "FLAC" else [2, 3, 64, 1_024])
    content = encoded(wave_of(0, 500, channels), format, "PCM_16")
    what = f"{format} of {channels} channels"
    return Recording(what, format.lower(), content, REJECTED)


def very_short(draw: random.Random) -> Recording:
    suffix, format, subtype = draw.choice(ENCODINGS)
    samples = draw.choice([0, 1, 2, 399])
    content = encoded(wave_of(0, samples), format, subtype)
    # Encodings in blocks fill the last one up.
    allowed = (True, False) if "ADPCM" in subtype and samples else REJECTED
    return Recording(f"{format} {subtype} of {samples} samples", suffix, content, allowed)


def not_a_number(draw: random.Random) -> Recording:
    subtype = draw.choice(FLOATS)
    wave = wave_of(0)
    value = draw.choice([np.nan, np.inf, -np.inf, 1e30, -1e30])
    wave[draw.randrange(len(wave))] = value
    rate_hz = draw.choice([RATE_HZ, 8_000])
    content = encoded(wave, "WAV", subtype, rate_hz)
    return Recording(f"{subtype} with a sample of {value}", "wav", content, REJECTED)


def other_suffix(draw: random.Random) -> Recording:
    """A recording of one format under the name of another, which its content tells."""
    recording = intact(draw)
    suffix = draw.choice(["wav", "flac", "mp3", "ogg", "sph", "aiff", "txt", "pcm", "W A V", ""])
    return replace(recording, what=f"{recording.what}, named .{suffix}", suffix=suffix)


def no_audio(draw: random.Random) -> Recording:
    what, content = draw.choice(
        [
            ("empty", b""),
            ("a single byte", b"R"),
            ("zeros", bytes(20_000)),
            ("noise of bytes", draw.randbytes(20_000)),
            ("text", "안녕하세요, this is no sound. ".encode() * 400),
            ("a zip", b"PK\x03\x04" + draw.randbytes(20_000)),
            ("the mark of a format alone", draw.choice([b"RIFF", b"fLaC", b"OggS", b"ID3\x04"])),
            ("a mark and noise", draw.choice([b"RIFF", b"fLaC", b"OggS"]) + draw.randbytes(9_000)),
        ]
    )
    return Recording(what, draw.choice(["wav", "flac", "mp3", "ogg"]), content, REJECTED)


DAMAGE: tuple[Callable[[random.Random], Recording], ...] = (
    intact,
    flipped_header,
    flipped_data,
    cut,
    other_bytes,
    number_in_header,
    length_of_wav,
    length_of_sphere,
    length_of_flac,
    joined,
    other_rate,
    many_channels,
    very_short,
    not_a_number,
    other_suffix,
    no_audio,
)


def recordings(draw: random.Random) -> Iterator[Recording]:
    """Yields damaged recordings without end, each kind in its turn."""
    while True:
        for damage in DAMAGE:
            yield damage(draw)
