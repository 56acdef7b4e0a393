"""Recordings of hours and of gigabytes, and headers that promise them."""

import random
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from shutil import rmtree

import numpy as np
import soundfile

from asrbench.data.corpus import Corpus
from attack.attempt import Attempt
from attack.bounded import MEMORY, Outcome, run

SPLITS = ("train", "dev", "test")

SECONDS = 120.0
"""Bound of a command whose work is honest, such as reading hours of audio."""

ADDRESSES = 2 * MEMORY
"""Arrow's allocator and the C library reserve more memory than they ever touch. What is touched
must not exceed `MEMORY`."""


def long_recordings(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Yields each kind in its turn."""
    kinds = (_sparse_whole, _sparse_cut, _promised, _one_of_hours, _many_of_minutes)
    for number in range(count):
        folder = home / "long"
        folder.mkdir()
        yield kinds[number % len(kinds)](home, folder, draw)
        rmtree(folder)
        rmtree(home / "long-corpus", ignore_errors=True)


def _prepared(home: Path, recipe: str, source: str) -> Outcome:
    command = ("prep", recipe, source, "--out", "long-corpus")
    return run(*command, folder=home, seconds=SECONDS, memory=ADDRESSES)


def write_sparse_wav(path: Path, gigabytes: float, rate_hz: int = 16_000, width: int = 2) -> int:
    """Writes a wav of zeros that takes no disk; returns the number of its samples."""
    samples = int(gigabytes * 1e9) // width
    size = samples * width
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, rate_hz * width, width, 8 * width)
    head = struct.pack("<4sI4s24s4sI", b"RIFF", size + 36, b"WAVE", form, b"data", size)
    path.write_bytes(head)
    with path.open("r+b") as file:
        file.truncate(len(head) + size)
    return samples


def _write_rows(folder: Path, rows: list[tuple[str, str]]) -> None:
    lines = ["id\taudio\ttext\tsplit"]
    lines += [f"{id}\t{audio}\tabc\t{SPLITS[n % 3]}" for n, (id, audio) in enumerate(rows)]
    (folder / "list.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _beside_a_good_one(
    home: Path, folder: Path, what: str, name: str, samples: int | None = None
) -> Attempt:
    """Returns the attempt on a recording that must be rejected, with one that must be kept.

    If the first has `samples`, it may also be read, with that length.
    """
    good = (home / "train0.wav").read_bytes()
    (folder / "good.wav").write_bytes(good)
    _write_rows(folder, [("bad", name), ("good", "good.wav")])
    length = len(soundfile.read(folder / "good.wav")[0])

    def check(outcome: Outcome) -> str | None:
        if outcome.status != 0:
            return f"refused all: {outcome.refusal}"
        corpus = Corpus.open(home / "long-corpus")
        lengths = {name: len(corpus.split(name).audio(0)) for name in corpus.split_names}
        allowed = ({"dev": length}, {"dev": length, "train": samples})
        return None if lengths in allowed else f"samples kept: {lengths}"

    return Attempt(what, make=partial(_prepared, home, "table", "long/list.tsv"), check=check)


def _sparse_whole(home: Path, folder: Path, draw: random.Random) -> Attempt:
    """A recording larger than is read whole."""
    gigabytes = draw.choice([2.2, 3.0, 3.9])
    write_sparse_wav(folder / "big.wav", gigabytes)
    return _beside_a_good_one(home, folder, f"a wav of {gigabytes} GB", "big.wav")


def _promised(home: Path, folder: Path, draw: random.Random) -> Attempt:
    """A short file whose header promises hours."""
    path = folder / "big"
    wave = np.zeros(8_000, np.int16)
    kind = draw.choice(["FLAC", "RF64", "W64"])
    soundfile.write(path, wave, 16_000, format=kind, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    if kind == "FLAC":
        content[21] |= 0x0F
        content[22:26] = b"\xff" * 4
    else:
        place = content.index(b"ds64") + 8 if kind == "RF64" else 16
        content[place : place + 16] = (2**40).to_bytes(8, "little") * 2
    path.write_bytes(content)
    # The other two say so, too, if they were written into a pipe.
    samples = None if kind == "FLAC" else len(wave)
    return _beside_a_good_one(home, folder, f"{kind} that promises hours", "big", samples)


def _sparse_cut(home: Path, folder: Path, draw: random.Random) -> Attempt:
    """Three parts of a recording of 3 GB, which are read without the rest."""
    write_sparse_wav(folder / "big.wav", 3.0)
    starts = [0.0, draw.uniform(1, 90_000), 3e9 / 32_000 - 3]
    (folder / "wav.scp").write_text("rec long/big.wav\n", encoding="utf-8")
    (folder / "text").write_text("".join(f"u{n} abc\n" for n in range(3)), encoding="utf-8")
    segments = "".join(f"u{n} rec {start:.2f} {start + 2:.2f}\n" for n, start in enumerate(starts))
    (folder / "segments").write_text(segments, encoding="utf-8")

    def check(outcome: Outcome) -> str | None:
        if outcome.status != 0:
            return f"refused: {outcome.refusal}"
        split = Corpus.open(home / "long-corpus").split("train")
        lengths = [len(split.audio(number)) for number in range(len(split))]
        return None if lengths == [32_000] * 3 else f"lengths {lengths}"

    return Attempt("parts of 3 GB", make=partial(_prepared, home, "kaldi", "long"), check=check)


def _one_of_hours(home: Path, folder: Path, draw: random.Random) -> Attempt:
    """A recording whose resampling takes a multiple of its size, between 0.5 and 18 hours."""
    rate_hz, width = draw.choice([(8_000, 2), (16_000, 3), (16_000, 2), (44_100, 2)])
    gigabytes = draw.choice([0.03, 0.1, 0.3, 0.5, 1.0])
    samples = write_sparse_wav(folder / "big.wav", gigabytes, rate_hz, width)
    what = f"{samples / rate_hz / 3600:.1f} hours at {rate_hz} Hz, {8 * width} bits"
    return _beside_a_good_one(home, folder, what, "big.wav", -(-samples * 16_000 // rate_hz))


def _many_of_minutes(home: Path, folder: Path, draw: random.Random) -> Attempt:
    """64 recordings of 18 minutes: 2.2 GB, more than the 31 bits of an offset in Arrow count."""
    samples = 18 * 60 * 16_000
    soundfile.write(folder / "silence.flac", np.zeros(samples, np.int16), 16_000)
    _write_rows(folder, [(f"u{number}", "silence.flac") for number in range(64)])

    def check(outcome: Outcome) -> str | None:
        if outcome.status != 0:
            return f"refused: {outcome.refusal}"
        corpus = Corpus.open(home / "long-corpus")
        splits = [corpus.split(name) for name in corpus.split_names]
        if sum(map(len, splits)) != 64:
            return f"kept {sum(map(len, splits))}"
        last = splits[0].audio(len(splits[0]) - 1)
        return None if len(last) == samples and not last.any() else "is not silence"

    make = partial(_prepared, home, "table", "long/list.tsv")
    return Attempt("64 recordings of 18 minutes", make=make, check=check)
