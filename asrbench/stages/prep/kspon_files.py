"""KsponSpeech's files: headless 16-bit audio, and texts in cp949."""

import io

import numpy as np

from asrbench.base.errors import Fault
from asrbench.data.audio import read_audio
from asrbench.data.waveform import Samples
from asrbench.stages.prep.kspon_figures import ODD_BYTE
from asrbench.stages.prep.sources import MIN_SAMPLES
from asrbench.text.normal_form import is_hangul

RIFF = "RIFF header under the name of a headless file"


def decode_audio(data: bytes, name: str) -> tuple[Samples, tuple[str, ...]]:
    """Returns the samples of a headless file (16 bits, 16 kHz), and remarks about the file.

    All 6,000 evaluation files end in half a sample, which is dropped; dropping their first byte
    instead would give noise. A file that has a header in spite of its name is read by its header.
    Raises `Fault` for an empty file and for one that is shorter than a frame.
    """
    if not data:
        raise Fault("empty file", name)
    remarks: tuple[str, ...] = ()
    if data[:4] == b"RIFF":
        audio = read_audio(io.BytesIO(data))
        remarks = (RIFF,) if name.endswith(".pcm") else ()
    else:
        audio = np.frombuffer(data, dtype="<i2", count=len(data) // 2)
        remarks = (ODD_BYTE,) if len(data) % 2 else ()
    if len(audio) < MIN_SAMPLES:
        raise Fault("shorter than a frame", f"{name}: {len(audio)} samples")
    return audio, remarks


def decode_text(data: bytes, name: str) -> str:
    """Returns the one line of a text file, in cp949 or UTF-8.

    Bytes of one encoding may be valid in the other. The right encoding is the one that gives only
    Hangul and ASCII. Raises `Fault` if neither does.
    """
    for encoding in ("cp949", "utf-8-sig"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if all(character.isascii() or is_hangul(character) for character in text):
            return " ".join(text.split("\n")).strip()
    raise Fault("text neither cp949 nor UTF-8", name)
