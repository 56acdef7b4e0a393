"""What a waveform is here."""

from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000

Samples = npt.NDArray[np.int16]
"""Mono, at `SAMPLE_RATE_HZ`."""

Wave = npt.NDArray[np.floating[Any]]
"""The same while it is worked on, in whatever unit."""


def rounded(wave: Wave) -> Samples:
    """`wave`, in steps of 16-bit samples, as such; what exceeds full scale is clipped."""
    return np.clip(np.rint(wave), -32_768, 32_767).astype(np.int16)
