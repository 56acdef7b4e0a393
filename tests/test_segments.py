"""Segments of recordings have the samples of the whole, and only they are decoded."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from doors import sound
from hypothesis import given
from hypothesis import strategies as st

from asrbench.base.errors import Fault
from asrbench.data.audio import read_audio, read_segment
from asrbench.data.segment import AudioFault, Segment
from asrbench.data.waveform import Samples

RATE_HZ = 16_000
SECONDS = 6

LOSSLESS = {
    "wav": {"subtype": "PCM_16"},
    "flac": {},
    "aiff": {"subtype": "PCM_16"},
    "sph": {"format": "NIST", "subtype": "PCM_16"},
}
LOSSY = {
    "mp3": {"format": "MP3"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}


def speechlike(rate_hz: int = RATE_HZ) -> Any:
    """Makes a gliding tone over faint noise, which exercises the bit reservoir of mp3."""
    t = np.arange(SECONDS * rate_hz) / rate_hz
    tone = 0.3 * np.sin(2 * np.pi * (300 + 60 * np.sin(2 * t)) * t) * (np.sin(3 * t) > 0)
    return tone + 0.02 * np.random.default_rng(0).standard_normal(len(t))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.<suffix> in every format, 6 s of noise where nothing is lost and of tones where it is."""
    home = tmp_path_factory.mktemp("recordings")
    for suffix, options in LOSSLESS.items():
        soundfile.write(home / f"a.{suffix}", sound("a", SECONDS * RATE_HZ), RATE_HZ, **options)
    for suffix, options in LOSSY.items():
        soundfile.write(home / f"a.{suffix}", speechlike(), RATE_HZ, **options)
    return home


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Records how many frames each read of a sound file asks for."""
    frames: list[int] = []
    read = soundfile.SoundFile.read

    def counting(self: Any, *arguments: Any, **options: Any) -> Any:
        found = read(self, *arguments, **options)
        frames.append(len(found))
        return found

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    return frames


def fault_of(path: Path, *segment: Any) -> tuple[str, str]:
    with pytest.raises(AudioFault) as caught:
        read_segment(path, Segment(*segment))
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize("suffix", LOSSLESS)
@given(
    ends=st.lists(st.integers(0, SECONDS * 10_000), min_size=2, max_size=2, unique=True).map(sorted)
)
def test_a_segment_is_a_slice_sample_for_sample(
    recordings: Path, suffix: str, ends: list[int]
) -> None:
    """Draws times in tenths of a millisecond."""
    start_s, end_s = (end / 10_000 for end in ends)
    wanted = sound("a", SECONDS * RATE_HZ)[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]
    if len(wanted):
        found = read_segment(recordings / f"a.{suffix}", Segment(start_s, end_s))
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("suffix", LOSSLESS | LOSSY)
def test_to_the_end_and_from_the_beginning(recordings: Path, suffix: str) -> None:
    path = recordings / f"a.{suffix}"
    whole = read_audio(path)
    np.testing.assert_array_equal(read_segment(path, Segment()), whole)
    np.testing.assert_array_equal(read_segment(path, Segment(0, SECONDS)), whole)
    np.testing.assert_array_equal(read_segment(path, Segment(0, 1.5)), whole[:24_000])
    np.testing.assert_array_equal(read_segment(path, Segment(4.5)), whole[72_000:])


@pytest.mark.parametrize("suffix", LOSSY)
@pytest.mark.parametrize("start_s", [0.0001, 0.7, 2.2, 3.3333, 5.9])
def test_lossy_formats_are_entered_in_the_middle(
    recordings: Path, suffix: str, start_s: float
) -> None:
    """A decoder that starts in the middle of an mp3 or Opus stream gives other samples."""
    path = recordings / f"a.{suffix}"
    start = round(start_s * RATE_HZ)
    found = read_segment(path, Segment(start_s, start_s + 0.1))
    np.testing.assert_array_equal(found, read_audio(path)[start : start + len(found)])
    assert len(found) == 1600


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_are_cut_before_they_are_resampled(tmp_path: Path, rate_hz: int) -> None:
    """A segment is resampled as a file of the segment alone would be."""
    wave = sound("a", rate_hz)
    soundfile.write(tmp_path / "whole.wav", wave, rate_hz)
    start, end = round(0.1234 * rate_hz), round(0.5678 * rate_hz)
    soundfile.write(tmp_path / "part.wav", wave[start:end], rate_hz)
    np.testing.assert_array_equal(
        read_segment(tmp_path / "whole.wav", Segment(0.1234, 0.5678)),
        read_audio(tmp_path / "part.wav"),
    )


@pytest.mark.parametrize("suffix", ["wav", "flac", "sph"])
def test_the_named_channel_is_read(tmp_path: Path, suffix: str) -> None:
    left, right = sound("left"), sound("right")
    path = tmp_path / f"a.{suffix}"
    kind = {"sph": "NIST"}.get(suffix, suffix.upper())
    soundfile.write(path, np.stack([left, right], 1), RATE_HZ, format=kind, subtype="PCM_16")
    np.testing.assert_array_equal(read_segment(path, Segment(channel=0)), left)
    np.testing.assert_array_equal(read_segment(path, Segment(channel=1)), right)
    np.testing.assert_array_equal(read_segment(path, Segment(0.01, 0.03, 1)), right[160:480])
    assert fault_of(path, 0.0, None, 2) == ("no such channel", "3 of 2")
    assert fault_of(path, 0.01, None, 2) == ("no such channel", "3 of 2")
    assert fault_of(path) == ("wrong channel count", "2 channels")
    assert fault_of(path, 0.01) == ("wrong channel count", "2 channels")


def test_beyond_the_end_is_a_fault_but_for_a_rounding(recordings: Path) -> None:
    path = recordings / "a.flac"
    whole = read_audio(path)
    np.testing.assert_array_equal(read_segment(path, Segment(5.0, 6.05)), whole[80_000:])
    detail = "samples 80000 to 96801 of 96000, which are 6.000 s"
    assert fault_of(path, 5.0, 96_801 / RATE_HZ) == ("beyond the end", detail)
    detail = "samples 96000 to 96160 of 96000, which are 6.000 s"
    assert fault_of(path, 6.0, 6.01) == ("beyond the end", detail)
    assert fault_of(path, 6.0)[0] == "beyond the end"


@pytest.mark.parametrize(
    ("times", "detail"),
    [
        ((2.0, 1.0), "from 2 s to 1 s"),
        ((1.0, 1.0), "from 1 s to 1 s"),
        ((-0.5, 1.0), "from -0.5 s to 1 s"),
        ((float("nan"), 1.0), "from nan s to 1 s"),
        ((0.0, float("nan")), "from 0 s to nan s"),
        ((0.0, float("inf")), "from 0 s to inf s"),
        ((float("inf"), None), "from inf s to inf s"),
        ((0.0, 1e308), "from 0 s to 1e+308 s"),
        ((1e308, None), "from 1e+308 s to inf s"),
    ],
)
def test_times_that_do_not_follow_each_other(times: Any, detail: str) -> None:
    with pytest.raises(Fault) as caught:
        Segment(*times)
    assert (caught.value.reason, caught.value.detail) == ("segment times", detail)


def test_faults_of_the_file_are_those_of_a_whole_one(tmp_path: Path) -> None:
    assert fault_of(tmp_path / "none.wav", 0.1, 0.2) == ("missing", "")
    (tmp_path / "empty.wav").touch()
    assert fault_of(tmp_path / "empty.wav", 0.1, 0.2) == ("empty file", "")
    (tmp_path / "garbage.wav").write_bytes(b"garbage" * 999)
    assert fault_of(tmp_path / "garbage.wav", 0.1, 0.2)[0] == "unreadable"
    assert fault_of(tmp_path, 0.1, 0.2)[0] == "unreadable"
    soundfile.write(tmp_path / "nan.wav", np.array([0.0] * 500 + [np.nan]), RATE_HZ, "FLOAT")
    assert fault_of(tmp_path / "nan.wav", 0.01)[0] == "unreadable"
    assert len(read_segment(tmp_path / "nan.wav", Segment(0.0, 0.02))) == 320


@pytest.mark.parametrize("suffix", LOSSLESS | LOSSY)
def test_of_a_recording_cut_short_only_what_is_there_is_read(
    recordings: Path, tmp_path: Path, suffix: str
) -> None:
    data = (recordings / f"a.{suffix}").read_bytes()
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data[: len(data) // 2])
    for segment in ((4.0, 5.0), (1.0, None)):
        reason, _ = fault_of(path, *segment)
        assert reason in ("unreadable", "beyond the end")
    if suffix in LOSSLESS:
        whole = read_audio(recordings / f"a.{suffix}")
        np.testing.assert_array_equal(read_segment(path, Segment(1.0, 2.0)), whole[16000:32000])


def test_a_flac_whose_header_has_no_length_is_one_fault(tmp_path: Path) -> None:
    """An encoder that writes into a pipe leaves bits 108 to 143 of STREAMINFO zero."""
    path = tmp_path / "a.flac"
    soundfile.write(path, sound("a"), RATE_HZ)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    wanted = ("unreadable", "the header has no length; encode it from a file")
    assert fault_of(path) == wanted
    assert fault_of(path, 0.01, 0.02) == wanted


@pytest.mark.parametrize("suffix", ["wav", "flac", "sph", "ogg"])
def test_only_the_segment_is_decoded(recordings: Path, suffix: str, decoded: list[int]) -> None:
    for i in range(20):
        read_segment(recordings / f"a.{suffix}", Segment(i * 0.3, i * 0.3 + 0.2))
    assert decoded == [3200] * 20


def test_opus_is_decoded_for_two_seconds_before(recordings: Path, decoded: list[int]) -> None:
    read_segment(recordings / "a.opus", Segment(5.0, 5.5))
    read_segment(recordings / "a.opus", Segment(1.0, 1.5))
    assert decoded == [40_000, 24_000]


def test_an_mp3_is_decoded_once_whatever_the_threads(
    recordings: Path, tmp_path: Path, decoded: list[int]
) -> None:
    path = tmp_path / "b.mp3"
    path.write_bytes((recordings / "a.mp3").read_bytes())
    segments = [Segment(i * 0.05, i * 0.05 + 0.04) for i in range(100)]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda segment: read_segment(path, segment), segments))
    assert decoded == [96_000]
    whole = read_audio(path)
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(part, whole[i * 800 : i * 800 + 640])


def test_another_mp3_in_the_place_of_the_first_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    parts: list[Samples] = []
    for level in (0.2, 0.9):
        soundfile.write(path, level * speechlike(), RATE_HZ, format="MP3")
        parts.append(read_segment(path, Segment(1.0, 2.0)))
        np.testing.assert_array_equal(parts[-1], read_audio(path)[16_000:32_000])
    assert not np.array_equal(parts[0], parts[1])
