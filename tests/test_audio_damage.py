"""Damage of recordings: nothing is dropped in silence, and no header takes time or memory."""

import io
import os
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_audio import RATE_HZ, fault_of, noise, with_data_size

from asrbench.data import containers, resampling
from asrbench.data.audio import read_audio, read_segment, seconds_of
from asrbench.data.segment import AudioFault, Segment


def encoded(format: str, subtype: str | None = None, samples: int = 16_000) -> bytes:
    """A file of noise in memory."""
    stream = io.BytesIO()
    soundfile.write(stream, noise(samples), RATE_HZ, format=format, subtype=subtype)
    return stream.getvalue()


JOINABLE = [
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", None),
    ("FLAC", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("NIST", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
]


@pytest.mark.parametrize(("format", "subtype"), JOINABLE)
def test_of_two_files_in_one_none_is_dropped(format: str, subtype: str | None) -> None:
    first, second = encoded(format, subtype), encoded(format, subtype, 12_000)
    assert len(read_audio(io.BytesIO(first))) == 16_000
    for data in (first + second, first + first):
        assert fault_of(io.BytesIO(data)) == (
            "unreadable",
            "several files in one, of which only the first is decoded",
        )


@pytest.mark.parametrize("format", ["WAV", "AIFF"])
def test_libsndfile_itself_refuses_two_files_in_one(format: str) -> None:
    data = encoded(format, "PCM_16")
    assert fault_of(io.BytesIO(data + data))[0] == "unreadable"


@pytest.mark.parametrize(("format", "subtype"), JOINABLE)
def test_a_part_of_two_files_in_one_is_rejected(
    tmp_path: Path, format: str, subtype: str | None
) -> None:
    """The second file begins far from both ends, and across two of the pieces that are read."""
    first = encoded(format, subtype, 300_000)
    (tmp_path / "a").write_bytes(first + first)
    with pytest.raises(AudioFault) as caught:
        read_segment(tmp_path / "a", Segment(0.5, 1.0))
    assert caught.value.detail == "several files in one, of which only the first is decoded"
    (tmp_path / "a").write_bytes(first)
    assert len(read_segment(tmp_path / "a", Segment(0.5, 1.0))) == RATE_HZ // 2


def test_a_mark_across_two_pieces_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("FLAC", "PCM_16")
    for piece in range(len(data) - 40, len(data) + 1):
        monkeypatch.setattr(containers, "_PIECE", piece)
        assert containers.is_concatenated("FLAC", io.BytesIO(data + data))
        assert not containers.is_concatenated("FLAC", io.BytesIO(data))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_of_a_damaged_ogg_page_nothing_is_dropped(tmp_path: Path, subtype: str) -> None:
    """libsndfile skips the page, and the recording would be a third shorter."""
    data = bytearray(encoded("OGG", subtype, 48_000))
    data[len(data) // 2] ^= 16
    reason, detail = fault_of(io.BytesIO(bytes(data)))
    assert reason == "unreadable"
    assert detail.startswith("damaged: the Ogg page at byte ")
    (tmp_path / "a.ogg").write_bytes(data)
    for read in (seconds_of, lambda path: read_segment(path, Segment(0, 0.5))):
        with pytest.raises(AudioFault, match="damaged: the Ogg page"):
            read(tmp_path / "a.ogg")


@pytest.mark.parametrize("format", ["AU", "W64", "RF64", "AIFF", "WAV"])
def test_half_of_a_file_is_rejected(format: str) -> None:
    data = encoded(format, "PCM_16")
    assert len(read_audio(io.BytesIO(data))) == 16_000
    reason, detail = fault_of(io.BytesIO(data[: len(data) // 2]))
    assert reason == "unreadable"
    assert detail.startswith("cut short: ")


def test_warnings_of_libmpg123_do_not_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded("MP3")
    fault_of(io.BytesIO(data[: len(data) // 2]))
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_a_header_of_many_samples_takes_no_memory() -> None:
    """STREAMINFO has the number of samples in the last 4 bits of byte 21 and in bytes 22 to 25."""
    data = bytearray(encoded("FLAC", "PCM_16"))
    data[21] |= 0x0F
    data[22:26] = b"\xff\xff\xff\xff"
    reason, detail = fault_of(io.BytesIO(bytes(data)))
    assert (reason, detail) == ("too long", "1193.0 hours, 1 channels, by the header; cut it")


def test_gsm_is_rejected() -> None:
    assert fault_of(io.BytesIO(encoded("WAV", "GSM610")))[0] == "unreadable"


def test_a_format_whose_damage_nothing_shows_is_not_read() -> None:
    assert fault_of(io.BytesIO(encoded("VOC", "PCM_16"))) == (
        "unreadable",
        "VOC is not read; convert it to wav",
    )


@pytest.mark.parametrize("value", [1e30, -1e30, 32_000.0])
def test_floats_far_beyond_full_scale_are_no_sound(value: float) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.array([0.0, value] * 500), 8_000, "DOUBLE", format="WAV")
    reason, detail = fault_of(io.BytesIO(file.getvalue()))
    assert (reason, detail) == (
        "unreadable",
        f"has floats up to {abs(value):g}, and full scale is 1",
    )


def test_a_rate_without_a_common_factor_is_not_resampled_for_seconds() -> None:
    """The filter for it would have 15 million coefficients."""
    for rate_hz, allowed in ((767_999, False), (100_003, False), (768_000, True), (44_101, True)):
        file = io.BytesIO()
        soundfile.write(file, noise(), rate_hz, "PCM_16", format="WAV")
        if allowed:
            assert len(read_audio(io.BytesIO(file.getvalue()))) == -(-8_000 * RATE_HZ // rate_hz)
        else:
            assert fault_of(io.BytesIO(file.getvalue()))[1] == f"the header says {rate_hz} Hz"


def test_a_header_that_leads_before_the_start_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = encoded("AIFF", "PCM_16")
    for place in range(4, 54):
        for value in (b"\xff\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0"):
            for format in (data, encoded("WAV", "PCM_16"), encoded("CAF", "PCM_16")):
                with suppress(AudioFault):
                    read_audio(io.BytesIO(format[:place] + value + format[place + 4 :]))
    assert capfd.readouterr().err == ""


def test_a_recording_of_gigabytes_is_judged_by_its_header(tmp_path: Path) -> None:
    """Neither takes memory: the first is too long, of the second a part is read."""
    path = tmp_path / "a.wav"
    size = 3_000_000_000
    head = bytearray(with_data_size(lambda _: size)[:44])
    path.write_bytes(head)
    os.truncate(path, 44 + size)
    tracemalloc.start()
    try:
        assert fault_of(path)[0] == "too long"
        assert not read_segment(path, Segment(90_000, 90_002)).any()
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    assert fault_of(tmp_path / "a.wav") == ("unreadable", "it is no regular file")


@pytest.mark.parametrize("rate_hz", [1_000, 8_000, 11_025, 16_000, 44_100, 44_101, 48_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_blocks_of_a_recording_are_resampled_like_the_whole(
    rate_hz: int, subtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for samples in (1, 4_999, 20_000, 150_001):
        file = io.BytesIO()
        soundfile.write(file, noise(samples) / 40_000, rate_hz, subtype, format="WAV")
        data = file.getvalue()
        whole = read_audio(io.BytesIO(data))
        assert len(whole) == -(-samples * RATE_HZ // rate_hz)
        monkeypatch.setattr(resampling, "_BLOCK_SAMPLES", 5_000)
        np.testing.assert_array_equal(read_audio(io.BytesIO(data)), whole)
        monkeypatch.undo()


def test_an_hour_at_another_rate_takes_little_more_memory_than_the_file(tmp_path: Path) -> None:
    """As floats its samples alone would take four times as much as the file."""
    soundfile.write(tmp_path / "a.wav", np.zeros(60 * 8_000, np.int16), 8_000)
    read_audio(tmp_path / "a.wav")  # imports SciPy
    soundfile.write(tmp_path / "a.wav", np.zeros(3_600 * 8_000, np.int16), 8_000)
    tracemalloc.start()
    try:
        assert len(read_audio(tmp_path / "a.wav")) == 3_600 * RATE_HZ
        assert tracemalloc.get_traced_memory()[1] < 5 * (tmp_path / "a.wav").stat().st_size
    finally:
        tracemalloc.stop()
