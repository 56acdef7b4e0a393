"""Folders of sounds that training draws from: checked before the first step, read when drawn."""

import hashlib
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache, cached

from asrbench.base.errors import UserError
from asrbench.data.audio import AudioFault, read_part, seconds_of
from asrbench.data.waveform import SAMPLE_RATE_HZ, Wave

SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".sph", ".wav")
"""Of audio files. What has another, or is hidden, is passed over: lists, licences, pictures."""

KEPT_SECONDS = 30.0
"""A sound no longer than this is read whole and kept; of a longer one, what is asked for."""
KEPT_BYTES = 64 << 20
"""Of kept sounds, in each process that reads any; those not drawn for longest go first."""

PROBES, PROBE_BYTES = 8, 8 << 10
"""What enters the fingerprint of a file: so many parts, evenly from its start to its end."""


class Sound(NamedTuple):
    path: str
    seconds: float
    """By its header."""

    def whole(self) -> Wave:
        """The first channel at 16 kHz; not to be written to. Raises `UserError`."""
        return _whole(self.path)

    def part(self, samples: int, place: float) -> Wave:
        """So many samples: the first there are where `place` is 0, the last where it is nearly 1.

        A shorter sound is repeated, and begins at that place in it. Raises `UserError`.
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
    """The audio files in some folders: folder by folder, each sorted by relative name."""

    files: tuple[Sound, ...]
    fingerprint: str
    """16 hexadecimal digits over relative name, size and 64 KiB of the content of each file."""

    def plain(self) -> dict[str, Any]:
        """What `env.json` holds of them."""
        hours = sum(file.seconds for file in self.files) / 3600
        return {"files": len(self.files), "hours": hours, "fingerprint": self.fingerprint}

    def draw(self, generator: np.random.Generator) -> Sound:
        """Each file is as likely."""
        return self.files[int(generator.integers(len(self.files)))]


# Before the first step


@lru_cache(maxsize=8)
def open_sounds(key: str, folders: tuple[str, ...], longest_s: float = math.inf) -> Sounds:
    """What the spec names under `key`; remembered, because the cells of a study share it.

    Raises `UserError` for a folder that is missing or has no audio file, and for a file that by
    its header is none, or is longer than `longest_s`.
    """
    # What reads and reverberates needs it, and each of a loader's processes would load it anew.
    import scipy.signal  # noqa: F401

    named = [pair for folder in folders for pair in _listed(key, Path(folder))]
    paths = [path for _, path in named]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(partial(_seconds, longest_s=longest_s), paths))
        faults = [each for each in found if isinstance(each, str)]
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise UserError(f"{key}: {faults[0]}; mend it or take it out of the folder{more}")
        digests = list(pool.map(_digest, paths))
    content = [(name, digest) for (name, _), digest in zip(named, digests, strict=True)]
    files = tuple(Sound(str(path), float(s)) for path, s in zip(paths, found, strict=True))
    return Sounds(files, hashlib.sha256(repr(content).encode()).hexdigest()[:16])


def _listed(key: str, folder: Path) -> list[tuple[str, Path]]:
    """The audio files in `folder`, at any depth, by relative name, sorted."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{key}: {error.filename}: cannot be read ({error.strerror})")

    if not folder.is_dir():
        raise UserError(f"{key}: found {folder}, allowed: a folder that exists")
    found = []
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                path = Path(root, name)
                found.append((path.relative_to(folder).as_posix(), path))
    if not found:
        raise UserError(f"{key}: {folder} has no audio file; allowed: {', '.join(SUFFIXES)}")
    return sorted(found)


def _seconds(path: Path, longest_s: float) -> float | str:
    """The length of a sound, or what is wrong with it."""
    try:
        seconds = seconds_of(path)
    except AudioFault as fault:
        return f"{path}: {fault}"
    if seconds > longest_s:
        return f"{path}: found {seconds:.1f} s, allowed: at most {longest_s:g} s"
    return seconds


def _digest(path: Path) -> str:
    """Over the size of a file and its probes; these are all of one of 64 KiB or less."""
    size = path.stat().st_size
    found = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(PROBES):
            file.seek(number * max(0, size - PROBE_BYTES) // (PROBES - 1))
            found.update(file.read(PROBE_BYTES))
    return found.hexdigest()


# When drawn


@cached(LRUCache[str, Wave](KEPT_BYTES, getsizeof=lambda wave: wave.nbytes))
def _whole(path: str) -> Wave:
    wave = _read(path)
    wave.flags.writeable = False
    return wave


def _read(path: str, samples: int | None = None, place: float = 0.0) -> Wave:
    try:
        return read_part(Path(path), samples, place)
    except AudioFault as fault:
        raise UserError(f"{path}: {fault}") from None
