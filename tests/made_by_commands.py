"""A corpus of tones and a study of two variants, made by the commands as a user calls them."""

from pathlib import Path

import numpy as np
import soundfile
from doors import run
from tones import TEXTS

SPEC = """
name: tiny
corpus: {corpus}
features: {{bands: 20}}
augment: {{time_masks: 0, frequency_masks: 0}}
model: {{encoder: {{front_end: {{channels: 4}}, recurrence: {{layers: 1, width: 16}}}}}}
train: {{epochs: 2, batch_seconds: 4, optimizer: {{lr: 1e-2}}}}
variants:
  ds2:
  ds2_crossattn:
    model: {{name: ds2_crossattn,
      head: {{decoder: {{layers: 1, width: 16, heads: 2, feed_forward: 16}}}}}}
"""


def make(home: Path) -> Path:
    """Makes a table of recordings, `corpus`, the spec `tiny.yaml`, and `results` in a folder.

    Six utterances are trained on; two of their texts are the dev set, and the same two the test.
    """
    rows = ["id\taudio\ttext\tspeaker\tsplit"]
    t = np.arange(3200) / 16000
    for i, text in enumerate([*TEXTS, *TEXTS[:2], *TEXTS[:2]]):
        tones = [np.sin(2 * np.pi * 400 * (1 + ord(c) - ord("a")) * t) for c in text]
        soundfile.write(home / f"{i}.wav", 0.3 * np.concatenate(tones), 16000)
        split = "train" if i < 6 else "dev" if i < 8 else "test"
        rows.append(f"u{i}\t{i}.wav\t{text}\ts{i}\t{split}")
    (home / "tones.tsv").write_text("\n".join(rows) + "\n")
    (home / "tiny.yaml").write_text(SPEC.format(corpus=home / "corpus"))
    for command in (
        ("prep", "table", home / "tones.tsv", "--out", home / "corpus"),
        ("train", home / "tiny.yaml", "--results", home / "results", "--device", "cpu"),
        ("eval", home / "results", "--device", "cpu"),
    ):
        code, out, err = run(*command)
        assert code == 0, (command, out, err)
    return home
