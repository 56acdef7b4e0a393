"""Reverberation, noise and gain, against sums done by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.data.acoustics import (
    amplified,
    from_decibels,
    mixed,
    power,
    reverberated,
    within_full_scale,
)
from asrbench.data.waveform import Wave, rounded


def drawn(samples: int, seed: int = 0) -> Wave:
    return 1000 * np.random.default_rng(seed).standard_normal(samples)


# Rooms


def test_a_room_worked_by_hand() -> None:
    """[2, 1] in a room that answers a quarter before and a half after the direct sound.

    The whole of it is [1/2, 9/4, 2, 1/2], and the direct sound meets the speech at its second
    sample: [9/4, 2], of power 145/32, where it was 5/2 = 80/32.
    """
    result = reverberated(np.array([2.0, 1.0]), np.array([0.25, 1.0, 0.5]))
    assert result == pytest.approx(np.array([9 / 4, 2]) * np.sqrt(80 / 145), rel=1e-12)


@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 1000))
def test_a_room_is_a_convolution(samples: int, length: int, seed: int) -> None:
    """The convolution equals numpy's, from the largest peak on, with the power of the speech."""
    wave, response = drawn(samples, seed), drawn(length, seed + 1)
    whole = np.convolve(wave, response)
    wanted = whole[np.abs(response).argmax() :][:samples]
    result = reverberated(wave, response)
    assert result == pytest.approx(wanted * np.sqrt(power(wave) / power(wanted)), abs=1e-6)
    assert power(result) == pytest.approx(power(wave), rel=1e-9)


@pytest.mark.parametrize("level", [1e-4, 1.0, -3.0])
@pytest.mark.parametrize("delay", [0, 1, 700])
def test_a_single_echo_changes_nothing_wherever_it_stands(level: float, delay: int) -> None:
    """Neither delay nor gain of a single echo matters; a negative one inverts the speech."""
    wave, response = np.rint(drawn(500)), np.zeros(delay + 10)
    response[delay] = level
    assert np.array_equal(rounded(reverberated(wave, response)), np.sign(level) * wave)


def test_speech_is_not_later_in_a_room_whose_answer_is() -> None:
    wave = np.zeros(4000)
    wave[[100, 2000]] = 1000
    response = np.zeros(3000)
    response[800], response[800:] = 0.5, 0.05 * np.exp(-np.arange(2200) / 300)
    response[800] = 0.5
    result = reverberated(wave, response)
    assert set(np.argsort(-np.abs(result))[:2]) == {100, 2000}
    assert np.abs(result[:100]).max() < 1e-9


def test_no_sound_and_no_room_change_nothing() -> None:
    silence = np.zeros(10)
    assert np.array_equal(reverberated(silence, drawn(5)), silence)
    assert np.array_equal(reverberated(drawn(10), np.zeros(5)), drawn(10))


# Noise


def test_noise_worked_by_hand() -> None:
    """Powers are 4 and 1/4. At 20 dB the noise gets 1/25, which is 2/5 of its amplitude."""
    wave, noise = np.array([2.0, -2.0]), np.array([0.5, 0.5])
    assert mixed(wave, noise, 20) == pytest.approx([2 + 1 / 5, -2 + 1 / 5], rel=1e-12)


@given(st.integers(1, 100), st.floats(-100, 100), st.integers(0, 1000))
def test_the_ratio_is_the_one_asked_for(samples: int, snr_db: float, seed: int) -> None:
    wave, noise = drawn(samples, seed), drawn(samples, seed + 1)
    added = mixed(wave, noise, snr_db) - wave
    # Where one is a 10^5 of the other, their sum keeps 16 - 5 digits of it.
    assert power(wave) / power(added) == pytest.approx(10 ** (snr_db / 10), rel=1e-9)
    assert np.corrcoef(added, noise)[0, 1] > 1 - 1e-9 if samples > 1 else added * noise > 0


def test_silence_has_no_ratio_to_noise() -> None:
    silence, noise = np.zeros(10), drawn(10)
    assert np.array_equal(mixed(silence, noise, 10), silence)
    assert np.array_equal(mixed(noise, silence, 10), noise)


# Levels


def test_decibels() -> None:
    assert from_decibels(0) == 1
    assert from_decibels(-20) == pytest.approx(1 / 100)
    assert amplified(np.array([3.0, -1.0]), 20) == pytest.approx([30, -10])
    assert power(np.array([3, -1], dtype=np.int16)) == 5


def test_power_of_16_bits_does_not_overflow() -> None:
    assert power(np.full(10, -32768, dtype=np.int16)) == 2**30


def test_what_needs_more_than_16_bits_is_turned_down_whole() -> None:
    """A wave within 16 bits is unchanged, also at both ends of the scale."""
    loud = np.array([65_534.0, -16_384.0, 10.0])
    assert within_full_scale(loud).tolist() == [32_767, -8_192, 5]
    assert within_full_scale(-loud).tolist() == pytest.approx([-32_768, 8_192.25, -5.0001526])
    edges = np.array([32_767.0, -32_768.0])
    assert within_full_scale(edges) is edges
