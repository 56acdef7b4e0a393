"""What every attack is made on: recordings, a corpus of them, and a study that was carried out."""

from pathlib import Path

import numpy as np
import soundfile

from attack.bounded import run

TEXTS = ("abca", "bcb", "cab", "aacb", "bac", "ccab", "abc", "cba")
SPLITS = {"train": TEXTS[:6], "dev": TEXTS[:2], "test": TEXTS[4:]}
RATE_HZ = 16_000

SPEC = """\
name: tiny
corpus: corpus
features: {bands: 20}
augment: {time_masks: 0, frequency_masks: 0}
model:
  encoder:
    front_end: {channels: 4}
    recurrence: {layers: 1, width: 16}
train: {epochs: 2, batch_seconds: 4, optimizer: {lr: 1e-2}}
run: {checkpoint_minutes: 1e-6}
variants:
  ds2:
  ds2_selfattn: {model: {name: ds2_selfattn, encoder: {attention: {heads: 2}}}}
"""

PREP = ("prep", "table", "tones.tsv", "--out", "corpus")
TRAIN = ("train", "tiny.yaml", "--results", "results", "--device", "cpu")
EVAL = ("eval", "results", "--device", "cpu")
INSPECT = ("inspect", "results", "--count", "1", "--device", "cpu")
COMPARE = ("compare", "results", "--corpus", "corpus", "--replicates", "200")
"""The commands of the study, in their order and with the home as the working directory."""


def spoken(text: str) -> np.ndarray:
    """Returns a tone of 0.2 s for each letter, as float samples."""
    t = np.arange(RATE_HZ // 5) / RATE_HZ
    tones = [np.sin(2 * np.pi * 400 * (1 + ord(letter) - ord("a")) * t) for letter in text]
    return 0.3 * np.concatenate(tones)


def make_sources(home: Path) -> None:
    """Writes the recordings, the table that lists them, and the spec."""
    rows = ["id\taudio\ttext\tspeaker\tsplit"]
    for split, texts in SPLITS.items():
        for i, text in enumerate(texts):
            id = f"{split}{i}"
            soundfile.write(home / f"{id}.wav", spoken(text), RATE_HZ)
            rows.append(f"{id}\t{id}.wav\t{text}\ts{split}{i % 4}\t{split}")
    (home / "tones.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (home / "tiny.yaml").write_text(SPEC, encoding="utf-8")


def make_home(home: Path) -> Path:
    """Makes the sources in an empty folder and carries the study out there; returns the folder."""
    make_sources(home)
    for command in (PREP, TRAIN, EVAL, INSPECT, COMPARE):
        outcome = run(*command, folder=home, seconds=300)
        if outcome.status != 0:
            raise RuntimeError(f"asrbench {' '.join(command)}: {outcome.fault or outcome.refusal}")
    return home
