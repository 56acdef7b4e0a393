"""Augmentation is drawn for an utterance, not for a batch, and stays within its bounds.

Legend: B batch, T frames, F feature bins.
"""

from collections import Counter
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.experiment.spec_augment import AugmentSpec
from asrbench.training.augmentation import change_speed, mask_spectrum

FRAMES, BINS = 100, 40
MASKS = AugmentSpec(time_share=0.5)
TIME_ONLY = AugmentSpec(frequency_masks=0, time_share=1.0)
FREQUENCY_ONLY = AugmentSpec(time_masks=0)


def masked(
    spec: AugmentSpec,
    utterances: list[str],
    lengths: list[int] | None = None,
    *,
    seed: int = 1,
    epoch: int = 0,
    bins: int = BINS,
) -> Tensor:
    """What the masks leave of ones: x_BTF, padding frames included."""
    lengths = lengths or [FRAMES] * len(utterances)
    x_BTF = torch.ones(len(utterances), max(lengths), bins)
    return mask_spectrum(x_BTF, lengths, spec, seed=seed, epoch=epoch, utterances=utterances)


def masked_frames(spec: AugmentSpec, length: int, utterance: str, seed: int = 1) -> list[int]:
    x_TF = masked(spec, [utterance], [length], seed=seed)[0]
    assert torch.equal(x_TF.amin(1), x_TF.amax(1))
    return (x_TF[:, 0] == 0).nonzero().flatten().tolist()


def masked_bins(spec: AugmentSpec, bins: int, utterance: str, seed: int = 1) -> list[int]:
    x_TF = masked(spec, [utterance], [3], bins=bins, seed=seed)[0]
    assert torch.equal(x_TF.amin(0), x_TF.amax(0))
    return (x_TF[0] == 0).nonzero().flatten().tolist()


# Masks: what they depend on


def test_masks_do_not_depend_on_batch_mates_or_order() -> None:
    lengths = {"a": 100, "b": 60, "c": 31}
    together = masked(MASKS, list("abc"), [100, 60, 31])
    shuffled = masked(MASKS, list("cab"), [31, 100, 60])
    assert torch.equal(together, shuffled[[1, 2, 0]])
    for row, (utterance, length) in zip(together, lengths.items(), strict=True):
        alone = masked(MASKS, [utterance], [length])[0]
        assert torch.equal(row[:length], alone)


def test_masks_depend_on_seed_epoch_and_utterance() -> None:
    """Of 20 utterances hardly one may have the same masks twice."""
    ids = [f"u{i}" for i in range(20)]
    first = masked(MASKS, ids)
    assert torch.equal(first, masked(MASKS, ids))
    for other in (
        masked(MASKS, ids, seed=2),
        masked(MASKS, ids, epoch=1),
        masked(MASKS, [f"v{i}" for i in range(20)]),
    ):
        same = (first == other).flatten(1).all(1)
        assert same.sum() <= 1


def test_masks_leave_global_generators_alone() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(0)
    np.random.seed(0)
    masked(MASKS, ["a"])
    assert (torch.rand(1), np.random.rand()) == expected


# Masks: where they lie


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(1, 120),
    masks=st.integers(0, 4),
    width=st.integers(0, 150),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_time_masks_are_within_their_bounds(
    length: int, masks: int, width: int, share: float, seed: int
) -> None:
    spec = AugmentSpec(frequency_masks=0, time_masks=masks, time_width=width, time_share=share)
    widest = min(width, int(share * length))
    frames = masked_frames(spec, length, "u", seed)
    assert len(frames) <= masks * widest
    runs = 1 + sum(b - a > 1 for a, b in pairwise(frames)) if frames else 0
    assert runs <= masks


@settings(deadline=None, max_examples=60)
@given(
    bins=st.integers(1, 90),
    masks=st.integers(0, 4),
    width=st.integers(0, 120),
    seed=st.integers(0, 1000),
)
def test_frequency_masks_are_within_their_bounds(
    bins: int, masks: int, width: int, seed: int
) -> None:
    spec = AugmentSpec(time_masks=0, frequency_masks=masks, frequency_width=width)
    found = masked_bins(spec, bins, "u", seed)
    assert len(found) <= masks * min(width, bins)
    runs = 1 + sum(b - a > 1 for a, b in pairwise(found)) if found else 0
    assert runs <= masks


def test_every_width_from_none_to_the_greatest_is_as_likely() -> None:
    """One mask of at most 5 frames, 1,200 draws: 200 each of 0 to 5, deviation 13."""
    spec = AugmentSpec(frequency_masks=0, time_masks=1, time_width=5, time_share=1.0)
    widths = Counter(len(masked_frames(spec, 30, f"u{i}")) for i in range(1200))
    assert set(widths) == set(range(6))
    assert max(abs(count - 200) for count in widths.values()) < 60


def test_masks_lie_anywhere_in_the_utterance() -> None:
    """The first and the last frame and bin too."""
    spec = AugmentSpec(frequency_masks=0, time_masks=1, time_width=5, time_share=1.0)
    frames = Counter(t for i in range(400) for t in masked_frames(spec, 12, f"u{i}"))
    assert set(frames) == set(range(12))
    spec = AugmentSpec(time_masks=0, frequency_masks=1, frequency_width=5)
    bins = Counter(f for i in range(400) for f in masked_bins(spec, 12, f"u{i}"))
    assert set(bins) == set(range(12))


def test_a_time_mask_covers_no_more_than_its_share() -> None:
    """A share of 0.15 of 100 frames, width 40: 15 frames; of 6 frames: none."""
    spec = AugmentSpec(frequency_masks=0, time_masks=1, time_width=40, time_share=0.15)
    assert max(len(masked_frames(spec, 100, f"u{i}")) for i in range(300)) == 15
    assert max(len(masked_frames(spec, 6, f"u{i}")) for i in range(300)) == 0


def test_time_masks_stay_off_the_padding() -> None:
    """10 valid frames of 100, masks of up to 100: all that changes is among the 10."""
    ids = [f"u{i}" for i in range(50)]
    spec = TIME_ONLY.model_copy(update={"time_width": 100})
    x_BTF = masked(spec, ["long", *ids], [100] + [10] * 50)
    assert (x_BTF[1:, :10] == 0).any()
    assert (x_BTF[1:, 10:] == 1).all()


def test_what_is_masked_is_zero_and_the_rest_as_it_was() -> None:
    generator = torch.Generator().manual_seed(0)
    x_BTF = torch.randn(8, FRAMES, BINS, generator=generator)
    before_BTF = x_BTF.clone()
    ids = [f"u{i}" for i in range(8)]
    y_BTF = mask_spectrum(x_BTF, [FRAMES] * 8, MASKS, seed=1, epoch=0, utterances=ids)
    kept_BTF = masked(MASKS, ids) == 1
    assert torch.equal(x_BTF, before_BTF)
    assert torch.equal(y_BTF, x_BTF.where(kept_BTF, 0.0))
    assert 0 < kept_BTF.float().mean() < 1


def test_no_masks_change_nothing() -> None:
    assert (masked(AugmentSpec(time_masks=0, frequency_masks=0), ["a", "b"]) == 1).all()


# Speed


def tone(hertz: float, samples: int = SAMPLE_RATE_HZ, amplitude: float = 8000) -> Samples:
    t = np.arange(samples) / SAMPLE_RATE_HZ
    return (amplitude * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


def at_speed(wave: Samples, *speeds: float, utterance: str = "u", epoch: int = 0) -> Samples:
    return change_speed(wave, AugmentSpec(speeds=speeds), seed=1, epoch=epoch, utterance=utterance)


def pitch(wave: npt.NDArray[np.int16]) -> float:
    """The strongest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), n=1 << 17))
    return float(spectrum.argmax()) * SAMPLE_RATE_HZ / (1 << 17)


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.1, 2.0])
def test_faster_is_shorter_and_higher(speed: float) -> None:
    wave = at_speed(tone(1000), speed)
    assert wave.dtype == np.int16
    assert abs(len(wave) - SAMPLE_RATE_HZ / speed) <= 1
    assert pitch(wave) == pytest.approx(1000 * speed, rel=2e-3)
    assert np.abs(wave).max() == pytest.approx(8000, rel=0.05)


def test_speed_one_is_the_same_samples() -> None:
    wave = tone(440)
    assert np.array_equal(at_speed(wave, 1.0), wave)


def test_loud_samples_are_cut_off_not_wrapped_around() -> None:
    """A square wave near full scale overshoots at its edges when it is resampled."""
    square = np.where(tone(200) >= 0, 32700, -32700).astype(np.int16)
    wave = at_speed(square, 0.9).astype(np.int64)
    assert (wave.max(), wave.min()) == (32767, -32768)
    # 200 periods cross zero 400 times; a wrapped sample would cross again.
    crossings = np.count_nonzero(np.diff(wave >= 0))
    assert crossings == pytest.approx(400, abs=4)


def test_a_read_only_view_of_the_corpus_can_be_resampled() -> None:
    wave = tone(440)
    wave.flags.writeable = False
    assert len(at_speed(wave, 1.1)) < len(wave)


def test_each_speed_is_as_likely_and_nothing_else_drawn() -> None:
    """600 draws from three: 200 each, deviation 12."""
    wave = tone(440, samples=990)
    lengths = Counter(len(at_speed(wave, 0.9, 1.0, 1.1, utterance=f"u{i}")) for i in range(600))
    assert set(lengths) == {900, 990, 1100}
    assert all(abs(count - 200) < 60 for count in lengths.values())


def test_speeds_depend_on_seed_epoch_and_utterance_only() -> None:
    wave, spec = tone(440, samples=990), AugmentSpec(speeds=(0.9, 1.0, 1.1))

    def lengths(seed: int, epoch: int, order: range) -> dict[int, int]:
        return {
            i: len(change_speed(wave, spec, seed=seed, epoch=epoch, utterance=f"u{i}"))
            for i in order
        }

    first = lengths(1, 0, range(30))
    assert first == lengths(1, 0, range(29, -1, -1))
    assert first != lengths(2, 0, range(30))
    assert first != lengths(1, 1, range(30))
    assert len(set(first.values())) == 3
