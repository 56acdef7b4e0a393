"""Augmentation whose random draws are keyed by (seed, epoch, utterance).

So the draws do not depend on the rest of the batch, on workers or on ranks. Waveforms get speed,
room, noise and gain, in this order; features get masks. Legend: B batch, T frames, F bins.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import numpy.typing as npt
import torch
import torchaudio
from torch import Tensor

from asrbench.base.seeding import key
from asrbench.data.acoustics import amplified, mixed, reverberated, within_full_scale
from asrbench.data.sounds import Sounds, open_sounds
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples, Wave, rounded
from asrbench.experiment.spec_augment import AugmentSpec

LONGEST_ROOM_SECONDS = 30.0
"""The greatest length of an impulse response; a longer file is taken for a recording."""


def _generator(seed: int, epoch: int, purpose: str, utterance: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key(seed, epoch, purpose, utterance)))


# Waveforms


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of waveforms, with its sound files open. It can be pickled."""

    spec: AugmentSpec
    seed: int
    sounds: dict[str, Sounds]
    """The sounds, by the key of the spec that names their folders: `noise`, `rooms`."""

    @classmethod
    def open(cls, spec: AugmentSpec, seed: int) -> "Augmentation":
        """Returns the augmentation that `spec` describes.

        Raises `UserError` for folders without usable sounds.
        """
        limits = {"rooms": LONGEST_ROOM_SECONDS}
        sounds = {
            name: open_sounds(f"augment.{name}.folders", folders, limits.get(name, np.inf))
            for name, folders in spec.folders.items()
        }
        return cls(spec, seed, sounds)

    @property
    def fingerprints(self) -> list[str]:
        """The fingerprints of the sounds, which are part of a run's identity."""
        return [sounds.fingerprint for sounds in self.sounds.values()]

    def in_epoch(self, epoch: int) -> Callable[[Samples, str], Samples] | None:
        """Returns the function that augments a waveform, given its utterance id.

        Returns None if no waveform is augmented. The function raises `UserError` for a sound that
        has become unreadable.
        """
        idle = self.spec.speeds == (1.0,) and not self._mixes
        return None if idle else partial(self._augmented, epoch)

    @property
    def _mixes(self) -> bool:
        return bool(self.sounds) or self.spec.gain_db != (0.0, 0.0)

    def _augmented(self, epoch: int, wave: Samples, utterance: str) -> Samples:
        wave = change_speed(wave, self.spec, seed=self.seed, epoch=epoch, utterance=utterance)
        if not self._mixes:
            return wave
        draws = partial(_generator, self.seed, epoch, utterance=utterance)
        augmented = self._in_room(wave.astype(np.float64), draws("room"))
        augmented = self._with_noise(augmented, draws("noise"))
        # Scales down rather than clips, because clipping would add noise; gain may clip.
        augmented = within_full_scale(augmented)
        return rounded(amplified(augmented, draws("gain").uniform(*self.spec.gain_db)))

    def _in_room(self, wave: Wave, generator: np.random.Generator) -> Wave:
        spec = self.spec.rooms
        if spec is None or generator.random() >= spec.probability:
            return wave
        return reverberated(wave, self.sounds["rooms"].draw(generator).whole())

    def _with_noise(self, wave: Wave, generator: np.random.Generator) -> Wave:
        spec = self.spec.noise
        if spec is None or generator.random() >= spec.probability:
            return wave
        snr_db = generator.uniform(*spec.snr_db)
        noise = self.sounds["noise"].draw(generator).part(len(wave), generator.random())
        return mixed(wave, noise, snr_db)


def change_speed(
    wave: Samples, spec: AugmentSpec, *, seed: int, epoch: int, utterance: str
) -> Samples:
    """Returns `wave` at a random speed, by resampling (Ko et al. 2015, "Audio augmentation")."""
    speed = float(_generator(seed, epoch, "speed", utterance).choice(spec.speeds))
    if speed == 1.0:
        return wave
    resample = _resampler(round(SAMPLE_RATE_HZ * speed))
    resampled: Tensor = resample(torch.tensor(wave, dtype=torch.float32))
    return rounded(resampled.numpy())


@cache
def _resampler(rate_hz: int) -> torchaudio.transforms.Resample:
    """Returns a resampler from `rate_hz` to 16 kHz.

    Applied to 16 kHz audio, it changes the speed by the factor `rate_hz` / 16 kHz.
    """
    return torchaudio.transforms.Resample(rate_hz, SAMPLE_RATE_HZ)


# Features


def mask_spectrum(
    x_BTF: Tensor,
    frames_B: list[int],
    spec: AugmentSpec,
    *,
    seed: int,
    epoch: int,
    utterances: list[str],
    view: int = 0,
) -> Tensor:
    """Returns x with the masks of SpecAugment (Park et al. 2019, arXiv:1904.08779, section 2).

    Masked features are 0, which is their mean. Widths are uniform from 0 to the greatest allowed; a
    time mask covers at most `spec.time_share` of its utterance. Each `view` has masks of its own.
    """
    _, frames, bins = x_BTF.shape
    keep_BT = np.ones((len(utterances), frames), dtype=bool)
    keep_BF = np.ones((len(utterances), bins), dtype=bool)
    for b, (length, utterance) in enumerate(zip(frames_B, utterances, strict=True)):
        purpose = f"mask {view}" if view else "mask"
        generator = _generator(seed, epoch, purpose, utterance)
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
