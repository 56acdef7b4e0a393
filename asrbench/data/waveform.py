"""The types of waveforms, and the one sample rate of this program."""

from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000

Samples = npt.NDArray[np.int16]
"""16-bit samples, mono, at `SAMPLE_RATE_HZ`."""

Wave = npt.NDArray[np.floating[Any]]
"""Samples as floats, in any unit, while they are processed."""


def rounded(wave: Wave) -> Samples:
    """Rounds a wave in units of 16-bit samples to `Samples`, and clips what exceeds full scale."""
    return np.clip(np.rint(wave), -32_768, 32_767).astype(np.int16)
