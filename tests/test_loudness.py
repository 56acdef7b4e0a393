"""Loudness, clipping, silence and offset: by hand, and compared with a plain implementation."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asrbench.data.loudness import (
    LOUDNESS_DTYPE,
    decibels,
    is_clipped,
    is_off_centre,
    is_silent,
    measure_loudness,
)

RECORDINGS = arrays(np.int16, st.integers(1, 50))


def of(*samples: int) -> np.ndarray:
    return np.array(samples, dtype=np.int16)


def measured(*recordings: np.ndarray) -> np.ndarray:
    return np.array([measure_loudness(each) for each in recordings], dtype=LOUDNESS_DTYPE)


def test_by_hand() -> None:
    """Mean square of 3, -4, 0, 0 is 25 / 4, mean -1 / 4; in steps of which 32,768 are full scale.
    Every figure is exact: the squares are whole and the divisors powers of two."""
    assert measure_loudness(of(3, -4, 0, 0)) == (2.5 / 32768, 4 / 32768, -0.25 / 32768, False)


def test_full_scale_is_0_db_and_a_sine_3_below() -> None:
    square = measure_loudness(of(*[-32768] * 10))
    assert (square.rms, square.peak, square.offset) == (1, 1, -1)
    sine = np.round(32767 * np.sin(2 * np.pi * np.arange(16000) / 160)).astype(np.int16)
    rms, peak = decibels(np.array([measure_loudness(sine).rms, measure_loudness(sine).peak]))
    assert peak == pytest.approx(0, abs=1e-3)
    assert rms == pytest.approx(-3.0103, abs=1e-3)


def test_nothing_at_all_is_silence() -> None:
    assert measure_loudness(of()) == (0, 0, 0, False)
    assert is_silent(measured(of(), of(0, 0))).tolist() == [True, True]


@pytest.mark.parametrize(
    ("samples", "clipped"),
    [
        ((32767, 32767, 32767), True),
        ((0, 5, -32768, -32767, -32768, 7), True),
        ((32767, 32767, 32766, 32767, 32767), False),
        ((32767, -32768, 32767, -32768), False),
        ((32767, 32767), False),
        ((), False),
    ],
)
def test_clipping_is_three_in_a_row_at_one_end(samples: tuple[int, ...], clipped: bool) -> None:
    assert is_clipped(of(*samples)) is clipped
    assert measure_loudness(of(*samples)).clipped is clipped


@given(st.lists(st.sampled_from([-32768, -32767, -32766, 0, 32766, 32767]), max_size=30))
def test_clipping_is_what_counting_runs_says(samples: list[int]) -> None:
    ends = [1 if s == 32767 else -1 if s <= -32767 else 0 for s in samples]
    longest = max((len(list(run)) for end, run in groupby(ends) if end), default=0)
    assert measure_loudness(of(*samples)).clipped == (longest >= 3)


def test_silence_begins_below_a_thousandth_of_full_scale() -> None:
    """60 dB are a factor of 1,000, and 32,768 / 1,000 is 32.768."""
    assert is_silent(measured(of(0, 32, -32), of(0, 33), of(-33))).tolist() == [True, False, False]


def test_off_centre_is_beyond_a_hundredth() -> None:
    """Of full scale: 327.68, either way."""
    loudness = measured(of(327, 327), of(328, 328), of(-328, -328), of(-9000, 9000))
    assert is_off_centre(loudness).tolist() == [False, True, True, False]


@given(RECORDINGS)
def test_loudness_does_not_mind_order_and_peak_bounds_rms_bounds_offset(audio: np.ndarray) -> None:
    found = measure_loudness(audio)
    assert found.peak <= 1
    assert abs(found.offset) <= found.rms * (1 + 1e-12)
    assert found.rms <= found.peak * (1 + 1e-12)
    assert measure_loudness(audio[::-1])[1:] == found[1:]
    assert measure_loudness(audio[::-1]).rms == pytest.approx(found.rms)


@given(RECORDINGS)
def test_the_other_way_up_only_the_offset_changes_its_sign(audio: np.ndarray) -> None:
    audio = np.maximum(audio, -32767)
    one, other = measure_loudness(audio), measure_loudness(-audio)
    assert (one.rms, one.peak, one.offset, one.clipped) == (
        other.rms,
        other.peak,
        -other.offset,
        other.clipped,
    )
