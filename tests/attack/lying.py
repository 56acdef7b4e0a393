"""Archives and recordings that are more than they seem. Each is bounded in time and memory, and it
is refused in one line, or its recordings are rejected with their reason.
"""

import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import soundfile

from attack.attempt import Attack, Attempt
from attack.home import RATE_HZ, spoken
from attack.hostile import PREP, Way, nothing_made

# Archives that unpack to more than a machine has


def _gzip_bomb(path: Path) -> None:
    """Writes 64 GB of zeros in 64 MB: a gzip file may have many members."""
    packer = zlib.compressobj(9, wbits=31)
    member = packer.compress(bytes(2**26)) + packer.flush()
    path.write_bytes(member * 1000)


def _zip_bomb(name: str) -> Way:
    """Returns a way to write a zip with one member, of 8 GB of zeros in 8 MB."""

    def make(path: Path) -> None:
        packer = zlib.compressobj(9, wbits=-15)
        block = packer.compress(bytes(2**26)) + packer.flush(zlib.Z_FULL_FLUSH)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, block * 128 + packer.flush())
        _declare_deflated(path, 2**33 - 1)

    return make


def _declare_deflated(path: Path, size: int) -> None:
    """Changes method and size of the only member, in both of its headers."""
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    for start, at in ((0, 8), (central, 10)):
        data[start + at : start + at + 2] = struct.pack("<H", zipfile.ZIP_DEFLATED)
        data[start + at + 14 : start + at + 18] = struct.pack("<I", min(size, 2**32 - 2))
    path.write_bytes(data)


def _archives(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    (folder / "packed").mkdir()
    trn, pcm = "KsponSpeech_scripts/train.trn", "KsponSpeech_01/KsponSpeech_0001/KsponSpeech_000001"
    kspon = ("prep", "ksponspeech", "packed")
    ways: list[tuple[str, str, Way, tuple[str, ...]]] = [
        ("cuts of 64 GB", "cuts.jsonl.gz", _gzip_bomb, ("prep", "lhotse", "packed")),
        ("a manifest of 64 GB", "m.json.gz", _gzip_bomb, ("prep", "nemo", "packed/m.json.gz")),
    ]
    for name in (trn, f"{pcm}.txt", f"{pcm}.pcm", "../../outside.trn"):
        ways.append((f"a zip with 8 GB of {name}", "a.zip", _zip_bomb(name), kspon))
    for number in range(count):
        what, name, make, command = ways[number % len(ways)]
        path = folder / "packed" / name
        make(path)
        yield Attempt(what, (*command, *PREP), nothing_made(folder))
        path.unlink()
        shutil.rmtree(folder / "made", ignore_errors=True)


# Recordings whose headers lie


def _flac(samples: int) -> Way:
    """Returns a way to write a FLAC file that declares another number of samples, of 36 bits."""

    def make(path: Path) -> None:
        soundfile.write(path, spoken("abca"), RATE_HZ, format="FLAC")
        data = bytearray(path.read_bytes())
        data[21] = data[21] & 0xF0 | samples >> 32
        data[22:26] = struct.pack(">I", samples & 0xFFFFFFFF)
        path.write_bytes(data)

    return make


def _wav(**fields: int) -> Way:
    """Returns a way to write a WAV file with other values in its header."""
    places = {"riff": (4, "<I"), "channels": (22, "<H"), "rate": (24, "<I"), "bytes": (28, "<I")}
    places |= {"align": (32, "<H"), "bits": (34, "<H"), "data": (40, "<I"), "format": (20, "<H")}

    def make(path: Path) -> None:
        soundfile.write(path, spoken("abca"), RATE_HZ, format="WAV")
        data = bytearray(path.read_bytes())
        for name, value in fields.items():
            place, form = places[name]
            data[place : place + struct.calcsize(form)] = struct.pack(form, value)
        path.write_bytes(data)

    return make


HEADERS: tuple[tuple[str, Way], ...] = (
    *((f"FLAC of {n} samples", _flac(n)) for n in (2**36 - 1, 2**35, 2**32, 1, 0)),
    *((f"WAV of {n} bytes", _wav(data=n)) for n in (2**32 - 1, 2**31, 10**9, 1, 0)),
    *((f"WAV of {n} channels", _wav(channels=n)) for n in (65535, 1024, 3, 0)),
    *((f"WAV at {n} Hz", _wav(rate=n)) for n in (2**32 - 1, 2**31, 10**6, 1, 0)),
    *((f"WAV of {n} bits", _wav(bits=n)) for n in (65535, 64, 7, 0)),
    ("WAV of blocks of 65,535 bytes", _wav(align=65535)),
    ("WAV of no blocks", _wav(align=0)),
    ("WAV of an unknown format", _wav(format=0x7777)),
    ("WAV in which all sizes lie", _wav(riff=2**32 - 1, data=2**32 - 1, rate=1, channels=255)),
)


def _headers(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """The recording is transcribed and prepared, alone and beside others."""
    alone = folder / "alone.tsv"
    alone.write_text("id\taudio\ttext\nu\ttest0.wav\tbac\n", encoding="utf-8")
    commands = (
        ("transcribe", "results/tiny/ds2", "test0.wav", "--device", "cpu"),
        ("prep", "table", "alone.tsv", *PREP),
        ("prep", "table", "tones.tsv", *PREP),
    )
    pairs = [(way, command) for way in HEADERS for command in commands]
    draw.shuffle(pairs)
    for number in range(count):
        (what, make), command = pairs[number % len(pairs)]
        make(folder / "test0.wav")
        yield Attempt(f"{what}, {' '.join(command[:3])}", command, nothing_made(folder))
        shutil.rmtree(folder / "made", ignore_errors=True)


ATTACKS = (
    Attack(
        "lying: archives",
        "Lists and recordings in gzip and zip files that unpack to 8 or 64 GB.",
        _archives,
        0.12,
    ),
    Attack(
        "lying: headers",
        "Recordings whose headers declare 2^36 samples, 4 GB, 65,535 channels or 0 Hz.",
        _headers,
        0.5,
    ),
)
