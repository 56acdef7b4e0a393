"""Reverberation, noise and gain: pure functions of waveforms in any unit."""

import math

import numpy as np

from asrbench.data.waveform import Samples, Wave


def reverberated(wave: Wave, response: Wave) -> Wave:
    """Returns `wave` in a room with this impulse response, with the same length and power.

    The largest peak of the response is taken as the direct path and causes no delay, as in Kaldi's
    wav-reverberate with --shift-output. Silence is returned unchanged.
    """
    # The import takes half a second, which most trainings do not need.
    from scipy.signal import fftconvolve

    direct = int(np.abs(response).argmax())
    result = fftconvolve(wave, response.astype(np.float64))[direct : direct + len(wave)]
    before, after = power(wave), power(result)
    return result * math.sqrt(before / after) if before and after else wave


def mixed(wave: Wave, noise: Wave, snr_db: float) -> Wave:
    """Returns `wave` plus `noise` of the same length, at the SNR `snr_db` of their mean powers.

    If one of them is silent, there is no such ratio and `wave` is returned unchanged.
    """
    speech_power, noise_power = power(wave), power(noise)
    if not speech_power or not noise_power:
        return wave
    return wave + noise * math.sqrt(speech_power / noise_power / from_decibels(snr_db))


def amplified(wave: Wave, gain_db: float) -> Wave:
    """Returns `wave` with a gain in dB."""
    return wave * math.sqrt(from_decibels(gain_db))


def power(wave: Wave | Samples) -> float:
    """Returns the mean of the squares."""
    return float(np.square(wave, dtype=np.float64).mean())


def from_decibels(ratio_db: float) -> float:
    """Returns the ratio of powers that `ratio_db` expresses."""
    return float(10 ** (ratio_db / 10))


def within_full_scale(wave: Wave) -> Wave:
    """Returns `wave`, in units of 16-bit samples, scaled down if it exceeds 16 bits."""
    excess = max(float(wave.max()) / 32_767, float(wave.min()) / -32_768)
    return wave / excess if excess > 1 else wave
