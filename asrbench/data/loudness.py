"""How loud a recording is, and whether it is clipped, silent or off centre.

Full scale is 1 and 0 dBFS, for peak and RMS alike: a sine from end to end of the scale has an RMS
of -3.01 dBFS. (AES17 refers RMS to that sine, and reads 3.01 dB more.)
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asrbench.data.acoustics import power
from asrbench.data.waveform import Samples

FULL_SCALE = 32_768
CLIPPED_RUN = 3
"""Samples in a row at one end of the scale, where clipping begins. Audacity's Find Clipping starts
at as many; one or two may be the peak of something that just fits."""
SILENCE_DB = -60.0
"""A recording that never gets above this has nothing to hear in it."""
OFFSET = 0.01
"""A mean beyond this share of full scale is a fault of the recording, not of rounding."""


class Level(NamedTuple):
    """What is measured of one recording. RMS counts the offset too."""

    rms: float
    peak: float
    offset: float
    """The mean, with its sign."""
    clipped: bool


LEVELS = np.dtype([("rms", float), ("peak", float), ("offset", float), ("clipped", bool)])
"""An array of this has a `Level` in each place."""


def level(audio: Samples) -> Level:
    """Of nothing at all, silence."""
    if not len(audio):
        return Level(0.0, 0.0, 0.0, False)
    peak = max(int(audio.max()), -int(audio.min()))
    return Level(
        math.sqrt(power(audio)) / FULL_SCALE,
        peak / FULL_SCALE,
        float(audio.mean()) / FULL_SCALE,
        # Hardly any recording gets there, and then there is nothing to look for.
        peak >= FULL_SCALE - 1 and is_clipped(audio),
    )


def is_clipped(audio: Samples) -> bool:
    """Whether `CLIPPED_RUN` samples in a row lie at the same end of the scale.

    The lower end is -32,767 as well: so far down go those who scale by the same both ways.
    """
    if len(audio) < CLIPPED_RUN:
        return False
    top = FULL_SCALE - 1
    return any(
        np.lib.stride_tricks.sliding_window_view(at_end, CLIPPED_RUN).all(axis=1).any()
        for at_end in (audio >= top, audio <= -top)
    )


def is_silent(levels: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """For each of `levels` whether its peak stays below `SILENCE_DB`."""
    return np.asarray(levels["peak"] < 10 ** (SILENCE_DB / 20), dtype=bool)


def is_off_centre(levels: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """For each of `levels` whether its mean is beyond `OFFSET`."""
    return np.asarray(np.abs(levels["offset"]) > OFFSET, dtype=bool)


def decibels(amplitude: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """dBFS of amplitudes above 0."""
    return 20 * np.log10(amplitude)
