"""Loudness of recordings, and whether they are clipped, silent or off centre.

Full scale is 1 and 0 dBFS, for peak and RMS alike: the RMS of a full-scale sine is -3.01 dBFS.
(AES17 sets the RMS of that sine to 0 dBFS, so its values are 3.01 dB higher.)
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asrbench.data.acoustics import power
from asrbench.data.waveform import Samples

FULL_SCALE = 32_768
CLIPPED_RUN = 3
"""This many samples in a row at one end of the scale are clipped, as in Audacity's Find Clipping.
One or two may be the peak of a sound that just fits."""
SILENCE_DB = -60.0
"""A recording whose peak stays below this is silent."""
OFFSET = 0.01
"""A mean beyond this share of full scale is a fault of the recording, not of rounding."""


class Loudness(NamedTuple):
    """The loudness of one recording. Amplitudes are shares of full scale."""

    rms: float
    """Root mean square, with the offset."""
    peak: float
    offset: float
    """The mean, with its sign."""
    clipped: bool


LOUDNESS_DTYPE = np.dtype([("rms", float), ("peak", float), ("offset", float), ("clipped", bool)])
"""Type of an array with one `Loudness` for each recording."""


def measure_loudness(audio: Samples) -> Loudness:
    """Returns the loudness of a recording; zeros for an empty one."""
    if not len(audio):
        return Loudness(0.0, 0.0, 0.0, False)
    peak = max(int(audio.max()), -int(audio.min()))
    return Loudness(
        math.sqrt(power(audio)) / FULL_SCALE,
        peak / FULL_SCALE,
        float(audio.mean()) / FULL_SCALE,
        # Only a recording that reaches full scale needs the slower check.
        peak >= FULL_SCALE - 1 and is_clipped(audio),
    )


def is_clipped(audio: Samples) -> bool:
    """Returns whether `CLIPPED_RUN` consecutive samples are at the same end of the scale.

    -32,767 counts as the lower end too: it is the lowest sample of symmetric scaling.
    """
    if len(audio) < CLIPPED_RUN:
        return False
    top = FULL_SCALE - 1
    return any(
        np.lib.stride_tricks.sliding_window_view(at_end, CLIPPED_RUN).all(axis=1).any()
        for at_end in (audio >= top, audio <= -top)
    )


def is_silent(loudness: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Returns, for each recording, whether its peak stays below `SILENCE_DB`."""
    return np.asarray(loudness["peak"] < 10 ** (SILENCE_DB / 20), dtype=bool)


def is_off_centre(loudness: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Returns, for each recording, whether its mean is beyond `OFFSET`."""
    return np.asarray(np.abs(loudness["offset"]) > OFFSET, dtype=bool)


def decibels(amplitude: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns amplitudes above 0 in dBFS."""
    return 20 * np.log10(amplitude)
