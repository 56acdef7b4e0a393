"""Sound files as every stage wants them: 16 kHz, mono, 16 bits."""

import io
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from asrbench.base.errors import Fault
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples, Wave, rounded

FULL_SCALE = 32_768
RATES_HZ = range(1_000, 768_001)
"""A header that claims another rate is a broken one; resampling it could fill the memory."""

TOLERATED_LOSS_S = 0.05
"""Many writers get the length in the header wrong by a few bytes; a cut this short is no cut."""

UNKNOWN_LENGTH_BYTES = 0x7FFF_0000
"""Headers written into a pipe claim this much or more: their true length was not known."""

_HEAD_BYTES, _OGG_PAGE_BYTES = 1024, 65_307
"""A NIST header, and the most that the last page of an Ogg stream takes (RFC 3533, 6)."""


_UNTOLD_FRAMES = 2**63 - 1
"""What libsndfile says of a FLAC that was written into a pipe: its header has no length."""

_LONGEST_S = 1e9
"""Thirty years; a time beyond is no time of a recording."""

_OPUS_LEAD_S = 2
"""An Opus decoder that begins in the middle gives the samples of the whole after so long. In speech
at 16 kHz, 1 s before left a sample in a hundred off, by up to 7; 2 s left none."""


class AudioFault(Fault):
    """Why a file is no utterance.

    Reasons: "missing", "empty file", "unreadable", "wrong channel count", "no such channel",
    "beyond the end", "zero samples".
    """


@dataclass(frozen=True, slots=True)
class Segment:
    """What of a recording is an utterance: one channel, from one time to another.

    Raises `Fault` for times that do not follow each other.
    """

    start_s: float = 0.0
    end_s: float | None = None
    """`None` is the end of the recording."""
    channel: int | None = None
    """Counted from 0; `None` is for a recording that has but one."""

    def __post_init__(self) -> None:
        end_s = math.inf if self.end_s is None else self.end_s
        last_s = self.start_s if self.end_s is None else self.end_s
        if not 0 <= self.start_s < end_s or last_s > _LONGEST_S:
            raise Fault("segment times", f"from {self.start_s:g} s to {end_s:g} s")

    @property
    def is_all(self) -> bool:
        return self.start_s == 0 and self.end_s is None


WHOLE = Segment()


def read_audio(source: str | Path | BinaryIO) -> Samples:
    """The samples of a mono sound file: wav, flac, ogg (Opus, Vorbis), mp3, NIST sphere, aiff.

    What is 16-bit at 16 kHz comes back bit for bit. Other encodings are rounded to 16 bits, other
    rates resampled (a polyphase filter at the exact ratio), and what exceeds full scale is clipped.
    Raises `AudioFault`, also for a file that ends well before the length its header promises.
    """
    return _finished(*_whole(source, None))


def read_segment(path: Path, segment: Segment) -> Samples:
    """The samples of a part of a recording, in the formats and with the faults of `read_audio`.

    They are those from round(start · rate) to round(end · rate) of the whole, cut before anything
    is resampled. An end beyond the recording's by no more than `TOLERATED_LOSS_S` is that. Only the
    part is decoded, but for mp3: there the decoder cannot begin in the middle, so the recording is
    decoded once and kept, in place of the one before, for the segments that follow.
    """
    if segment.is_all:
        return _finished(*_whole(path, segment.channel))
    return _finished(*_cut(path, segment))


def seconds_of(path: Path) -> float:
    """The length of a sound file of any number of channels, by its header.

    Only a sample near its end is decoded. Raises `AudioFault`, also for a file that was cut short.
    """
    with _file(path) as stream:
        ends = _ends(stream)
        with _opened(stream) as file:
            if not file.frames:
                raise AudioFault("zero samples")
            _check_length(file, ends, file.frames)
            if _ends_early(file):
                raise AudioFault("unreadable", f"cut short: the header says {file.frames} samples")
            return float(file.frames / file.samplerate)


def read_part(path: Path, samples: int | None = None, place: float = 0.0) -> Wave:
    """The first channel of a sound file at 16 kHz, neither rounded nor clipped; full scale is 1.

    Of one with more than `samples` no more than these are decoded, or one more: the first where
    `place` is 0, the last where it is nearly 1. Raises `AudioFault`.
    """
    with _file(path) as stream, _opened(stream) as file:
        rate_hz, frames = int(file.samplerate), int(file.frames)
        if samples is not None:
            frames = min(frames, -(-samples * rate_hz // SAMPLE_RATE_HZ))
        file.seek(int(place * (file.frames - frames + 1)))
        wave = file.read(frames, dtype="float32", always_2d=True)[:, 0]
    if len(wave) < frames - TOLERATED_LOSS_S * rate_hz:
        raise AudioFault("unreadable", f"cut short: {len(wave)} of {frames} samples")
    if not len(wave):
        raise AudioFault("zero samples")
    _check_finite(wave)
    # A copy, so that the other channels can go.
    return np.ascontiguousarray(_resample(wave, rate_hz))


@contextmanager
def _opened(stream: BinaryIO) -> Iterator[Any]:
    try:
        with soundfile.SoundFile(stream) as file:
            if file.samplerate not in RATES_HZ:
                raise AudioFault("unreadable", f"the header says {file.samplerate} Hz")
            if file.frames == _UNTOLD_FRAMES:
                raise AudioFault("unreadable", "the header has no length; encode it from a file")
            yield file
    except soundfile.SoundFileError as error:
        raise AudioFault("unreadable", _one_line(error)) from None


def _whole(source: str | Path | BinaryIO, channel: int | None) -> tuple[npt.NDArray[Any], int]:
    """All samples of a channel as `_read` gives them, and their rate in Hz."""
    data = _bytes(source)
    if not data:
        raise AudioFault("empty file")
    with _opened(io.BytesIO(data)) as file:
        samples = _read(file, channel)
        _check_length(file, data, len(samples))
        return samples, int(file.samplerate)


def _cut(path: Path, segment: Segment) -> tuple[npt.NDArray[Any], int]:
    """The samples of a segment as `_read` gives them, and their rate in Hz."""
    with _file(path) as stream:
        ends = _ends(stream)
        with _opened(stream) as file:
            rate_hz = int(file.samplerate)
            start, end = _bounds(segment, int(file.frames), rate_hz)
            if file.format == "MP3" and end - start < file.frames:
                samples = _decoded(path)[start:end, _index(file, segment.channel)]
            else:
                lead = min(start, _OPUS_LEAD_S * rate_hz) if file.subtype == "OPUS" else 0
                if start > lead:  # to mp3, a seek to the beginning is no idle thing
                    file.seek(start - lead)
                samples = _read(file, segment.channel, end - start + lead)[lead:]
            if segment.end_s is None:
                _check_length(file, ends, start + len(samples))
    if len(samples) < end - start - TOLERATED_LOSS_S * rate_hz:
        raise AudioFault("unreadable", f"cut short: {start + len(samples)} of {end} samples")
    return samples, rate_hz


def _bounds(segment: Segment, frames: int, rate_hz: int) -> tuple[int, int]:
    """The samples a segment begins with and ends before."""
    start = round(segment.start_s * rate_hz)
    end = frames if segment.end_s is None else round(segment.end_s * rate_hz)
    if start >= frames or end > frames + TOLERATED_LOSS_S * rate_hz:
        raise AudioFault(
            "beyond the end",
            f"samples {start} to {end} of {frames}, which are {frames / rate_hz:.3f} s",
        )
    return start, min(end, frames)


def _read(file: Any, channel: int | None, frames: int = -1) -> npt.NDArray[Any]:
    """Samples of one channel: as they are if they have 16 bits, otherwise between -1 and 1."""
    index = _index(file, channel)
    # libsndfile does not scale when it reads floats as integers: 0.9 would become 0.
    dtype = "int16" if file.subtype == "PCM_16" else "float64"
    # A copy, so that the other channels can go.
    return np.ascontiguousarray(file.read(frames, dtype=dtype, always_2d=True)[:, index])


def _index(file: Any, channel: int | None) -> int:
    if channel is None and file.channels != 1:
        raise AudioFault("wrong channel count", f"{file.channels} channels")
    if channel is not None and channel >= file.channels:
        raise AudioFault("no such channel", f"{channel + 1} of {file.channels}")
    return channel or 0


def _finished(samples: npt.NDArray[Any], rate_hz: int) -> Samples:
    if not len(samples):
        raise AudioFault("zero samples")
    exact = samples.dtype == np.int16
    if exact and rate_hz == SAMPLE_RATE_HZ:
        return samples
    wave = np.asarray(samples, dtype=np.float64) / (FULL_SCALE if exact else 1)
    _check_finite(wave)
    return rounded(_resample(wave, rate_hz) * FULL_SCALE)


_DECODING = threading.Lock()


def _decoded(path: Path) -> npt.NDArray[np.float32]:
    """All samples and channels of a recording, the last of which is kept; to be read only.

    Threads that want the same one wait for the first of them.
    """
    about = path.stat()
    with _DECODING:
        return _decode(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=1)
def _decode(path: Path, size: int, changed_ns: int) -> npt.NDArray[np.float32]:
    with _file(path) as stream, _opened(stream) as file:
        return np.asarray(file.read(dtype="float32", always_2d=True))


def _ends(stream: BinaryIO) -> bytes:
    """As much of both ends of a file as `_check_length` wants, none of it twice."""
    ends = stream.read(_HEAD_BYTES)
    if not ends:
        raise AudioFault("empty file")
    stream.seek(max(_HEAD_BYTES, stream.seek(0, io.SEEK_END) - _OGG_PAGE_BYTES))
    ends += stream.read()
    stream.seek(0)
    return ends


def _bytes(source: str | Path | BinaryIO) -> bytes:
    if not isinstance(source, str | Path):
        return source.read()
    with _file(source) as stream:
        return stream.read()


@contextmanager
def _file(path: str | Path) -> Iterator[BinaryIO]:
    try:
        with Path(path).open("rb") as stream:
            yield stream
    except FileNotFoundError:
        raise AudioFault("missing") from None
    except (OSError, ValueError) as error:  # a folder, no permission, a NUL in the name
        raise AudioFault("unreadable", _one_line(error)) from None


def _check_length(file: Any, data: bytes, samples: int) -> None:
    """Raises `AudioFault` if the file was cut short, which libsndfile passes over in silence."""
    promised = int(file.frames)
    if file.format == "OGG" and not _ends_well(data):
        raise AudioFault("unreadable", f"cut short: no last Ogg page after {samples} samples")
    if file.format == "NIST" and (
        count := re.search(rb"sample_count -i (\d+)", data[:_HEAD_BYTES])
    ):
        promised = int(count[1])
    # libsndfile's log of a wav or aiff file: "data : 64000 (should be 38382)", both in bytes.
    elif chunk := re.search(r"(?:data|SSND) : (\d+) \(should be (\d+)\)", file.extra_info):
        claimed, actual = int(chunk[1]), int(chunk[2])
        if actual and claimed < UNKNOWN_LENGTH_BYTES:
            promised = samples * claimed // actual
    if samples < promised - TOLERATED_LOSS_S * file.samplerate:
        raise AudioFault("unreadable", f"cut short: {samples} of {promised} samples")


def _ends_early(file: Any) -> bool:
    """Whether nothing can be read where the file is to end, give or take what is tolerated."""
    try:
        file.seek(max(0, int(file.frames - 1 - TOLERATED_LOSS_S * file.samplerate)))
        return not len(file.read(1))
    except soundfile.SoundFileError:
        return True


def _ends_well(ogg: bytes) -> bool:
    """Whether the last page of an Ogg stream is whole and marked as the last (RFC 3533, 6)."""
    page = ogg[ogg.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    sizes = page[27 : 27 + page[26]]
    return bool(page[5] & 0x04) and len(page) >= 27 + len(sizes) + sum(sizes)


def _check_finite(wave: Wave) -> None:
    if not np.isfinite(wave).all():
        raise AudioFault("unreadable", "has samples that are not finite")


def _resample(wave: Wave, rate_hz: int) -> Wave:
    """`wave` at 16 kHz: ceil(samples · 16000 / rate) samples."""
    if rate_hz == SAMPLE_RATE_HZ:
        return wave
    from scipy.signal import resample_poly  # half a second that most corpora need not spend

    common = math.gcd(SAMPLE_RATE_HZ, rate_hz)
    return np.asarray(resample_poly(wave, SAMPLE_RATE_HZ // common, rate_hz // common))


def _one_line(error: Exception) -> str:
    # libsndfile's own words; the exception's would name an address in memory.
    return " ".join(str(getattr(error, "error_string", error)).split())
