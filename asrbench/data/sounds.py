"""Folders of sounds for augmentation. They are checked before training and read when drawn."""

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache, cached

from asrbench.base.errors import UserError
from asrbench.base.folders import folders_below
from asrbench.data.audio import read_part, seconds_of
from asrbench.data.segment import AudioFault
from asrbench.data.waveform import SAMPLE_RATE_HZ, Wave

SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".sph", ".wav")
"""Suffixes of audio files. Hidden files and other suffixes (lists, licences) are ignored."""

KEPT_SECONDS = 30.0
"""A sound of at most this length is read whole and kept. Of a longer one only a part is read."""
KEPT_BYTES = 64 << 20
"""Largest size of the kept sounds in each process. The least recently used is dropped first."""

PROBES, PROBE_BYTES = 8, 8 << 10
"""Number and size of the parts of a file, evenly spaced, that its fingerprint covers."""


class Sound(NamedTuple):
    """An audio file that training can draw."""

    path: str
    seconds: float
    """Length according to the header."""

    def whole(self) -> Wave:
        """Returns the first channel at 16 kHz, read-only. Raises `UserError` for a broken file."""
        return _whole(self.path)

    def part(self, samples: int, place: float) -> Wave:
        """Returns `samples` of the sound: the first for a `place` of 0, the last for nearly 1.

        A shorter sound is repeated, from that place on. Raises `UserError` if it cannot be read.
        """
        if self.seconds <= max(KEPT_SECONDS, samples / SAMPLE_RATE_HZ):
            wave = self.whole()
        else:
            wave = _read(self.path, samples, place)
        if len(wave) < samples:
            start = int(place * len(wave))
            return wave.take(range(start, start + samples), mode="wrap")
        start = int(place * (len(wave) - samples + 1))
        return wave[start : start + samples]


@dataclass(frozen=True)
class Sounds:
    """The audio files of some folders: folder by folder, sorted by relative name."""

    files: tuple[Sound, ...]
    fingerprint: str
    """16 hexadecimal digits over the relative name, the size and 64 KiB of each file."""

    def plain(self) -> dict[str, Any]:
        """Returns the summary that `env.json` holds."""
        hours = sum(file.seconds for file in self.files) / 3600
        return {"files": len(self.files), "hours": hours, "fingerprint": self.fingerprint}

    def draw(self, generator: np.random.Generator) -> Sound:
        """Draws a file; all are equally likely."""
        return self.files[int(generator.integers(len(self.files)))]


# Before the first step


@lru_cache(maxsize=8)
def open_sounds(key: str, folders: tuple[str, ...], longest_s: float = math.inf) -> Sounds:
    """Returns the sounds of the folders that the spec names under `key`.

    The result is kept, because the cells of a study share it. Raises `UserError` for a folder that
    is missing or has no audio file, and for a file that is unreadable or longer than `longest_s`.
    """
    # Every loader process would otherwise import SciPy again.
    import scipy.signal  # noqa: F401

    named = [pair for folder in folders for pair in audio_files(key, Path(folder))]
    paths = [path for _, path in named]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(partial(_seconds, longest_s=longest_s), paths))
        faults = [each for each in found if isinstance(each, str)]
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise UserError(f"{key}: {faults[0]}; repair it or remove it from the folder{more}")
        digests = list(pool.map(_digest, paths))
    content = [(name, digest) for (name, _), digest in zip(named, digests, strict=True)]
    files = tuple(Sound(str(path), float(s)) for path, s in zip(paths, found, strict=True))
    return Sounds(files, hashlib.sha256(repr(content).encode()).hexdigest()[:16])


def audio_files(key: str, folder: Path) -> list[tuple[str, Path]]:
    """Returns (relative name, path) of the audio files in `folder`, at any depth, sorted.

    `key` stands before the line of the `UserError` for a folder without any, or that is none.
    """
    if not folder.is_dir():
        raise UserError(f"{key}: found {folder}, allowed: a folder that exists")
    found = []
    try:
        for below, names in folders_below(folder):
            for path in (below / name for name in names if name.lower().endswith(SUFFIXES)):
                relative = path.relative_to(folder)
                if not any(part.startswith(".") for part in relative.parts):
                    found.append((relative.as_posix(), path))
    except UserError as error:
        raise UserError(f"{key}: {error}") from None
    if not found:
        raise UserError(f"{key}: {folder} has no audio file; allowed: {', '.join(SUFFIXES)}")
    return sorted(found)


def _seconds(path: Path, longest_s: float) -> float | str:
    """Returns the length of a sound, or the reason why it cannot be used."""
    try:
        seconds = seconds_of(path)
    except AudioFault as fault:
        return f"{path}: {fault}"
    if seconds > longest_s:
        return f"{path}: found {seconds:.1f} s, allowed: at most {longest_s:g} s"
    return seconds


def _digest(path: Path) -> str:
    """Returns a digest of the size and the probes of a file, or of all of it up to 64 KiB."""
    size = path.stat().st_size
    found = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(PROBES):
            file.seek(number * max(0, size - PROBE_BYTES) // (PROBES - 1))
            found.update(file.read(PROBE_BYTES))
    return found.hexdigest()


# When drawn


kept_sounds = LRUCache[str, Wave](KEPT_BYTES, getsizeof=lambda wave: wave.nbytes)
"""Short sounds that this process has read, by path."""


@cached(kept_sounds)
def _whole(path: str) -> Wave:
    wave = _read(path)
    wave.flags.writeable = False
    return wave


def _read(path: str, samples: int | None = None, place: float = 0.0) -> Wave:
    try:
        return read_part(Path(path), samples, place)
    except AudioFault as fault:
        raise UserError(f"{path}: {fault}") from None
