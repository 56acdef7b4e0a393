"""What a room, a noise and a fader do to speech: pure functions of waveforms of any unit."""

import math

import numpy as np

from asrbench.data.waveform import Samples, Wave


def reverberated(wave: Wave, response: Wave) -> Wave:
    """`wave` as heard in the room of that impulse response, as long, as loud, and not later.

    The greatest peak of the response is taken for the direct path (as Kaldi's wav-reverberate
    does, with --shift-output) and meets the speech where it was. Silence stays as it is.
    """
    # Half a second that most trainings need not spend.
    from scipy.signal import fftconvolve

    direct = int(np.abs(response).argmax())
    heard = fftconvolve(wave, response.astype(np.float64))[direct : direct + len(wave)]
    before, after = power(wave), power(heard)
    return heard * math.sqrt(before / after) if before and after else wave


def mixed(wave: Wave, noise: Wave, snr_db: float) -> Wave:
    """`wave` with `noise`, as long, in it: the power of the one over the other's, by their means.

    Where one of them is silent there is no such ratio, and `wave` stays as it is.
    """
    speech_power, noise_power = power(wave), power(noise)
    if not speech_power or not noise_power:
        return wave
    return wave + noise * math.sqrt(speech_power / noise_power / from_decibels(snr_db))


def amplified(wave: Wave, gain_db: float) -> Wave:
    return wave * math.sqrt(from_decibels(gain_db))


def power(wave: Wave | Samples) -> float:
    """The mean of the squares."""
    return float(np.square(wave, dtype=np.float64).mean())


def from_decibels(ratio_db: float) -> float:
    """A ratio of powers."""
    return float(10 ** (ratio_db / 10))


def within_full_scale(wave: Wave) -> Wave:
    """`wave`, in steps of 16-bit samples, turned down as a whole if it needs more than 16 bits."""
    excess = max(float(wave.max()) / 32_767, float(wave.min()) / -32_768)
    return wave / excess if excess > 1 else wave
