import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrbench.data.audio import read_audio, read_part, seconds_of
from asrbench.data.segment import AudioFault
from asrbench.data.waveform import Samples

RATE_HZ = 16_000


def noise(samples: int = 8000, seed: int = 0) -> Samples:
    draws = np.random.default_rng(seed).integers(-32768, 32768, samples)
    return draws.astype(np.int16)


def tone(hz: float, rate_hz: int, seconds: float = 1.0, level: float = 0.5) -> Any:
    return level * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)


def loudest_hz(samples: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64) * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * RATE_HZ / len(samples)


def fault_of(source: Any) -> tuple[str, str]:
    with pytest.raises(AudioFault) as caught:
        read_audio(source)
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("wav", {}),
        ("wav", {"format": "WAVEX"}),
        ("flac", {}),
        ("aiff", {}),
        ("sph", {"format": "NIST"}),
        ("sph", {"format": "NIST", "endian": "BIG"}),
    ],
)
def test_16_bits_at_16_khz_come_back_bit_for_bit(
    tmp_path: Path, suffix: str, options: dict[str, str]
) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(), RATE_HZ, **{"subtype": "PCM_16"} | options)
    samples = read_audio(path)
    assert samples.dtype == np.int16
    assert samples.shape == (8000,)
    np.testing.assert_array_equal(samples, noise())


def test_reads_a_name_a_path_and_an_open_file_alike(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(), RATE_HZ)
    np.testing.assert_array_equal(read_audio(str(path)), noise())
    np.testing.assert_array_equal(read_audio(io.BytesIO(path.read_bytes())), noise())
    with path.open("rb") as file:
        np.testing.assert_array_equal(read_audio(file), noise())


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("mp3", "MPEG_LAYER_III"), ("ogg", "VORBIS"), ("opus", "OPUS")]
)
def test_lossy_formats_keep_length_pitch_and_level(
    tmp_path: Path, suffix: str, subtype: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    kind = {"mp3": "MP3"}.get(suffix, "OGG")
    soundfile.write(path, tone(440, RATE_HZ), RATE_HZ, format=kind, subtype=subtype)
    samples = read_audio(path)
    assert len(samples) == RATE_HZ
    assert loudest_hz(samples) == pytest.approx(440, abs=1)
    middle = samples[4000:12000].astype(np.float64) / 32768
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_24", "PCM_32"])
def test_finer_encodings_are_rounded_not_truncated(tmp_path: Path, subtype: str) -> None:
    wanted = noise().astype(np.float64)
    path = tmp_path / "a.wav"
    soundfile.write(path, np.clip(wanted + 0.4, -32768, 32767) / 32768, RATE_HZ, subtype=subtype)
    np.testing.assert_array_equal(read_audio(path), noise())


def test_8_bits_are_scaled_up(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([-128, 0, 64]) / 128, RATE_HZ, subtype="PCM_U8")
    assert read_audio(path).tolist() == [-32768, 0, 16384]


def test_beyond_full_scale_is_clipped(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([-3.0, 0.25, 3.0]), RATE_HZ, subtype="FLOAT")
    assert read_audio(path).tolist() == [-32768, 8192, 32767]


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled(tmp_path: Path, rate_hz: int) -> None:
    """Resampling keeps the length, and the frequency and amplitude of a tone."""
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1234, rate_hz), rate_hz, subtype="PCM_16")
    samples = read_audio(path)
    assert samples.dtype == np.int16
    assert len(samples) == RATE_HZ
    assert loudest_hz(samples) == pytest.approx(1234, abs=0.6)
    ideal = tone(1234, RATE_HZ)[1000:15000]
    error = samples[1000:15000] / 32768 - ideal
    assert np.sqrt(np.mean(error**2)) < 0.005 * np.sqrt(np.mean(ideal**2))


def test_what_16_khz_cannot_hold_does_not_fold_back(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(12_000, 44_100), 44_100, subtype="PCM_16")
    assert np.abs(read_audio(path)[1000:15000]).max() < 0.003 * 16384


def test_a_loud_file_clips_when_resampled(tmp_path: Path) -> None:
    """A full-scale square wave overshoots when resampled, and must be clipped, not wrapped."""
    path = tmp_path / "a.wav"
    square = np.repeat(np.tile([32767, -32768], 50), 200).astype(np.int16)
    soundfile.write(path, square, 32_000)
    samples = read_audio(path)
    assert samples.max() == 32767
    assert samples.min() == -32768
    # Away from the edges every sample has the sign it had.
    assert (np.sign(samples[50::100].astype(int)) == np.sign(square[100::200].astype(int))).all()


def test_reasons_of_what_is_no_utterance(tmp_path: Path) -> None:
    assert fault_of(tmp_path / "none.wav") == ("missing", "")

    (tmp_path / "empty.wav").touch()
    assert fault_of(tmp_path / "empty.wav") == ("empty file", "")
    assert fault_of(io.BytesIO()) == ("empty file", "")

    (tmp_path / "garbage.wav").write_bytes(b"this is no sound file at all" * 50)
    reason, detail = fault_of(tmp_path / "garbage.wav")
    assert reason == "unreadable"
    assert "\n" not in detail
    assert "ormat" in detail  # libsndfile's own words

    soundfile.write(tmp_path / "stereo.wav", np.zeros((100, 2)), RATE_HZ)
    assert fault_of(tmp_path / "stereo.wav") == ("wrong channel count", "2 channels")

    soundfile.write(tmp_path / "zero.wav", np.zeros(0, np.int16), RATE_HZ)
    assert fault_of(tmp_path / "zero.wav") == ("zero samples", "")

    assert fault_of(tmp_path)[0] == "unreadable"
    assert fault_of(tmp_path / "a\0b.wav")[0] == "unreadable"

    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), RATE_HZ, subtype="FLOAT")
    assert fault_of(tmp_path / "nan.wav") == ("unreadable", "has samples that are not finite")

    soundfile.write(tmp_path / "slow.wav", noise(), 7)
    assert fault_of(tmp_path / "slow.wav") == ("unreadable", "the header says 7 Hz")


def test_a_fault_says_both_things_when_printed() -> None:
    assert (
        str(AudioFault("wrong channel count", "2 channels")) == "wrong channel count (2 channels)"
    )
    assert str(AudioFault("missing")) == "missing"


FORMATS: list[tuple[str, dict[str, str]]] = [
    ("wav", {}),
    ("flac", {}),
    ("aiff", {}),
    ("sph", {"format": "NIST"}),
    ("mp3", {}),
    ("ogg", {"subtype": "VORBIS"}),
    ("opus", {"format": "OGG", "subtype": "OPUS"}),
]


@pytest.mark.parametrize(("suffix", "options"), FORMATS)
def test_a_file_cut_short_is_no_utterance(
    tmp_path: Path, suffix: str, options: dict[str, str]
) -> None:
    """A truncated file is refused, although libsndfile would read most of them."""
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(16_000) // 4, RATE_HZ, **options)
    whole = path.read_bytes()
    assert len(read_audio(path)) == 16_000
    for size in (len(whole) // 2, len(whole) * 9 // 10):
        path.write_bytes(whole[:size])
        assert fault_of(path)[0] == "unreadable"


def test_ogg_cut_between_two_pages_is_no_utterance(tmp_path: Path) -> None:
    """The remaining pages are complete, but none is marked as the last."""
    path = tmp_path / "a.opus"
    soundfile.write(path, noise(48_000) // 4, RATE_HZ, format="OGG", subtype="OPUS")
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"OggS")])
    assert fault_of(path) == ("unreadable", "cut short: no last Ogg page")


def test_what_was_cut_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(16_000), RATE_HZ)
    path.write_bytes(path.read_bytes()[: 44 + 2 * 6_000])
    assert fault_of(path) == ("unreadable", "cut short: 6000 of 16000 samples")


def with_data_size(size: Callable[[int], int]) -> bytes:
    """A wav file of 8000 samples whose data chunk claims another size."""
    file = io.BytesIO()
    soundfile.write(file, noise(), RATE_HZ, format="WAV")
    data = bytearray(file.getvalue())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", size(16_000))
    return bytes(data)


@pytest.mark.parametrize(
    "size", [lambda size: 0xFFFFFFFF, lambda size: 0x7FFFFFFF - 36, lambda size: size + 44]
)
def test_headers_of_pipes_and_of_careless_writers_are_forgiven(size: Callable[[int], int]) -> None:
    np.testing.assert_array_equal(read_audio(io.BytesIO(with_data_size(size))), noise())


# Sounds that are mixed in


@pytest.mark.parametrize(("suffix", "options"), FORMATS)
def test_length_is_known_without_decoding_and_so_is_a_cut(
    tmp_path: Path, suffix: str, options: dict[str, str]
) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(48_000) // 4, RATE_HZ, **options)
    whole = path.read_bytes()
    assert seconds_of(path) == 3
    for size in (len(whole) // 2, len(whole) * 9 // 10):
        path.write_bytes(whole[:size])
        with pytest.raises(AudioFault, match=r"^unreadable \(cut short|^zero samples"):
            seconds_of(path)


def test_length_counts_at_any_rate_and_of_any_number_of_channels(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((22_050, 6)), 44_100)
    assert seconds_of(tmp_path / "a.wav") == 0.5


@pytest.mark.parametrize("read", [seconds_of, read_part])
def test_what_is_no_sound_has_the_reasons_of_what_is_no_utterance(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    (tmp_path / "garbage.wav").write_bytes(b"this is no sound file at all" * 50)
    soundfile.write(tmp_path / "zero.wav", np.zeros(0, np.int16), RATE_HZ)
    soundfile.write(tmp_path / "slow.wav", noise(), 7)
    for name, reason in (
        ("none.wav", "missing"),
        ("garbage.wav", "unreadable (Format not recognised.)"),
        ("zero.wav", "zero samples"),
        ("slow.wav", "unreadable (the header says 7 Hz)"),
    ):
        with pytest.raises(AudioFault) as caught:
            read(tmp_path / name)
        assert str(caught.value) == reason


@pytest.mark.parametrize(("suffix", "options"), FORMATS)
def test_a_part_is_cut_from_the_whole(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    """A part can be read at any place in any format; 16-bit samples are exact."""
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(48_000) // 4, RATE_HZ, **options)
    whole = read_part(path)
    off = 0.51 if suffix in ("mp3", "ogg", "opus") else 0
    assert np.abs(whole * 32768 - read_audio(path)).max() <= off
    for place in (0, 0.37, 1 - 2**-53):
        start = int(place * (48_000 - 5_000 + 1))
        assert read_part(path, 5_000, place) == pytest.approx(whole[start:][:5_000], abs=1e-6)
    assert len(read_part(path, 50_000, 0.5)) == 48_000


def test_a_part_of_another_rate_is_no_shorter(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tone(440, 44_100), tone(880, 44_100)], 1), 44_100)
    for samples in (1, 999, 15_999):
        part = read_part(path, samples, 0.5)
        assert len(part) in (samples, samples + 1)
    assert loudest_hz(read_part(path)) == pytest.approx(440, abs=1)


def test_a_part_that_is_no_number_is_a_fault(tmp_path: Path) -> None:
    wave = np.zeros(1000)
    wave[900] = np.inf
    soundfile.write(tmp_path / "a.wav", wave, RATE_HZ, subtype="FLOAT")
    assert len(read_part(tmp_path / "a.wav", 10)) == 10
    with pytest.raises(AudioFault, match="has samples that are not finite"):
        read_part(tmp_path / "a.wav")
