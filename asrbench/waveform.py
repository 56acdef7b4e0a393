"""What a waveform is here."""

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000

Samples = npt.NDArray[np.int16]
"""Mono, at `SAMPLE_RATE_HZ`."""
