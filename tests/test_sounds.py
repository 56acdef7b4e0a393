"""Folders of sounds for augmentation: how they are listed, checked and read."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrbench.base.errors import UserError
from asrbench.data import sounds
from asrbench.data.sounds import KEPT_SECONDS, Sound, Sounds, open_sounds
from asrbench.data.waveform import SAMPLE_RATE_HZ, Wave

KEY = "augment.noise.folders"
LONG = int(2 * KEPT_SECONDS * SAMPLE_RATE_HZ)


@pytest.fixture(autouse=True)
def _afresh() -> None:
    """Clears what other tests left in the caches."""
    open_sounds.cache_clear()
    sounds.kept_sounds.clear()


def drawn(samples: int, seed: int = 0) -> Wave:
    """Draws a wave whose values fit 16 bits."""
    steps = np.random.default_rng(seed).integers(-20_000, 20_000, samples)
    return (steps / 32_768).astype(np.float32)


def write(path: Path, wave: Wave, rate_hz: int = SAMPLE_RATE_HZ) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate_hz)
    return path


def opened(*folders: Path, longest_s: float = 1e9) -> Sounds:
    open_sounds.cache_clear()
    return open_sounds(KEY, tuple(map(str, folders)), longest_s)


def names(found: Sounds, folder: Path) -> list[str]:
    return [Path(file.path).relative_to(folder).as_posix() for file in found.files]


def refused(*folders: Path, longest_s: float = 1e9) -> str:
    with pytest.raises(UserError) as caught:
        opened(*folders, longest_s=longest_s)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is found


def test_audio_is_found_at_any_depth_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.wav", "a/z.flac", "a/b/c.OGG", "c.d/e.aiff"):
        write(tmp_path / name, drawn(1600))
    assert names(opened(tmp_path), tmp_path) == ["a/b/c.OGG", "a/z.flac", "b.wav", "c.d/e.aiff"]


def test_what_is_hidden_or_has_another_suffix_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", drawn(1600))
    for name in ("LICENSE", "list.txt", "wav", "._a.wav", ".cache/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no sound")
    assert names(opened(tmp_path), tmp_path) == ["a.wav"]


def test_links_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.wav", drawn(1600))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "elsewhere")
    assert names(opened(tmp_path / "here"), tmp_path / "here") == ["linked/a.wav"]


def test_the_order_in_which_the_system_lists_a_folder_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.wav", "a.wav", "c/a.wav", "d/a.wav"):
        write(tmp_path / name, drawn(1600, seed=ord(name[0])))
    before, walk = opened(tmp_path), os.walk

    def backwards(*parts: object, **options: object) -> object:
        for root, folders, files in walk(*parts, **options):  # type: ignore[call-overload]
            folders.reverse()
            yield root, folders, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    assert opened(tmp_path) == before


def test_folders_follow_one_another(tmp_path: Path) -> None:
    write(tmp_path / "b" / "a.wav", drawn(1600))
    write(tmp_path / "a" / "b.wav", drawn(3200))
    found = opened(tmp_path / "b", tmp_path / "a")
    assert names(found, tmp_path) == ["b/a.wav", "a/b.wav"]
    assert [file.seconds for file in found.files] == [0.1, 0.2]
    assert found.plain() == {
        "files": 2,
        "hours": pytest.approx(0.3 / 3600),
        "fingerprint": found.fingerprint,
    }


def test_each_file_is_as_likely() -> None:
    """1,200 draws of four files give 300 each, with a standard deviation of 15."""
    found = Sounds(tuple(Sound(name, 1.0) for name in "abcd"), "")
    generator = np.random.default_rng(0)
    drawn_names = [found.draw(generator).path for _ in range(1200)]
    assert all(abs(drawn_names.count(name) - 300) < 75 for name in "abcd")


# What is refused


def test_a_folder_that_is_none_or_has_no_audio_is_one_line(tmp_path: Path) -> None:
    gone, empty = tmp_path / "gone", tmp_path / "empty"
    assert refused(gone) == f"{KEY}: found {gone}, allowed: a folder that exists"
    file = write(tmp_path / "a.wav", drawn(1600))
    assert refused(file) == f"{KEY}: found {file}, allowed: a folder that exists"
    empty.mkdir()
    (empty / "list.txt").write_text("a.wav")
    assert refused(empty).startswith(f"{KEY}: {empty} has no audio file; allowed: .aif, .aiff, ")
    assert refused(tmp_path, empty) == refused(empty)


def test_a_file_that_cannot_be_read_is_one_line_with_its_name(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", drawn(1600))
    bad = tmp_path / "b.wav"
    bad.write_text("no sound" * 100)
    line = refused(tmp_path)
    assert line.startswith(f"{KEY}: {bad}: unreadable (")
    assert line.endswith("); repair it or remove it from the folder")
    (tmp_path / "c.flac").touch()
    (tmp_path / "d.flac").symlink_to(tmp_path / "gone")
    assert refused(tmp_path) == f"{line} (and 2 more)"
    bad.unlink()
    empty = f"{KEY}: {tmp_path / 'c.flac'}: empty file; repair it or remove it from the folder"
    assert refused(tmp_path) == f"{empty} (and 1 more)"


def test_a_response_that_is_a_recording_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", drawn(4000))
    assert len(opened(tmp_path, longest_s=0.25).files) == 1
    path = write(tmp_path / "b.wav", drawn(4800))
    assert refused(tmp_path, longest_s=0.25) == (
        f"{KEY}: {path}: found 0.3 s, allowed: at most 0.25 s; repair it or remove it from the "
        f"folder"
    )


# The fingerprint


def test_the_fingerprint_is_that_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    for seed, name in enumerate(("a.wav", "b/c.wav")):
        write(tmp_path / "one" / name, drawn(1600, seed))
    before = opened(tmp_path / "one").fingerprint
    assert len(before) == 16
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two" / "README").write_text("no sound")
    assert opened(tmp_path / "two").fingerprint == before
    os.utime(tmp_path / "two" / "a.wav", (0, 0))
    assert opened(tmp_path / "two").fingerprint == before


def test_the_fingerprint_changes_with_names_files_and_content(tmp_path: Path) -> None:
    found = set()
    for seeds in ({"a.wav": 0}, {"a.wav": 1}, {"b.wav": 0}, {"a.wav": 0, "b.wav": 1}):
        folder = tmp_path / str(len(found))
        for name, seed in seeds.items():
            write(folder / name, drawn(1600, seed))
        found.add(opened(folder).fingerprint)
    assert len(found) == 4


@pytest.mark.parametrize("samples", [1600, LONG])
def test_another_level_is_another_fingerprint_though_start_and_end_are_silent(
    samples: int, tmp_path: Path
) -> None:
    """A change of the content changes the fingerprint, in short files and in long ones."""
    found = set()
    for level in (0, 1, 2):
        wave = drawn(samples) / 4 * level
        wave[: samples // 4] = wave[-samples // 4 :] = 0
        write(tmp_path / "a.wav", wave)
        found.add(opened(tmp_path).fingerprint)
    assert len(found) == 3


# What is read


def sound(path: Path, wave: Wave, rate_hz: int = SAMPLE_RATE_HZ) -> Sound:
    return Sound(str(write(path, wave, rate_hz)), len(wave) / rate_hz)


def test_a_part_begins_at_its_place(tmp_path: Path) -> None:
    """Worked: of 10 samples there are 7 places for 4; of these 0.5 is the fourth, 0.999 the last.
    Read whole or sought, the samples are the same."""
    wave = drawn(10)
    short = sound(tmp_path / "a.wav", wave)
    for place, start in ((0.0, 0), (0.5, 3), (0.999, 6)):
        assert np.array_equal(short.part(4, place), wave[start : start + 4])
    wave = drawn(LONG)
    long = sound(tmp_path / "b.wav", wave)
    for place in (0.0, 0.3, 0.5, 1 - 2**-53):
        start = int(place * (LONG - 4 + 1))
        assert np.array_equal(long.part(4, place), wave[start : start + 4])
    assert np.array_equal(long.part(LONG, 0.7), wave)


def test_what_is_too_short_is_repeated_from_its_place(tmp_path: Path) -> None:
    wave = drawn(3)
    short = sound(tmp_path / "a.wav", wave)
    assert np.array_equal(short.part(8, 0.0), wave[[0, 1, 2, 0, 1, 2, 0, 1]])
    assert np.array_equal(short.part(8, 0.5), wave[[1, 2, 0, 1, 2, 0, 1, 2]])
    wave = drawn(LONG)
    long = sound(tmp_path / "b.wav", wave)
    assert np.array_equal(
        long.part(LONG + 2, 0.5), np.roll(wave, -LONG // 2).take(range(LONG + 2), mode="wrap")
    )


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [1, 40])
def test_a_part_has_as_many_samples_whatever_the_rate(
    rate_hz: int, seconds: int, tmp_path: Path
) -> None:
    """A tone of 440 Hz keeps its pitch: its zero crossings are counted."""
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(seconds * rate_hz) / rate_hz)
    read = sound(tmp_path / "a.wav", wave, rate_hz).part(15_999, 0.4)
    assert read.shape == (15_999,)
    assert np.count_nonzero(np.diff(read >= 0)) == pytest.approx(880, abs=2)


def test_the_first_channel_counts_and_nothing_is_clipped(tmp_path: Path) -> None:
    left, right = 3 * drawn(1600), drawn(1600, seed=1)
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([left, right], 1), SAMPLE_RATE_HZ, subtype="FLOAT")
    (file,) = opened(tmp_path).files
    assert np.array_equal(file.whole(), left)
    assert np.abs(left).max() > 1


def test_short_sounds_are_kept_within_bounds_and_long_ones_not(tmp_path: Path) -> None:
    """64 MiB hold 34 sounds of 30 s at 4 bytes a sample; of 36 the first two are dropped."""
    wave = drawn(int(KEPT_SECONDS * SAMPLE_RATE_HZ))
    first = sound(tmp_path / "0.wav", wave)
    files = [first, *(Sound(str(tmp_path / f"{i}.wav"), first.seconds) for i in range(1, 36))]
    for file in files[1:]:
        os.link(first.path, file.path)
    for file in files:
        file.part(100, 0.5)
    sound(tmp_path / "long.wav", drawn(LONG)).part(100, 0.5)
    kept = sounds.kept_sounds
    assert len(kept) == sounds.KEPT_BYTES // wave.nbytes == 34
    assert kept.currsize == 34 * wave.nbytes
    shutil.rmtree(tmp_path)
    assert np.array_equal(files[2].whole(), wave)
    with pytest.raises(UserError, match=r"1\.wav: missing$"):
        files[1].whole()


def test_what_is_kept_cannot_be_written_to(tmp_path: Path) -> None:
    file = sound(tmp_path / "a.wav", drawn(1600))
    with pytest.raises(ValueError, match="read-only"):
        file.part(100, 0.0)[:] = 0


def test_a_file_that_has_changed_since_is_one_line(tmp_path: Path) -> None:
    file = sound(tmp_path / "a.wav", drawn(LONG))
    Path(file.path).write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"a\.wav: unreadable \(") as caught:
        file.part(100, 0.5)
    assert "\n" not in str(caught.value)
