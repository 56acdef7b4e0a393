"""A corpus of tones and the smallest cells that learn it, for every test that trains."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from asrbench.base.reporting import Silent
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.experiment.registry import kinds_of
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell
from asrbench.experiment.spec_file import load_study
from asrbench.experiment.spec_model import ENCODERS
from asrbench.training.loop import train
from asrbench.training.setup import set_up

SMALL = """
name: tiny
corpus: {corpus}
augment: {{frequency_masks: 0, time_masks: 0}}
features: {{kind: log_mel, bands: 20}}
model:
  encoder:
    front_end: {{channels: 4}}
    recurrence: {{layers: 1, width: 32, dropout: 0.0}}
train:
  epochs: 4
  batch_seconds: 3
  precision: fp32
  optimizer: {{lr: 1e-2, clip_norm: 20}}
  schedule: {{kind: constant, warmup: 0.0}}
"""
SMALL_ENCODER = {
    "layers": 1,
    "width": 32,
    "feed_forward": 64,
    "kernel": 5,
    "dropout": 0.0,
    "subsampling": {"channels": 8},
    "recurrence": {"layers": 2, "width": 32, "dropout": 0.0},
    "blocks": 5,
    "repeats": 3,
    "width_factor": 0.03,
    "dropout_factor": 0.0,
}
"""Small sizes of encoders other than the baseline, each of which takes those that it has."""
TEXTS = ["abca", "bcb", "cab", "aacb", "bac", "ccab"]


def spoken(text: str) -> Samples:
    """Each letter a tone of its own, 0.2 s, with a gap after it and faint noise over all."""
    t = np.arange(SAMPLE_RATE_HZ // 5) / SAMPLE_RATE_HZ
    gap = np.zeros(SAMPLE_RATE_HZ // 10)
    parts = [
        part
        for letter in text
        for part in (np.sin(2 * np.pi * 400 * (1 + ord(letter) - ord("a")) * t), gap)
    ]
    noise = np.random.default_rng(0).normal(0, 0.01, sum(map(len, parts)))
    return ((np.concatenate(parts) + noise) * 8000).astype(np.int16)


def make_corpus(folder: Path, train_texts: list[str], dev_texts: list[str]) -> Path:
    with CorpusWriter.create(
        folder, name="tones", recipe="test", source="tones", text_profile="verbatim", strict=True
    ) as writer:
        for split, texts in (("train", train_texts), ("dev", dev_texts)):
            for i, text in enumerate(texts):
                writer.add(split, Utterance(f"{split}{i}", spoken(text), text))
    return folder


def cell_of(tmp_path: Path, corpus: Path, *sets: str) -> Cell:
    spec = tmp_path / "tiny.yaml"
    spec.write_text(SMALL.format(corpus=corpus))
    (cell,) = load_study(spec, list(sets)).cells
    return cell


def sets_for(name: str) -> list[str]:
    sets = [f"model.name={name}"]
    kinds = kinds_of(name)
    if sizes := _encoder_sizes(kinds["encoder",]):
        sets.append(f"model.encoder={sizes}")
    if kinds.get(("encoder", "attention"), "none") != "none":
        sets.append("model.encoder.attention={heads: 2, dropout: 0.0}")
    sizes = {"transformer": "feed_forward: 64", "lstm": "attention_width: 16, location_kernel: 11"}
    if decoder := sizes.get(kinds.get(("head", "decoder"), "")):
        decoder = f"{{layers: 1, width: 32, heads: 2, dropout: 0.0, {decoder}}}"
        sets.append(f"model.head={{decoder: {decoder}, label_smoothing: 0.0}}")
    if kinds["head",] == "transducer":
        # Greedy search can miss a text whose symbols have several likely frames each.
        sizes = "prediction: {width: 32, dropout: 0.0}, joiner: 64"
        sets.append(f"model.head={{{sizes}, selection: beam}}")
        sets.append("decode.beam=3")
    return sets


def _encoder_sizes(kind: str) -> dict[str, Any]:
    """Returns those of the small sizes that encoders of `kind` have; the baseline's are `SMALL`."""
    names = {} if kind == "deepspeech2" else ENCODERS.of(kind).spec.model_fields
    return {name: size for name, size in SMALL_ENCODER.items() if name in names}


def trained(cell: Cell, results: Path) -> Run:
    prepared = set_up(cell, results)
    train(prepared, Silent())
    return prepared.run


class StopsAfter(Silent):
    """Sends the process SIGINT once that many steps have been reported."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def progress(self, task: str, done: int, total: int, note: str = "") -> None:
        if not task.startswith("epoch"):
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def same_weights(one: Run, other: Run, which: str = "last", which_of_other: str = "") -> bool:
    a = load_file(one.weights_path(which))
    b = load_file(other.weights_path(which_of_other or which))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


CHANCE = (
    "model.encoder.recurrence.dropout=0.2",
    "augment={speeds: [0.9, 1.1], time_masks: 1, frequency_masks: 1, frequency_width: 5}",
)
"""Settings in which every source of chance takes part."""
DROPOUTS = {
    "recurrence": CHANCE[0],
    "dropout": "model.encoder.dropout=0.2",
    "dropout_factor": "model.encoder.dropout_factor=1",
}
"""The setting of dropout by the key that an encoder has."""


def chance_for(name: str) -> tuple[str, ...]:
    """Returns those settings for the model `name`, by the dropout that its encoder has."""
    kinds = kinds_of(name)
    names = ENCODERS.of(kinds["encoder",]).spec.model_fields
    sampling = ("model.head.scheduled_sampling=0.3",) if ("head", "decoder") in kinds else ()
    return (*(DROPOUTS[key] for key in DROPOUTS if key in names), *CHANCE[1:], *sampling)


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)
