"""Sound files as every stage wants them: 16 kHz, mono, 16 bits."""

import io
import math
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from asrbench.waveform import SAMPLE_RATE_HZ, Samples

FULL_SCALE = 32_768
RATES_HZ = range(1_000, 768_001)
"""A header that claims another rate is a broken one; resampling it could fill the memory."""

TOLERATED_LOSS_S = 0.05
"""Many writers get the length in the header wrong by a few bytes; a cut this short is no cut."""

UNKNOWN_LENGTH_BYTES = 0x7FFF_0000
"""Headers written into a pipe claim this much or more: their true length was not known."""


class AudioFault(Exception):
    """Why a file is no utterance. `reason` is one of a few fixed strings, `detail` the particulars.

    Reasons: "missing", "empty file", "unreadable", "wrong channel count", "zero samples".
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail = reason, detail


def read_audio(source: str | Path | BinaryIO) -> Samples:
    """The samples of a mono sound file: wav, flac, ogg (Opus, Vorbis), mp3, NIST sphere, aiff.

    What is 16-bit at 16 kHz comes back bit for bit. Other encodings are rounded to 16 bits, other
    rates resampled (a polyphase filter at the exact ratio), and what exceeds full scale is clipped.
    Raises `AudioFault`, also for a file that ends well before the length its header promises.
    """
    data = _bytes(source)
    if not data:
        raise AudioFault("empty file")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.channels != 1:
                raise AudioFault("wrong channel count", f"{file.channels} channels")
            if file.samplerate not in RATES_HZ:
                raise AudioFault("unreadable", f"the header says {file.samplerate} Hz")
            exact = file.subtype == "PCM_16"
            # libsndfile does not scale when it reads floats as integers: 0.9 would become 0.
            samples = file.read(dtype="int16" if exact else "float64")
            _check_length(file, data, len(samples))
            rate_hz = int(file.samplerate)
    except soundfile.SoundFileError as error:
        raise AudioFault("unreadable", _one_line(error)) from None
    if not len(samples):
        raise AudioFault("zero samples")
    if exact and rate_hz == SAMPLE_RATE_HZ:
        return np.asarray(samples, dtype=np.int16)
    wave = np.asarray(samples, dtype=np.float64) / (FULL_SCALE if exact else 1)
    if not np.isfinite(wave).all():
        raise AudioFault("unreadable", "has samples that are not finite")
    return _to_int16(_resample(wave, rate_hz))


def _bytes(source: str | Path | BinaryIO) -> bytes:
    if not isinstance(source, str | Path):
        return source.read()
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise AudioFault("missing") from None
    except (OSError, ValueError) as error:  # a folder, no permission, a NUL in the name
        raise AudioFault("unreadable", _one_line(error)) from None


def _check_length(file: Any, data: bytes, samples: int) -> None:
    """Raises `AudioFault` if the file was cut short, which libsndfile passes over in silence."""
    promised = int(file.frames)
    if file.format == "OGG" and not _ends_well(data):
        raise AudioFault("unreadable", f"cut short: no last Ogg page after {samples} samples")
    if file.format == "NIST" and (count := re.search(rb"sample_count -i (\d+)", data[:1024])):
        promised = int(count[1])
    # libsndfile's log of a wav or aiff file: "data : 64000 (should be 38382)", both in bytes.
    elif chunk := re.search(r"(?:data|SSND) : (\d+) \(should be (\d+)\)", file.extra_info):
        claimed, actual = int(chunk[1]), int(chunk[2])
        if actual and claimed < UNKNOWN_LENGTH_BYTES:
            promised = samples * claimed // actual
    if samples < promised - TOLERATED_LOSS_S * file.samplerate:
        raise AudioFault("unreadable", f"cut short: {samples} of {promised} samples")


def _ends_well(ogg: bytes) -> bool:
    """Whether the last page of an Ogg stream is whole and marked as the last (RFC 3533, 6)."""
    page = ogg[ogg.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    sizes = page[27 : 27 + page[26]]
    return bool(page[5] & 0x04) and len(page) >= 27 + len(sizes) + sum(sizes)


def _resample(wave: npt.NDArray[np.float64], rate_hz: int) -> npt.NDArray[np.float64]:
    """`wave` at 16 kHz: ceil(samples · 16000 / rate) samples."""
    if rate_hz == SAMPLE_RATE_HZ:
        return wave
    from scipy.signal import resample_poly  # half a second that most corpora need not spend

    common = math.gcd(SAMPLE_RATE_HZ, rate_hz)
    return np.asarray(resample_poly(wave, SAMPLE_RATE_HZ // common, rate_hz // common))


def _to_int16(wave: npt.NDArray[np.float64]) -> Samples:
    return np.clip(np.rint(wave * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def _one_line(error: Exception) -> str:
    # libsndfile's own words; the exception's would name an address in memory.
    return " ".join(str(getattr(error, "error_string", error)).split())
