"""The sound of a synthetic utterance: resampling, background noise, SNR and loudness."""

import numpy as np
import numpy.typing as npt
from scipy.signal import firwin, resample_poly

from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples

SILENCE_S = (0.1, 0.4)
"""Range of the silence before the speech, and of the silence after it."""
LOUDNESS_DBFS = (-30.0, -18.0)
"""Range of the root mean square of the speech, in dB below full scale."""
PEAK = 0.95
"""Largest absolute sample, as a share of full scale."""
NOISE_S = 60
"""Length of each background noise."""
NOISES = 4

Signal = npt.NDArray[np.float32]

_UP, _DOWN = 320, 441  # 22,050 * 320 / 441 = 16,000
_LOW_PASS = firwin(20 * _DOWN + 1, 1 / _DOWN, window=("kaiser", 5.0)).astype(np.float32)
"""The filter that `resample_poly` would otherwise design again in every call."""


def resample(speech: Samples) -> Signal:
    """Resamples speech from 22,050 Hz to 16 kHz."""
    # SciPy takes the filter itself for a window; its stubs know only windows.
    resampled = resample_poly(speech.astype(np.float32), _UP, _DOWN, window=_LOW_PASS)  # type: ignore[call-overload]
    return np.asarray(resampled, dtype=np.float32)


def add_noise(
    speech: Signal,
    noises: list[Signal],
    snr_db: tuple[float, float],
    generator: np.random.Generator,
) -> Samples:
    """Puts speech between two silences, adds a noise, and scales the mix to a drawn loudness.

    SNR and loudness are drawn from their ranges. Both are measured on the mean power of the speech,
    with its pauses. The mix is scaled down if a sample would exceed `PEAK`.
    """
    before, after = (int(generator.uniform(*SILENCE_S) * SAMPLE_RATE_HZ) for _ in range(2))
    noise = noises[int(generator.integers(len(noises)))]
    noise = _excerpt(noise, before + len(speech) + after, generator)
    snr = 10 ** (generator.uniform(*snr_db) / 20)
    loudness = 10 ** (generator.uniform(*LOUDNESS_DBFS) / 20)
    mix = noise * (_rms(speech) / snr / _rms(noise[before : before + len(speech)]))
    mix[before : before + len(speech)] += speech
    gain = min(loudness / _rms(speech), PEAK / float(np.abs(mix).max()))
    return np.asarray(np.rint(mix * (gain * 32767)), dtype=np.int16)


def background_noises(generator: np.random.Generator) -> list[Signal]:
    """Returns `NOISES` noises of `NOISE_S`: white, pink, brown and babble-like, each periodic.

    The babble is noise with the long-term spectrum of speech (flat to 500 Hz, then falling by 9 dB
    an octave) and its slow modulation (a lognormal envelope below 4 Hz).
    """
    hertz = np.fft.rfftfreq(NOISE_S * SAMPLE_RATE_HZ, 1 / SAMPLE_RATE_HZ)
    audible = np.maximum(hertz, 50.0)  # a microphone would not record what is below
    envelope = _coloured((hertz < 4.0).astype(float), generator)
    babble = _coloured(np.maximum(hertz / 500.0, 1.0) ** -1.5, generator) * np.exp(0.6 * envelope)
    coloured = [_coloured(audible**slope, generator) for slope in (0.0, -0.5, -1.0)]
    return [*coloured, babble / _rms(babble)]


def _rms(signal: Signal) -> float:
    return float(np.sqrt(np.dot(signal, signal) / len(signal)))


def _excerpt(noise: Signal, samples: int, generator: np.random.Generator) -> Signal:
    """Returns `samples` of a noise from a drawn place on, repeating the noise if need be."""
    start = int(generator.integers(len(noise)))
    return np.take(noise, np.arange(start, start + samples), mode="wrap")


def _coloured(magnitude: npt.NDArray[np.float64], generator: np.random.Generator) -> Signal:
    """Returns Gaussian noise of unit power with this magnitude spectrum, periodic in its length."""
    phases = generator.standard_normal((2, len(magnitude)))
    noise = np.fft.irfft(magnitude * (phases[0] + 1j * phases[1])).astype(np.float32)
    return np.asarray(noise / _rms(noise), dtype=np.float32)
