"""A study to start from: one commented spec file, with sizes that fit the corpus.

Two recipes are known to work, and nothing between them was tried: that of AN4
(`experiments/an4/ds2.yaml`, 0.6 hours) for small corpora, and that of KsponSpeech
(`experiments/ds2_baseline.yaml`, 965 hours) for large ones.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import yaml

from asrbench.base.errors import UserError
from asrbench.base.files import write_json, write_text
from asrbench.data.corpus import Corpus
from asrbench.experiment.folder_names import folder_name
from asrbench.experiment.spec_schema import spec_schema
from asrbench.experiment.strict_yaml import parse
from asrbench.text.normal_form import is_hangul, nfc

SCHEMA_FILE = "asrbench.schema.json"
"""The schema beside the specs of a folder. A file, as an editor resolves no other path offline."""

LARGE_HOURS = 50.0
"""Hours of training audio from which on the recipe for large corpora is written."""

MEAN_OCCURRENCES = 100
"""How often a syllable occurs on average where `syllable` is a unit that can be learned.

Half of the syllables are much rarer than the mean. A rule of thumb: it was not searched.
"""

FEWEST_STEPS = 1700
"""Steps of a training on AN4. A smaller corpus gets more epochs, up to `MOST_EPOCHS`."""

SMALL_BATCH_SECONDS, SMALL_EPOCHS, MOST_EPOCHS = 60, 45, 200


@dataclass(frozen=True)
class Started:
    """The files that were written, and what they are for."""

    spec: Path
    schema: Path | None
    """The schema; None where one was there already and was left as it is."""
    corpus: str
    prep: str | None
    """The command that makes the corpus; None where there is one."""
    chosen_for: str
    """What the sizes were chosen for, in words."""


@dataclass(frozen=True)
class _Texts:
    """What the training texts say about the unit and the scoring."""

    unit: str
    profile: str
    why_unit: str
    why_profile: str


def start_study(name: str, folder: Path, corpus: Path | None) -> Started:
    """Writes `NAME.yaml`, and the schema of specs beside it if there is none, into `folder`.

    Raises `UserError`, and writes nothing, for a name that no study can have, a file that exists
    already, and a folder that is no corpus with a split `train`.
    """
    name = name.removesuffix(".yaml")
    name = folder_name("NAME", name)
    spec, schema = folder / f"{name}.yaml", folder / SCHEMA_FILE
    if spec.exists():
        raise UserError(f"{spec}: exists already; choose another name, or delete it")
    hours, texts, prep = None, _texts_of([]), None
    if corpus is None:
        place = f"data/{name}"
        prep = f"asrbench prep table FILE.tsv --out {place}"
        chosen_for = "a small corpus"
    else:
        place = str(corpus)
        if "\ufffd" in place.encode(errors="surrogateescape").decode(errors="replace"):
            raise UserError("--corpus: found a name that is not Unicode; rename the folder")
        train = Corpus.open(corpus).split("train")
        hours, texts = train.hours, _texts_of(train.texts)
        chosen_for = f"the {_hours(hours)} of train in {place}"
    large = hours is not None and hours >= LARGE_HOURS
    recipe = LARGE if large else Template(SMALL).substitute(epochs=_epochs(hours))
    study = Template(STUDY).substitute(
        schema=SCHEMA_FILE,
        file=spec.name,
        name=_scalar(name),
        corpus=_scalar(place),
        about_corpus=f"Make it first: {prep}" if prep else f"Train has {_hours(hours)} of audio.",
        recipe=recipe,
        **vars(texts),
    )
    write_text(spec, study)
    written = None if schema.exists() else schema
    if written:
        write_json(schema, spec_schema())
    return Started(spec, written, place, prep, chosen_for)


def _epochs(hours: float | None) -> int:
    """Returns the epochs in which a small corpus is trained for about as many steps as AN4."""
    if hours is None:
        return SMALL_EPOCHS
    steps = max(1, math.ceil(hours * 3600 / SMALL_BATCH_SECONDS))
    return min(MOST_EPOCHS, max(SMALL_EPOCHS, math.ceil(FEWEST_STEPS / steps)))


def _hours(hours: float | None) -> str:
    assert hours is not None
    return f"{60 * hours:.1f} minutes" if hours < 1 else f"{hours:,.1f} hours"


def _scalar(text: str) -> str:
    """Returns `text` as YAML, in quotes only where it would be read as something else."""
    try:
        same = parse(text) == text
    except (yaml.YAMLError, ValueError):
        same = False
    return text if same else json.dumps(text, ensure_ascii=not text.isprintable())


def _texts_of(texts: Sequence[str]) -> _Texts:
    """Returns the unit and the profile for texts, by their script."""
    counts = Counter[str]()
    for text in texts:
        counts.update(filter(str.isalpha, nfc(text)))
    syllables = {symbol: count for symbol, count in counts.items() if is_hangul(symbol)}
    if 2 * sum(syllables.values()) <= counts.total():
        return _Texts(
            "char",
            "verbatim",
            "One symbol is one character, which suits any alphabet.",
            "Every character counts, spaces and punctuation too.",
        )
    mean = sum(syllables.values()) / len(syllables)
    rare = mean < MEAN_OCCURRENCES
    found = f"a syllable of train occurs {mean:,.0f} times on average"
    return _Texts(
        "jamo" if rare else "syllable",
        "nospace",
        f"The texts are Hangul, and {found}" + (", too few to learn each." if rare else "."),
        "As usual for Korean, spaces and punctuation do not count.",
    )


STUDY = """\
# yaml-language-server: $$schema=$schema
# Does self-attention make DeepSpeech2 better on this corpus? Every key can be changed with --set,
# `asrbench models` lists other models, and your own attention needs no fork of the program.
#   asrbench plan $file    what it will cost, measured in a minute
#   asrbench train $file   trains all runs; the same command again continues

# Name of the study; its runs lie in results/ under this name.
name: $name
# $about_corpus
corpus: $corpus

# $why_unit
text: {unit: $unit}
# $why_profile
score: {profile: $profile}

# Training varies from seed to seed, and a verdict needs three of each variant.
# Begin with one: asrbench train $file --seed 0
seeds: [0, 1, 2]

# Variants differ in nothing but what is written here.
variants:
  # The baseline: convolutions, bidirectional GRU layers, CTC.
  ds2:
  # The same with multi-head self-attention over time after each GRU layer.
  ds2_selfattn: {model: {name: ds2_selfattn, encoder: {attention: {heads: 4}}}}

$recipe"""

SMALL = """\
# 80 mel bands, every 10 ms.
features: {kind: log_mel, bands: 80}

# SpecAugment: masks over frequency and time, so that a small corpus is not learned by heart.
augment:
  # Two masks of up to 15 mel bands.
  frequency_masks: 2
  frequency_width: 15
  # Two masks of up to 20 frames (0.2 s), but never more than a tenth of the utterance each.
  time_masks: 2
  time_width: 20
  time_share: 0.1

# A small model for a small corpus, about 3 million parameters.
model:
  encoder:
    # time_stride 4: a vector every 40 ms, which halves the time of the recurrence.
    front_end: {kind: ds2, channels: 16, time_stride: 4}
    # Much dropout, because the corpus is small.
    recurrence: {cell: gru, layers: 3, width: 256, dropout: 0.3}

train:
  # Passes over train; the weights with the lowest dev CER are tested.
  epochs: $epochs
  # Seconds of audio in a batch; more is faster on a GPU, but makes fewer steps.
  batch_seconds: 60
  # AdamW; lr is the peak of the learning rate.
  optimizer: {kind: adamw, lr: 1e-3, weight_decay: 1e-2, clip_norm: 5}
  # The learning rate rises for 30 % of the training and then falls to nearly zero.
  schedule: {kind: one_cycle, warmup: 0.3}
"""

LARGE = """\
# 80 mel bands, every 10 ms.
features: {kind: log_mel, bands: 80}

# A large model for a large corpus; it needs a GPU.
model:
  encoder:
    # time_stride 2: a vector every 20 ms, so that fast speech finds room for all its symbols.
    front_end: {kind: ds2, convolutions: 2, channels: 32, time_stride: 2}
    # A third as much dropout as for a small corpus.
    recurrence: {cell: gru, layers: 3, width: 1024, dropout: 0.1}

train:
  # Passes over train; the weights with the lowest dev CER are tested.
  epochs: 20
  # Seconds of audio in a batch; if memory does not suffice, `asrbench plan` says what does.
  batch_seconds: 480
  # AdamW; lr is the peak of the learning rate.
  optimizer: {kind: adamw, lr: 3e-4, weight_decay: 1e-2, clip_norm: 5}
  # The learning rate rises for 5 % of the training, stays for 45 %, and falls to a hundredth.
  schedule: {kind: tri_stage, warmup: 0.05, hold: 0.45, final: 0.01}

# Processes that read batches ahead, at most one for each core.
run: {workers: 4}
"""
