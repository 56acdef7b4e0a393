"""Reading sound files as 16 kHz, mono, 16 bits."""

import io
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from asrbench.base.errors import UserError
from asrbench.base.files import open_regular
from asrbench.base.stderr import silenced_stderr
from asrbench.data.containers import FORMATS, claimed_bytes, container_fault
from asrbench.data.resampling import (
    COARSEST_HZ,
    FULL_SCALE,
    RATES_HZ,
    is_plausible,
    resample,
    rounded_blocks,
)
from asrbench.data.segment import AudioFault, Segment
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples, Wave

TOLERATED_LOSS_S = 0.05
"""A file may be this much shorter than its header says: many writers are off by a few bytes."""

UNKNOWN_LENGTH_BYTES = 0x7FFF_0000
"""A header that was written into a pipe claims this length or more, whatever the true one."""

_HEAD_BYTES = 1024
"""Size of a NIST header."""

_TAIL_BYTES = 64 << 10
"""Size of the end of a long sound that is searched for a second one."""

_UNTOLD_FRAMES = 2**63 - 1
"""The length that libsndfile gives for a FLAC file without a length in its header."""

_MP3 = re.compile(rb"ID3|\xff[\xe0-\xff]")
"""The start of an mp3: a tag, or the 11 bits of a frame."""

_OPUS_LEAD_S = 2
"""An Opus decoder that starts this early gives the same samples as one that decodes the whole file.
In speech at 16 kHz, a lead of 1 s changed 1 % of the samples, by up to 7; 2 s changed none."""

_MOST_BYTES = 2 << 30
"""Most memory for the samples of all channels as floats: 4.7 hours of one channel at 16 kHz. The
header alone decides, before memory is taken."""

_SMALL_BYTES = 4 << 20
"""A file of at most this size is read before its header is looked at."""

_LOUDEST = 16.0
"""Floats beyond this are damaged, or 16-bit samples that nobody divided by full scale."""


def read_audio(source: str | Path | BinaryIO, channel: int | None = None) -> Samples:
    """Returns the samples of a file: wav, flac, ogg (Opus, Vorbis), mp3, NIST sphere, aiff.

    `channel` counts from 0; without it the file has to be mono.

    A file with 16 bits at 16 kHz is returned bit for bit. Other encodings are rounded to 16 bits,
    other rates are resampled (a polyphase filter at the exact ratio), and samples beyond full scale
    are clipped. Raises `AudioFault`, also for a file that is shorter than its header says.
    """
    return _finished(*_whole(source, channel))


def read_segment(path: Path, segment: Segment) -> Samples:
    """Returns a part of a recording, in the formats and with the faults of `read_audio`.

    The part lasts from sample round(start · rate) to round(end · rate) and is cut before
    resampling. An end that exceeds the recording by at most `TOLERATED_LOSS_S` is taken as its end.
    Only the part is decoded, except in mp3: its decoder cannot start in the middle, so the whole
    recording is decoded once and kept until another mp3 is read.
    """
    if segment.is_all:
        return _finished(*_whole(path, segment.channel))
    return _finished(*_cut(path, segment))


def seconds_of(path: Path) -> float:
    """Returns the length of a sound file by its header, for any number of channels.

    Decodes only a sample near the end. Raises `AudioFault`, also for a file that was cut short.
    """
    with _file(path) as stream:
        ends = _ends(stream)
        with _opened(stream) as file:
            if not file.frames:
                raise AudioFault("zero samples")
            if file.format == "OGG":
                _check_whole_container(path, file.format)
            else:
                _check_container(file.format, io.BytesIO(ends))
            _check_length(file, ends, file.frames)
            if _ends_early(file):
                raise AudioFault("unreadable", f"cut short: the header says {file.frames} samples")
            return float(file.frames / file.samplerate)


def read_part(path: Path, samples: int | None = None, place: float = 0.0) -> Wave:
    """Returns the first channel at 16 kHz, neither rounded nor clipped; full scale is 1.

    If the file has more than `samples`, only these (or one more) are decoded: the first ones for a
    `place` of 0, the last ones for a `place` of nearly 1. Raises `AudioFault`.
    """
    with _file(path) as stream, _opened(stream) as file:
        rate_hz, frames = int(file.samplerate), int(file.frames)
        if samples is not None:
            frames = min(frames, -(-samples * rate_hz // SAMPLE_RATE_HZ))
        _check_size(file, frames)
        file.seek(int(place * (file.frames - frames + 1)))
        wave = file.read(frames, dtype="float32", always_2d=True)[:, 0]
    if len(wave) < frames - TOLERATED_LOSS_S * rate_hz:
        raise AudioFault("unreadable", f"cut short: {len(wave)} of {frames} samples")
    if not len(wave):
        raise AudioFault("zero samples")
    _check_floats(wave)
    # A copy releases the memory of the other channels.
    return np.ascontiguousarray(resample(wave, rate_hz))


class _Seekable:
    """A stream that stays where it is if libsndfile seeks to a place that cannot be.

    Damaged headers lead there. An exception in a callback would be printed with its traceback.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.readinto, self.tell = stream.readinto, stream.tell  # type: ignore[attr-defined]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with suppress(OSError, ValueError):
            self._stream.seek(offset, whence)
        return self.tell()


@contextmanager
def _opened(stream: BinaryIO) -> Iterator[Any]:
    head = stream.read(3)
    stream.seek(0)
    # libmpg123 prints its warnings to the terminal.
    quiet = silenced_stderr() if _MP3.match(head) else nullcontext()
    try:
        with quiet, soundfile.SoundFile(_Seekable(stream)) as file:
            if file.format not in FORMATS:
                raise AudioFault("unreadable", f"{file.format} is not read; convert it to wav")
            if not is_plausible(int(file.samplerate)):
                raise AudioFault("unreadable", f"the header says {file.samplerate} Hz")
            if not file.seekable():
                raise AudioFault("unreadable", f"{file.subtype} cannot be decoded; encode it anew")
            if file.frames == _UNTOLD_FRAMES:
                raise AudioFault("unreadable", "the header has no length; encode it from a file")
            yield file
    except soundfile.SoundFileError as error:
        raise AudioFault("unreadable", _one_line(error)) from None


def _whole(source: str | Path | BinaryIO, channel: int | None) -> tuple[npt.NDArray[Any], int]:
    """Returns all samples of a channel, in the form of `_read`, and their rate in Hz."""
    with _stream(source) as stream:
        ends = _ends(stream)
        with _opened(stream) as file:
            _check_container(file.format, stream)
            samples = _read(file, channel)
            _check_length(file, ends, len(samples))
            return samples, int(file.samplerate)


def _cut(path: Path, segment: Segment) -> tuple[npt.NDArray[Any], int]:
    """Returns the samples of a segment, in the form of `_read`, and their rate in Hz."""
    with _file(path) as stream:
        ends = _ends(stream)
        with _opened(stream) as file:
            _check_whole_container(path, file.format)
            rate_hz = int(file.samplerate)
            start, end = _bounds(segment, int(file.frames), rate_hz)
            if file.format == "MP3" and end - start < file.frames:
                samples = _decoded(path)[start:end, _index(file, segment.channel)]
            else:
                lead = min(start, _OPUS_LEAD_S * rate_hz) if file.subtype == "OPUS" else 0
                if start > lead:  # a seek to 0 is not free in mp3
                    file.seek(start - lead)
                samples = _read(file, segment.channel, end - start + lead)[lead:]
            if segment.end_s is None:
                _check_length(file, ends, start + len(samples))
    if len(samples) < end - start - TOLERATED_LOSS_S * rate_hz:
        raise AudioFault("unreadable", f"cut short: {start + len(samples)} of {end} samples")
    return samples, rate_hz


def _bounds(segment: Segment, frames: int, rate_hz: int) -> tuple[int, int]:
    """Returns the first sample of a segment and the one after its last."""
    start = round(segment.start_s * rate_hz)
    end = frames if segment.end_s is None else round(segment.end_s * rate_hz)
    if start >= frames or end > frames + TOLERATED_LOSS_S * rate_hz:
        raise AudioFault(
            "beyond the end",
            f"samples {start} to {end} of {frames}, which are {frames / rate_hz:.3f} s",
        )
    return start, min(end, frames)


def _read(file: Any, channel: int | None, frames: int = -1) -> npt.NDArray[Any]:
    """Returns samples of one channel: unchanged if they have 16 bits, otherwise from -1 to 1."""
    index = _index(file, channel)
    _check_size(file, int(file.frames) if frames < 0 else frames)
    # libsndfile does not scale when it reads floats as integers: 0.9 would become 0.
    dtype = "int16" if file.subtype == "PCM_16" else "float64"
    # A copy releases the memory of the other channels.
    return np.ascontiguousarray(file.read(frames, dtype=dtype, always_2d=True)[:, index])


def _check_size(file: Any, frames: int) -> None:
    """Raises `AudioFault` if `frames` of a file are more than may be in memory at a time."""
    if frames * file.channels * np.dtype(np.float64).itemsize > _MOST_BYTES:
        hours = frames / file.samplerate / 3600
        raise AudioFault(
            "too long", f"{hours:.1f} hours, {file.channels} channels, by the header; cut it"
        )


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
    if not exact:
        _check_floats(samples)
    return rounded_blocks(samples, rate_hz)


_DECODING = threading.Lock()


def _decoded(path: Path) -> npt.NDArray[np.float32]:
    """Returns all samples and channels of a recording, read-only. The last recording is kept.

    Threads that need the same recording wait for the first of them.
    """
    about = path.stat()
    with _DECODING:
        return _decode(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=1)
def _decode(path: Path, size: int, changed_ns: int) -> npt.NDArray[np.float32]:
    with _file(path) as stream, _opened(stream) as file:
        _check_size(file, int(file.frames))
        return np.asarray(file.read(dtype="float32", always_2d=True))


def _check_container(format: str, stream: BinaryIO) -> None:
    """Raises `AudioFault` for damage that libsndfile passes over, such as a second file."""
    place = stream.tell()  # where libsndfile is
    if fault := container_fault(format, stream):
        raise AudioFault("unreadable", fault)
    stream.seek(place)


def _check_whole_container(path: Path, format: str) -> None:
    """Checks a file as `_check_container` does, for the first of its parts only."""
    about = path.stat()
    if fault := _fault_of(path, format, about.st_size, about.st_mtime_ns):
        raise AudioFault("unreadable", fault)


@lru_cache(maxsize=1024)
def _fault_of(path: Path, format: str, size: int, changed_ns: int) -> str | None:
    with _file(path) as stream:
        return container_fault(format, stream)


def _ends(stream: BinaryIO) -> bytes:
    """Returns the bytes of both ends of a file that `_check_length` needs, without overlap."""
    ends = stream.read(_HEAD_BYTES)
    if not ends:
        raise AudioFault("empty file")
    stream.seek(max(_HEAD_BYTES, stream.seek(0, io.SEEK_END) - _TAIL_BYTES))
    ends += stream.read()
    stream.seek(0)
    return ends


@contextmanager
def _stream(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """Yields a file that is open, and in memory if it is small, which is faster."""
    if not isinstance(source, str | Path):
        yield io.BytesIO(source.read())
        return
    with _file(source) as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        yield stream if size > _SMALL_BYTES else io.BytesIO(stream.read())


@contextmanager
def _file(path: str | Path) -> Iterator[BinaryIO]:
    try:
        with open_regular(Path(path)) as stream:
            yield stream
    except FileNotFoundError:
        raise AudioFault("missing") from None
    except (OSError, ValueError) as error:  # a folder, no permission, a NUL in the name
        raise AudioFault("unreadable", _one_line(error)) from None


def _check_length(file: Any, data: bytes, samples: int) -> None:
    """Raises `AudioFault` for a file that was cut short, which libsndfile does not report."""
    promised = int(file.frames)
    if file.format == "NIST" and (
        count := re.search(rb"sample_count -i (\d+)", data[:_HEAD_BYTES])
    ):
        promised = int(count[1])
    elif sizes := claimed_bytes(file.extra_info):
        claimed, actual = sizes
        if actual and claimed < UNKNOWN_LENGTH_BYTES:
            promised = samples * claimed // actual
    if samples < promised - TOLERATED_LOSS_S * file.samplerate:
        raise AudioFault("unreadable", f"cut short: {samples} of {promised} samples")


def _ends_early(file: Any) -> bool:
    """Returns whether nothing can be read at the end of the file, less the tolerance."""
    try:
        file.seek(max(0, int(file.frames - 1 - TOLERATED_LOSS_S * file.samplerate)))
        return not len(file.read(1))
    except soundfile.SoundFileError:
        return True


def _check_floats(wave: Wave) -> None:
    with np.errstate(invalid="ignore"):  # a signalling NaN
        low, high = float(wave.min(initial=0)), float(wave.max(initial=0))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise AudioFault("unreadable", "has samples that are not finite")
    peak = max(high, -low)
    if peak > _LOUDEST:
        raise AudioFault("unreadable", f"has floats up to {peak:g}, and full scale is 1")


def _one_line(error: Exception) -> str:
    # The exception's own text would contain an address in memory; libsndfile's does not.
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(getattr(error, "error_string", error)).split())


def from_array(array: npt.ArrayLike, sample_rate: int) -> Samples:
    """Returns samples at 16 kHz from a waveform in memory.

    `array` has one dimension: int16 samples, or floats between -1 and 1; `sample_rate` is in Hz.
    What exceeds full scale is clipped. Raises `UserError` for another shape, type or rate, for no
    samples, and for floats that are not finite or are plainly in units of 16-bit samples.
    """
    samples = np.asarray(array)
    if samples.ndim != 1:
        raise UserError(
            f"audio: found an array of shape {samples.shape}, allowed: one dimension, the samples "
            f"of one channel"
        )
    if samples.dtype != np.int16 and not np.issubdtype(samples.dtype, np.floating):
        raise UserError(f"audio: found {samples.dtype} samples, allowed: int16, or floats")
    if not is_plausible(int(sample_rate)):
        raise UserError(
            f"audio: found a sample rate of {sample_rate} Hz, allowed: {RATES_HZ[0]} to "
            f"{RATES_HZ[-1]}, above {COARSEST_HZ} with a factor in common with 16 kHz"
        )
    if np.issubdtype(samples.dtype, np.floating) and len(samples):
        peak = float(np.abs(samples).max())
        if peak > _LOUDEST:
            raise UserError(
                f"audio: found floats up to {peak:g}, allowed: -1 to 1; divide 16-bit samples by "
                f"{FULL_SCALE}, or give them as int16"
            )
    try:
        return _finished(samples, int(sample_rate))
    except AudioFault as fault:
        raise UserError(f"audio: {fault}") from None
