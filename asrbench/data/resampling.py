"""Other sample rates to 16 kHz: a polyphase filter at the exact ratio."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples, Wave, rounded

FULL_SCALE = 32_768
RATES_HZ = range(1_000, 768_001)
"""Plausible sample rates. Resampling from another rate could fill the memory."""

COARSEST_HZ = 100_000
"""A higher rate must share a factor with 16 kHz. The filter for 767,999 Hz would have 15 million
coefficients, which take 1 GB and some seconds."""

_BLOCK_SAMPLES = 1 << 20
"""Samples that are resampled at a time, at least."""


def is_plausible(rate_hz: int) -> bool:
    """Returns whether a recording of this rate can be meant, and resampled at little cost."""
    reduced = rate_hz // math.gcd(SAMPLE_RATE_HZ, rate_hz)
    return rate_hz in RATES_HZ and reduced <= COARSEST_HZ


def resample(wave: Wave, rate_hz: int) -> Wave:
    """Returns `wave` at 16 kHz, as ceil(samples · 16000 / rate) samples."""
    if rate_hz == SAMPLE_RATE_HZ:
        return wave
    from scipy.signal import resample_poly  # takes half a second, which most corpora do not need

    common = math.gcd(SAMPLE_RATE_HZ, rate_hz)
    return np.asarray(resample_poly(wave, SAMPLE_RATE_HZ // common, rate_hz // common))


def rounded_blocks(samples: npt.NDArray[Any], rate_hz: int) -> Samples:
    """Returns (S,) int16, or floats from -1 to 1, at 16 kHz and rounded to 16 bits.

    The result is that of `resample` for the whole, but only a block of it is floats at a time: an
    hour at 44.1 kHz would take 1.3 GB.
    """
    common = math.gcd(SAMPLE_RATE_HZ, rate_hz)
    up, down = SAMPLE_RATE_HZ // common, rate_hz // common
    # Blocks begin where both rates have a sample. The filter reaches 10 samples of the lower rate.
    size = down * (_BLOCK_SAMPLES // down + 1)
    reach = 0 if up == down else down * (10 * max(up, down) // (up * down) + 2)
    found = np.empty(-(-len(samples) * up // down), np.int16)
    for start in range(0, len(samples), size):
        first, at = max(0, start - reach), start * up // down
        block = samples[first : start + size + reach].astype(np.float64)
        if samples.dtype == np.int16:
            block /= FULL_SCALE
        wave = resample(block, rate_hz)[(start - first) * up // down :]
        length = min(size * up // down, len(found) - at)
        found[at : at + length] = rounded(wave[:length] * FULL_SCALE)
    return found
