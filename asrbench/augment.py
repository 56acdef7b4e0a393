"""Augmentation whose draws are keyed by (seed, epoch, utterance), and by nothing else.

So they do not depend on batch mates, workers or ranks. Legend: B batch, T frames, F bins.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
import torchaudio
from torch import Tensor

from asrbench.seeding import key
from asrbench.spec import AugmentSpec
from asrbench.waveform import SAMPLE_RATE_HZ, Samples


def _generator(seed: int, epoch: int, purpose: str, utterance: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key(seed, epoch, purpose, utterance)))


def change_speed(
    wave: Samples, spec: AugmentSpec, *, seed: int, epoch: int, utterance: str
) -> Samples:
    """`wave` at a drawn speed, by resampling: Ko et al. 2015, "Audio augmentation"."""
    speed = float(_generator(seed, epoch, "speed", utterance).choice(spec.speeds))
    if speed == 1.0:
        return wave
    resample = _resampler(round(SAMPLE_RATE_HZ * speed))
    resampled: Tensor = resample(torch.tensor(wave, dtype=torch.float32))
    return np.asarray(resampled.round().clamp(-32768, 32767), dtype=np.int16)


@cache
def _resampler(rate_hz: int) -> torchaudio.transforms.Resample:
    """Taking `rate_hz` for the true rate makes 16 kHz audio that is faster by their ratio."""
    return torchaudio.transforms.Resample(rate_hz, SAMPLE_RATE_HZ)


def mask_spectrum(
    x_BTF: Tensor,
    frames_B: list[int],
    spec: AugmentSpec,
    *,
    seed: int,
    epoch: int,
    utterances: list[str],
) -> Tensor:
    """SpecAugment's masks, Park et al. 2019, arXiv:1904.08779, section 2: x is 0, its mean, there.

    Widths are uniform from 0 to the greatest allowed; a time mask covers at most
    `spec.time_share` of its utterance.
    """
    _, frames, bins = x_BTF.shape
    keep_BT = np.ones((len(utterances), frames), dtype=bool)
    keep_BF = np.ones((len(utterances), bins), dtype=bool)
    for b, (length, utterance) in enumerate(zip(frames_B, utterances, strict=True)):
        generator = _generator(seed, epoch, "mask", utterance)
        widest = min(spec.time_width, int(length * spec.time_share))
        _draw_masks(keep_BT[b, :length], spec.time_masks, widest, generator)
        _draw_masks(keep_BF[b], spec.frequency_masks, spec.frequency_width, generator)
    keep_BTF = _on(x_BTF, keep_BT)[:, :, None] & _on(x_BTF, keep_BF)[:, None, :]
    return x_BTF * keep_BTF


def _draw_masks(
    keep: npt.NDArray[np.bool_],
    masks: int,
    widest: int,
    generator: np.random.Generator,
) -> None:
    for _ in range(masks):
        width = int(generator.integers(0, min(widest, len(keep)) + 1))
        start = int(generator.integers(0, len(keep) - width + 1))
        keep[start : start + width] = False


def _on(x: Tensor, mask: npt.NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(mask).to(x.device, non_blocking=True)
