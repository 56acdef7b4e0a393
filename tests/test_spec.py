import json
import pickle
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, create_model

from asrbench.base.errors import UserError
from asrbench.experiment.folder_names import folder_name
from asrbench.experiment.kinds import KindSpec, registered_by
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import (
    OPERATIONAL,
    SUBWORDS,
    Cell,
    CellOf,
    PluginFile,
    RecordedCell,
)
from asrbench.experiment.spec_base import Spec
from asrbench.experiment.spec_file import dump_cell, load_cell, load_study
from asrbench.experiment.spec_model import (
    ATTENTION,
    HEADS,
    LOSS_TERMS,
    LossTermSpec,
    RecordedModel,
)
from asrbench.experiment.spec_study import StudyKeys
from asrbench.experiment.spec_train import TrainSpec
from asrbench.models.loss_term import LossTerm
from asrbench.text.profiles import PROFILES


class Term(LossTermSpec):
    kind: Literal["spec_test"] = "spec_test"


with registered_by("test"):
    LOSS_TERMS.register(Term, LossTerm)

FINGERPRINT = "f1" * 32
TOP = (
    "augment, compare, corpus, decode, extends, features, folds, grid, init_from, model, name, "
    "only, plugins, run, score, seeds, text, train, variants"
)
SET = TOP.replace("extends, ", "")
IN_A_VARIANT = (
    "augment, compare, corpus, decode, features, init_from, model, plugins, run, score, text, train"
)
TRAIN = (
    "accumulate, batch_seconds, epochs, freeze, max_hours, optimizer, precision, schedule, "
    "share, stop_if_stuck, weights"
)
NAMES = "letters, digits, . _ = , + -, a letter or digit first"
"""What messages list as allowed: at the top of a file, by --set, in a variant, within train."""


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(text, name="s.yaml"):
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def study_of(text="", *sets):
    """The study of a file that names itself and its corpus and goes on with `text`."""
    return load_study(write(f"name: demo\ncorpus: data/demo\n{text}\n"), [*sets])


def cell_of(text="", *sets):
    """The first cell: the only one of a text without variants, seeds or folds."""
    return study_of(text, *sets).cells[0]


def message(call, *args):
    with pytest.raises(UserError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def labels(study):
    return [(cell.variant, cell.seed) for cell in study.cells]


# Messages, verbatim. The file begins with `name` and `corpus`, so its third line is the first here.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Unknown keys
        ("nam: x", f"nam: found an unknown key, allowed: {TOP}; did you mean 'name'?"),
        ("zzz: x", f"zzz: found an unknown key, allowed: {TOP}"),
        (
            "train: {epoch: 3}",
            f"train.epoch: found an unknown key, allowed: {TRAIN}; did you mean 'epochs'?",
        ),
        (
            "train: {optimizer: {learning_rate: 1e-3}}",
            "train.optimizer.learning_rate: found an unknown key, allowed: betas, clip_norm, kind, "
            "lr, weight_decay",
        ),
        (
            "train: {epoch: 3, batch: 9}",
            f"train.epoch: found an unknown key, allowed: {TRAIN}; did you mean 'epochs'? "
            "(and 1 more)",
        ),
        (
            "variants: {a: {train: {epoch: 3}}}",
            f"variants.a.train.epoch: found an unknown key, allowed: {TRAIN}; "
            "did you mean 'epochs'?",
        ),
        (
            "variants: {a: {seeds: [1]}}",
            f"variants.a.seeds: found an unknown key, allowed: {IN_A_VARIANT}",
        ),
        (
            "variants: {a: {name: b}}",
            f"variants.a.name: found an unknown key, allowed: {IN_A_VARIANT}",
        ),
        (
            "grid: {train.epoch: [3]}",
            f"grid train.epoch: found an unknown key, allowed: {TRAIN}; did you mean 'epochs'?",
        ),
        ("grid: {seed: [3]}", f"grid seed: found an unknown key, allowed: {IN_A_VARIANT}"),
        (
            "model: {name: ds2_posattn, encoder: {attention: {weight: linear}}}",
            "model.encoder.attention.weight: found an unknown key, allowed: dropout, head_dim, "
            "heads, kind, max_distance, position",
        ),
        (
            "features: {kind: mfcc, coefficient: 13}",
            "features.coefficient: found an unknown key, allowed: bands, coefficients, hop_ms, "
            "kind, window_ms; did you mean 'coefficients'?",
        ),
        (
            "model: {encoder: {front_end: {time_strid: 4}}}",
            "model.encoder.front_end.time_strid: found an unknown key, allowed: channels, "
            "convolutions, kind, time_stride; did you mean 'time_stride'?",
        ),
        (
            "model: {name: ds2, encoder: {attention: {heads: 4}}}",
            "model.encoder.attention.heads: found an unknown key, allowed: kind",
        ),
        # Keys of the model from before it was an encoder and a head
        *(
            (
                f"model: {{{key}: {{}}}}",
                f"model.{key}: found an unknown key, allowed: encoder, head, loss_terms, "
                f"name{more}",
            )
            for key, more in (
                ("front_end", ""),
                ("recurrence", ""),
                ("attention", ""),
                ("decoder", "; did you mean 'encoder'?"),
            )
        ),
        # Labels are the plan's to fill in
        ("seed: 3", f"seed: found an unknown key, allowed: {TOP}; did you mean 'seeds'?"),
        ("variant: a", f"variant: found an unknown key, allowed: {TOP}; did you mean 'variants'?"),
        ("experiment: a", f"experiment: found an unknown key, allowed: {TOP}"),
        # Keys that stand twice, or are no text
        ("seeds: [0]\nseeds: [1]", "line 4: found the key 'seeds' twice"),
        ("train:\n  epochs: 3\n  epochs: 3", "line 5: found the key 'epochs' twice"),
        ("variants:\n  a:\n  b:\n  a:", "line 6: found the key 'a' twice"),
        ("variants: {true: }", "line 3: found the key True, allowed: text; put it in quotes"),
        ("1: 3", "line 3: found the key 1, allowed: text; put it in quotes"),
        ("? [a]\n: 3", "line 3: found the key ['a'], allowed: text; put it in quotes"),
        # Wrong types
        ('train: {epochs: "3"}', 'train.epochs: found "3", allowed: a valid integer'),
        ("train: {epochs: 3.0}", "train.epochs: found 3.0, allowed: a valid integer"),
        ("train: {epochs: true}", "train.epochs: found true, allowed: a valid integer"),
        ("train: {epochs: }", "train.epochs: found null, allowed: a valid integer"),
        ("train: 3", "train: found 3, allowed: an object"),
        ("train: ", "train: found null, allowed: an object"),
        (
            'train: {optimizer: {lr: "3e-4"}}',
            'train.optimizer.lr: found "3e-4", allowed: a valid number',
        ),
        (
            "train: {optimizer: {lr: true}}",
            "train.optimizer.lr: found true, allowed: a valid number",
        ),
        (
            "train: {batch_seconds: 1_0.5}",
            'train.batch_seconds: found "1_0.5", allowed: a valid number',
        ),
        ("augment: {speeds: 1.0}", "augment.speeds: found 1.0, allowed: a valid array"),
        ("augment: {speeds: [fast]}", 'augment.speeds.0: found "fast", allowed: a valid number'),
        ("seeds: 3", "seeds: found 3, allowed: a valid array"),
        ("seeds: [1.0]", "seeds.0: found 1.0, allowed: a valid integer"),
        ("variants: [a]", 'variants: found ["a"], allowed: an object'),
        ("variants: {a: 3}", "variants.a: found 3, allowed: an object"),
        ("model: {name: 3}", "model.name: found 3, allowed: a valid string"),
        # Norway
        (
            "text: {unit: false}",
            "text.unit: found false, allowed: 'char', 'syllable', 'jamo' or 'subword'",
        ),
        ("model: {name: false}", "model.name: found false, allowed: a valid string"),
        # Values out of bounds
        ("train: {epochs: 0}", "train.epochs: found 0, allowed: greater than or equal to 1"),
        ("run: {workers: -1}", "run.workers: found -1, allowed: greater than or equal to 0"),
        (
            "train: {optimizer: {lr: .nan}}",
            "train.optimizer.lr: found NaN, allowed: a finite number",
        ),
        (
            "augment: {speeds: [1.0, 3]}",
            "augment.speeds.1: found 3, allowed: less than or equal to 2",
        ),
        (
            "augment: {speeds: []}",
            "augment.speeds: found [], allowed: one factor or more, [1.0] for none",
        ),
        (
            "augment: {noise: {folders: []}}",
            "augment.noise.folders: found [], allowed: one folder or more",
        ),
        (
            "augment: {rooms: {folders: ['']}}",
            "augment.rooms.folders: found [''], allowed: names of folders",
        ),
        (
            "augment: {noise: {snr_db: [5, 20]}}",
            "augment.noise.folders: missing; it has no default",
        ),
        (
            "augment: {noise: {folders: a, snr_db: [20, 5]}}",
            "augment.noise.snr_db: found [20.0, 5.0], allowed: the lower bound first",
        ),
        (
            "augment: {gain_db: [3, -3]}",
            "augment.gain_db: found [3.0, -3.0], allowed: the lower bound first",
        ),
        (
            "augment: {noise: {folders: a, snr_db: [5, 101]}}",
            "augment.noise.snr_db.1: found 101, allowed: less than or equal to 100",
        ),
        (
            "augment: {noise: {folders: a, probability: 2}}",
            "augment.noise.probability: found 2, allowed: less than or equal to 1",
        ),
        (
            "augment: {noise: {folder: a}}",
            "augment.noise.folders: missing; it has no default (and 1 more)",
        ),
        (
            "augment: {noise: {folders: a, snr: [5, 20]}}",
            "augment.noise.snr: found an unknown key, allowed: folders, probability, snr_db; "
            "did you mean 'snr_db'?",
        ),
        ("augment: {noise: a}", 'augment.noise: found "a", allowed: an object'),
        (
            "augment: {noise: {folders: 3}}",
            "augment.noise.folders: found 3, allowed: a valid array",
        ),
        ("seeds: [0, -1]", "seeds.1: found -1, allowed: greater than or equal to 0"),
        (
            "text: {unit: sylable}",
            "text.unit: found \"sylable\", allowed: 'char', 'syllable', 'jamo' or 'subword'; "
            "did you mean 'syllable'?",
        ),
        (
            "text: {unit: jamo, vocabulary: 500}",
            "text.vocabulary: found 500, but text.unit is 'jamo'; allowed: null, because only "
            "'subword' has a vocabulary of any size",
        ),
        (
            "text: {unit: subword, vocabulary: 0}",
            "text.vocabulary: found 0, allowed: greater than or equal to 1",
        ),
        (
            "text: {side: speling}",
            "text.side: found \"speling\", allowed: 'text', 'spelling' or 'phonetic'; "
            "did you mean 'spelling'?",
        ),
        (
            "score: {profile: kospech}",
            "score.profile: found \"kospech\", allowed: 'verbatim', 'nospace', 'kospeech', "
            "'espnet' or 'readings'; did you mean 'kospeech'?",
        ),
        (
            "model: {encoder: {front_end: {time_stride: 3}}}",
            "model.encoder.front_end.time_stride: found 3, allowed: 2 or 4",
        ),
        (
            "train: {precision: fp23}",
            "train.precision: found \"fp23\", allowed: 'auto', 'bf16' or 'fp32'; "
            "did you mean 'fp32'?",
        ),
        # Kinds
        (
            "features: {kind: log_mle}",
            "features.kind: found 'log_mle', allowed: log_mel, log_spectrogram, mfcc, fbank; "
            "did you mean 'log_mel'?",
        ),
        (
            "train: {schedule: {kind: exponential}}",
            "train.schedule.kind: found 'exponential', allowed: constant, cosine, one_cycle, "
            "tri_stage, noam",
        ),
        ("features: fbank", 'features: found "fbank", allowed: an object'),
        # Models
        (
            "model: {name: ds2_selfatn}",
            f"model.name: found 'ds2_selfatn', allowed: {', '.join(MODELS)}; "
            "did you mean 'ds2_selfattn'?",
        ),
        (
            "variants: {a: {model: {name: quartznet}}}",
            f"variants.a.model.name: found 'quartznet', allowed: {', '.join(MODELS)}",
        ),
        (
            "model: {name: ds2, encoder: {attention: {kind: self}}}",
            "model.encoder.attention.kind: found 'self', allowed: 'none', which is what model ds2 "
            "means; see ds2_selfattn",
        ),
        (
            "model: {name: ds2_selfattn, encoder: {attention: {kind: temporal}}}",
            "model.encoder.attention.kind: found 'temporal', allowed: 'self', which is what model "
            "ds2_selfattn means; see ds2_twattn",
        ),
        (
            "model: {name: ds2_selfattn, head: {kind: ctc_attention}}",
            "model.head.kind: found 'ctc_attention', allowed: 'ctc', which is what model "
            "ds2_selfattn means; see ds2_crossattn, joint_transformer",
        ),
        (
            "model: {name: ds2, encoder: {kind: quartznet}}",
            "model.encoder.kind: found 'quartznet', allowed: 'deepspeech2', which is what model "
            "ds2 means",
        ),
        (
            "model: {name: ds2, encoder: {kind: transformer}}",
            "model.encoder.kind: found 'transformer', allowed: 'deepspeech2', which is what model "
            "ds2 means; see transformer_ctc",
        ),
        (
            "model: {name: conformer_ctc, encoder: {kernel: 32}}",
            "model.encoder.kernel: found 32, allowed: an odd number",
        ),
        (
            "model: {name: whisper_ctc, encoder: {width: 65}}",
            "model.encoder.width: found 65, allowed: an even number from 4",
        ),
        (
            "model: {name: ds2_selfattn, encoder: {attention: {kind: additive}}}",
            "model.encoder.attention.kind: found 'additive', allowed: 'self', which is what model "
            "ds2_selfattn means; see ds2_addattn",
        ),
        # Combinations
        (
            "model: {name: ds2, encoder: {recurrence: {forget_bias: 1}}}",
            "model.encoder.recurrence.forget_bias: found 1, but cell is 'gru'; allowed: 0, because "
            "only 'lstm' has forget gates",
        ),
        (
            "model: {name: ds2_selfattn_deck, encoder: {attention: {heads: 3}}}",
            "model.encoder.attention.heads: found 3, allowed: a divisor of 2048 "
            "(2 x recurrence.width)",
        ),
        (
            "variants: {a: {model: {name: ds2_selfattn_deck, encoder: {attention: {heads: 7}}}}}",
            "variants.a.model.encoder.attention.heads: found 7, allowed: a divisor of 2048 "
            "(2 x recurrence.width)",
        ),
        (
            "model: {name: ds2_posattn, encoder: {attention: {head_dim: 3}}}",
            "model.encoder.attention.head_dim: found 3, allowed: an even number for rotary "
            "positions",
        ),
        (
            "model: {name: ds2_crossattn, head: {decoder: {heads: 3}}}",
            "model.head.decoder.heads: found 3, allowed: a divisor of decoder.width (512)",
        ),
        (
            "model: {name: ds2_crossattn, head: {decoder: {heads: 3, width: 9}}}",
            "model.head.decoder.width: found 9, allowed: an even number",
        ),
        (
            "features: {kind: mfcc, coefficients: 81}",
            "features.coefficients: found 81, allowed: at most bands (80)",
        ),
        (
            "train: {schedule: {kind: tri_stage, warmup: 0.2, hold: 0.9}}",
            "train.schedule.hold: found 0.9, allowed: at most 1 - warmup (0.8)",
        ),
        (
            "train: {epochs: 3, weights: {kind: average}}",
            "train.weights.epochs: found 5, allowed: at most train.epochs (3)",
        ),
        (
            "train: {weights: {kind: average, epochs: 1}}",
            "train.weights.epochs: found 1, allowed: greater than or equal to 2",
        ),
        (
            "train: {weights: {kind: last, epochs: 3}}",
            "train.weights.epochs: found an unknown key, allowed: kind",
        ),
        (
            "augment: {frequency_masks: 1001}",
            "augment.frequency_masks: found 1001, allowed: less than or equal to 1000",
        ),
        (
            "model: {name: ds2_crossattn, head: {decoder: {layers: 101}}}",
            "model.head.decoder.layers: found 101, allowed: less than or equal to 100",
        ),
        # Cells: some, no two alike, with names that can be folders
        ("seeds: []", "seeds: found [], allowed: one value or more"),
        ("seeds: [0, 1, 0]", "seeds: found 0 twice, allowed: each value once"),
        ("variants: {}", "variants: found {}, allowed: one variant or more"),
        ("variants: {a: , b: }\nonly: []", "only: found [], allowed: one value or more"),
        ("variants: {a: , b: }\nonly: [b, b]", "only: found b twice, allowed: each value once"),
        ("variants: {a: , b: }\nonly: b", 'only: found "b", allowed: a valid array'),
        (
            "variants: {gru: , lstm: }\nonly: [lstn]",
            "only: found 'lstn', allowed: gru, lstm; did you mean 'lstm'?",
        ),
        ("only: [ds2]", "only: found no variants to choose from; leave it out"),
        (
            "grid: {train.epochs: [1, 2]}\nonly: [epochs=3]",
            "only: found 'epochs=3', allowed: epochs=1, epochs=2; did you mean 'epochs=2'?",
        ),
        ("grid: {train.epochs: []}", "grid.train.epochs: found [], allowed: one value or more"),
        (
            "grid: {train.epochs: [1, 1]}",
            "grid.train.epochs: found 1 twice, allowed: each value once",
        ),
        ("variants: {a b: }", f"variants: found the name 'a b', allowed: {NAMES}"),
        (
            f"variants: {{{'a' * 201}: }}",
            "variants: found a name of 201 bytes in UTF-8, allowed: at most 200",
        ),
        ("plugins: [s.yaml]", "found a plug-in of that name, allowed: names that end in .py"),
        ("grid: {corpus: [a/b]}", f"grid: found the name 'corpus=a/b', allowed: {NAMES}"),
        # YAML
        ("train: [1", "line 4: expected ',' or ']', but got '<stream end>'"),
        ("train: a: b", "line 3: mapping values are not allowed here"),
        ("train: *base", "line 3: found undefined alias 'base'"),
        ("train: &a {x: *a}", "line 3: found a value that contains itself"),
        (
            "train: \a",
            "not YAML (unacceptable character #x0007: special characters are not allowed)",
        ),
        ("seeds: [!!int x]", "line 3: found the tag 'int', allowed: none; put text in quotes"),
        # extends
        ("extends: 3", "extends: found 3, allowed: the name of a file"),
        ("extends: s.yaml", "extends: found a circle back to this file"),
    ],
)
def test_message(text, expected):
    assert message(study_of, text) == f"s.yaml: {expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: demo", "s.yaml: corpus: missing; it has no default"),
        ("corpus: data/demo", "s.yaml: name: missing; it has no default"),
        ("", "s.yaml: found no mapping, allowed: the keys of an experiment"),
        ("- name", "s.yaml: found no mapping, allowed: the keys of an experiment"),
        ("name: false\ncorpus: x", "s.yaml: name: found false, allowed: a valid string"),
        ("name: x\ncorpus: true", "s.yaml: corpus: found true, allowed: a valid string"),
        ("name: ../x\ncorpus: x", f"s.yaml: name: found the name '../x', allowed: {NAMES}"),
    ],
)
def test_message_without_name_or_corpus(text, expected):
    assert message(load_study, write(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs", "train.epochs: found no `key=value`, as in --set train.epochs=5"),
        ("=5", "=5: found no `key=value`, as in --set train.epochs=5"),
        (
            "train.epoch=5",
            f"train.epoch: found an unknown key, allowed: {TRAIN}; did you mean 'epochs'?",
        ),
        ("seed=5", f"seed: found an unknown key, allowed: {SET}; did you mean 'seeds'?"),
        (
            "extends=b.yaml",
            f"extends: found an unknown key, allowed: {SET}; did you mean 'seeds'?",
        ),
        ("train.epochs=5.0", "train.epochs: found 5.0, allowed: a valid integer"),
        ("train.epochs=five", 'train.epochs: found "five", allowed: a valid integer'),
        ("train.epochs=", "train.epochs: found null, allowed: a valid integer"),
        ("train.epochs.x=5", 'train.epochs: found {"x": 5}, allowed: a valid integer'),
        ("train.epochs=[5", "train.epochs=[5: line 1: expected ',' or ']', but got '<stream end>'"),
        ("train={epochs: 1, epochs: 2}", "train={epochs: 1, epochs: 2}: line 1: found the key "
         "'epochs' twice"),
        ("corpus=false", "corpus: found false, allowed: a valid string"),
        ("model.name=ds", f"model.name: found 'ds', allowed: {', '.join(MODELS)}; "
         "did you mean 'ds2'?"),
        ("seeds=[]", "seeds: found [], allowed: one value or more"),
        ("name=a b", f"name: found the name 'a b', allowed: {NAMES}"),
        (
            "variants.a.train.epoch=5",
            f"variants.a.train.epoch: found an unknown key, allowed: {TRAIN}; "
            "did you mean 'epochs'?",
        ),
    ],
)  # fmt: skip
def test_message_of_set(text, expected):
    assert message(study_of, "seeds: [0]", text) == f"--set {expected}"


def test_the_name_of_a_file_that_cannot_be_read():
    assert message(load_study, Path("no.yaml")) == ("no.yaml: no such file")
    Path("folder.yaml").mkdir()
    assert message(load_study, Path("folder.yaml")) == (
        "folder.yaml: cannot be read (Is a directory)"
    )
    Path("latin.yaml").write_bytes("name: x\ncorpus: café".encode("latin-1"))
    assert message(load_study, Path("latin.yaml")) == (
        "latin.yaml, line 2: not UTF-8; convert the file"
    )


def test_nothing_is_created(tmp_path):
    message(study_of, "train: {epoch: 3}")
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


# extends


def test_extends_lays_the_file_over_its_base():
    write("corpus: data/demo\ntrain: {epochs: 7, batch_seconds: 9}\nseeds: [1, 2]", "base.yaml")
    study = load_study(write("extends: base.yaml\nname: demo\ntrain: {epochs: 8}"))
    assert labels(study) == [("ds2", 1), ("ds2", 2)]
    assert (study.cells[0].train.epochs, study.cells[0].train.batch_seconds) == (8, 9.0)


def test_extends_is_relative_to_the_file_that_says_it():
    for folder in ("a", "a/b", "c"):
        Path(folder).mkdir()
    write("corpus: data/demo\ntrain: {epochs: 7}", "c/base.yaml")
    write("extends: ../../c/base.yaml\nname: demo", "a/b/middle.yaml")
    (cell,) = load_study(write("extends: b/middle.yaml", "a/top.yaml")).cells
    assert cell.train.epochs == 7


def test_extends_a_missing_file():
    assert message(study_of, "extends: bas.yaml") == ("bas.yaml: no such file")


def test_extends_in_a_circle():
    write("extends: s.yaml", "a.yaml")
    assert message(study_of, "extends: a.yaml") == (
        "s.yaml: extends: found a circle back to this file"
    )


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (
            "train: {epoch: 3}",
            f"train.epoch: found an unknown key, allowed: {TRAIN}; did you mean 'epochs'?",
        ),
        (
            "variants: {a: {train: {epoch: 3}}}",
            f"variants.a.train.epoch: found an unknown key, allowed: {TRAIN}; "
            "did you mean 'epochs'?",
        ),
        (
            "grid: {train.epoch: [3]}",
            f"grid train.epoch: found an unknown key, allowed: {TRAIN}; did you mean 'epochs'?",
        ),
        ("variants: {a b: }", f"variants: found the name 'a b', allowed: {NAMES}"),
    ],
)
def test_message_names_the_file_the_key_stands_in(base, expected):
    write(base, "base.yaml")
    assert message(study_of, "extends: base.yaml") == f"base.yaml: {expected}"


def test_message_names_the_last_file_to_set_the_key():
    write("model: {name: ds2_selfattn_deck, encoder: {attention: {heads: 4}}}", "base.yaml")
    text = "extends: base.yaml\nmodel: {encoder: {attention: {heads: 3}}}"
    assert message(study_of, text).startswith("s.yaml: model.encoder.attention.heads: found 3,")
    text = "extends: base.yaml\nmodel: {encoder: {recurrence: {width: 5}}}"
    assert message(study_of, text) == (
        "base.yaml: model.encoder.attention.heads: found 4, allowed: a divisor of 10 "
        "(2 x recurrence.width)"
    )


# Numbers


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("3e-4", 3e-4),
        ("3E-4", 3e-4),
        ("3.0e-4", 3e-4),
        ("3.e-4", 3e-4),
        (".3e-3", 3e-4),
        ("+3e-4", 3e-4),
        ("1e+1", 10.0),
        ("1e1", 10.0),
        ("1", 1.0),
        ("0.5", 0.5),
    ],
)
def test_number_is_a_float_in_the_file_and_in_set(written, meant):
    in_file = cell_of(f"train: {{optimizer: {{lr: {written}}}}}").train.optimizer.lr
    by_set = cell_of("", f"train.optimizer.lr={written}").train.optimizer.lr
    assert (in_file, by_set) == (meant, meant)
    assert type(in_file) is type(by_set) is float


def test_underscores_part_the_digits_of_a_whole_number():
    assert cell_of("train: {epochs: 1_000}").train.epochs == 1000
    assert cell_of("", "train.epochs=1_000").train.epochs == 1000


@pytest.mark.parametrize("written", ["2020-01-01", "1e", "e4", "1.2.3", "5-gram"])
def test_text_that_looks_like_a_date_or_a_number_stays_text(written):
    assert cell_of("", f"corpus={written}").corpus == written


# Merging


def test_another_model_in_a_variant_drops_the_attention_and_the_head_of_the_base():
    study = study_of(
        "model:\n  name: ds2_posattn\n  encoder:\n    attention: {heads: 4, max_distance: 9}\n"
        "    recurrence: {width: 64}\n"
        "variants: {same: , ds2: {model: {name: ds2}}, tw: {model: {name: ds2_twattn}}}"
    )
    same, ds2, tw = (cell.model for cell in study.cells)
    kept = same.encoder.attention
    assert (kept.heads, kept.max_distance) == (4, 9)
    assert ds2.encoder.attention == MODELS["ds2"].model.encoder.attention
    assert tw.encoder.attention == MODELS["ds2_twattn"].model.encoder.attention
    assert {model.encoder.recurrence.width for model in (same, ds2, tw)} == {64}
    joint, alone = study_of(
        "model: {name: ds2_crossattn, head: {ctc_weight: 0.5}}\n"
        "variants: {joint: , alone: {model: {name: ds2}}}"
    ).cells
    assert joint.model.head.ctc_weight == 0.5
    assert alone.model.head == MODELS["ds2"].model.head


def test_the_same_model_in_a_variant_keeps_them():
    cell = cell_of(
        "model: {name: ds2_posattn, encoder: {attention: {heads: 4}}}\n"
        "variants:\n  learned:\n"
        "    model: {name: ds2_posattn, encoder: {attention: {position: learned}}}"
    )
    assert (cell.model.encoder.attention.heads, cell.model.encoder.attention.position) == (
        4,
        "learned",
    )


@pytest.mark.parametrize("tag", ["kind: log_mel, ", ""], ids=["said", "unsaid"])
def test_another_kind_replaces_the_section(tag):
    text = f"features: {{{tag}bands: 40, hop_ms: 5}}\n"
    same, other = study_of(
        text + "variants: {a: {features: {bands: 20}}, b: {features: {kind: fbank}}}"
    ).cells
    assert (same.features.bands, same.features.hop_ms) == (20, 5.0)
    assert (other.features.bands, other.features.hop_ms) == (80, 10.0)


@pytest.mark.parametrize("tag", ["kind: adamw, ", ""], ids=["said", "unsaid"])
def test_another_optimizer_keeps_what_was_set_for_both_have_the_same_keys(tag):
    cell = cell_of(f"train: {{optimizer: {{{tag}lr: 1e-3}}}}", "train.optimizer.kind=adam")
    assert (cell.train.optimizer.kind, cell.train.optimizer.lr) == ("adam", 1e-3)


@pytest.mark.parametrize("tag", ["kind: ds2, ", ""], ids=["said", "unsaid"])
def test_another_front_end_replaces_the_section_too(tag):
    cell = cell_of(
        f"model: {{encoder: {{front_end: {{{tag}channels: 16}}}}}}",
        "model.encoder.front_end.kind=vgg",
    )
    assert cell.model.encoder.front_end.channels == 64


def test_set_is_laid_last_over_every_variant():
    study = study_of(
        "train: {epochs: 1}\n"
        "variants: {a: {train: {epochs: 2}}, b: {train: {epochs: 3, batch_seconds: 9}}}\n"
        "grid: {train.precision: [fp32, bf16]}",
        "train.epochs=4",
        "train.epochs=5",
        "train.precision=auto",
    )
    assert [cell.train.epochs for cell in study.cells] == [5] * 4
    assert [cell.train.precision for cell in study.cells] == ["auto"] * 4
    assert [cell.train.batch_seconds for cell in study.cells] == [120.0, 120.0, 9.0, 9.0]


def test_set_takes_lists_sections_and_text_with_an_equals_sign():
    cell = cell_of("", "augment.speeds=[0.9, 1, 1.1]", "train={epochs: 2}", "corpus=a=b")
    assert cell.augment.speeds == (0.9, 1.0, 1.1)
    assert (cell.train.epochs, cell.corpus) == (2, "a=b")


def test_set_reaches_the_plan():
    study = study_of("seeds: [0]", "seeds=[4, 2]", "name=other", "variants.b.train.epochs=3")
    assert study.name == "other"
    assert labels(study) == [("b", 4), ("b", 2)]
    assert study.cells[0].train.epochs == 3


# Variants, grid, seeds


def test_variant_is_named_after_the_model_without_variants():
    assert labels(study_of()) == [("ds2", 0)]
    assert labels(study_of("model: {name: ds2_twattn}\nseeds: [3]")) == [("ds2_twattn", 3)]


def test_cells_come_in_the_order_of_the_file_seeds_innermost():
    study = study_of("variants: {b: , a: {train: {epochs: 2}}}\nseeds: [2, 0]")
    assert labels(study) == [("b", 2), ("b", 0), ("a", 2), ("a", 0)]
    assert [cell.train.epochs for cell in study.cells] == [30, 30, 2, 2]
    assert (study.variants, study.name) == (["b", "a"], "demo")
    assert {cell.experiment for cell in study.cells} == {"demo"}


def test_grid_is_every_combination_named_by_last_part_and_value():
    study = study_of(
        "grid: {train.optimizer.lr: [1e-3, 3e-4], model.encoder.recurrence.cell: [gru, lstm]}\n"
        "seeds: [0, 1]"
    )
    assert study.variants == [
        "lr=0.001,cell=gru",
        "lr=0.001,cell=lstm",
        "lr=0.0003,cell=gru",
        "lr=0.0003,cell=lstm",
    ]
    assert [
        (c.train.optimizer.lr, c.model.encoder.recurrence.cell, c.seed) for c in study.cells
    ] == [(lr, cell, seed) for lr in (1e-3, 3e-4) for cell in ("gru", "lstm") for seed in (0, 1)]


def test_grid_is_laid_over_each_variant():
    study = study_of(
        "variants: {a: {train: {epochs: 9}}, b: {model: {name: ds2_selfattn}}}\n"
        "grid: {train.epochs: [1, 2]}"
    )
    assert study.variants == ["a,epochs=1", "a,epochs=2", "b,epochs=1", "b,epochs=2"]
    assert [cell.train.epochs for cell in study.cells] == [1, 2, 1, 2]
    assert [cell.model.name for cell in study.cells] == ["ds2", "ds2", *["ds2_selfattn"] * 2]


ONLY = "variants: {a: , b: {train: {epochs: 2}}, c: }\nseeds: [0, 1]\n"


def test_only_takes_some_variants_of_a_study_in_its_order():
    study = study_of(ONLY + "only: [c, a]")
    assert labels(study) == [("a", 0), ("a", 1), ("c", 0), ("c", 1)]
    whole = study_of(ONLY).cells
    assert study.cells == [cell for cell in whole if cell.variant in "ac"]
    assert study_of(ONLY, "only=[b]", "seeds=[1]").cells == whole[3:4]


def test_only_in_a_file_that_extends_a_study():
    write(f"name: demo\ncorpus: data/demo\n{ONLY}", "study.yaml")
    (cell,) = load_study(write("extends: study.yaml\nonly: [b]\nseeds: [0]")).cells
    assert (cell.variant, cell.seed, cell.train.epochs) == ("b", 0, 2)
    assert message(load_study, write("extends: study.yaml\nonly: [d]")) == (
        "s.yaml: only: found 'd', allowed: a, b, c"
    )


# Identity

SOUNDS = "{noise: {folders: [street, cafe]}, rooms: {folders: halls}}"

EVERY_KIND = {
    **{name: f"model: {{name: {name}}}" for name in MODELS},
    "vgg": "model: {encoder: {front_end: {kind: vgg}}}",
    "intermediate": "model: {head: {intermediate: {layers: [2]}}}",
    "consistency": "model: {head: {consistency: {weight: 0.2}}}",
    "stateless": "model: {name: rnnt, head: {prediction: {kind: stateless}}}",
    **{kind: f"features: {{kind: {kind}}}" for kind in ("log_spectrogram", "mfcc", "fbank")},
    **{
        kind: f"train: {{schedule: {{kind: {kind}}}}}"
        for kind in ("constant", "one_cycle", "tri_stage", "noam")
    },
    **{kind: f"train: {{weights: {{kind: {kind}}}}}" for kind in ("last", "average")},
    "sounds": f"augment: {SOUNDS}",
    "subword": "text: {unit: subword}",
    "folds": "folds: 3",
    "init_from": "init_from: {run: results/base, digest: f1f1f1f1f1f1f1f1}",
}
"""Cells that between them hold every class of spec."""


def subclasses(kind):
    for sub in kind.__subclasses__():
        if sub.__module__.startswith("asrbench") and "[" not in sub.__name__:
            yield sub
        yield from subclasses(sub)


ATTENTION.names()  # With the first look-up the kinds of the package are imported.
ALL_SPECS = list(dict.fromkeys(subclasses(Spec)))
RECORDED = {RecordedCell, RecordedModel}
"""What a run folder is read as: its model may hold any keys."""
KIND_SPECS = [kind for kind in ALL_SPECS if issubclass(kind, KindSpec)]
BASES = {CellOf} | {kind for kind in KIND_SPECS if kind.model_fields["kind"].is_required()}
SPECS = [
    kind
    for kind in ALL_SPECS
    if kind not in RECORDED | BASES | {PluginFile, StudyKeys} and not kind.__name__.startswith("_")
]
"""Those that a cell holds; plug-ins are in test_plugins.py."""


def leaves(model, path=()):
    """Path, field and value of every leaf; a tuple is one leaf, the tag of a union is none."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*path, name))
        elif not is_tag(name, field):
            yield (*path, name), field, value


def is_tag(name, field):
    return name == "kind" and len(get_args(field.annotation)) == 1


def near(value, annotation=None):
    """Other values, some of them legal where `value` is."""
    if get_origin(annotation) is Literal:
        values = get_args(annotation)
    elif isinstance(value, bool):
        values = [not value]
    elif value is None:
        values = [1, "x", {"folders": ["halls"]}, {"index": 1, "of": 2}]
        values += [{"layers": [1]}, {"weight": 0.5}, {"kind": "vgg"}, {"run": "base"}, "last"]
    elif isinstance(value, str):
        values = [value + "x"]
    elif value == ():
        values = [
            ("ds2 [joint]",),
            ({"kind": "spec_test"},),
            ({"path": "mine.py", "digest": "f1" * 8},),
        ]
    elif isinstance(value, tuple):
        values = [
            (*value[:i], other, *value[i + 1 :]) for i, v in enumerate(value) for other in near(v)
        ]
    elif isinstance(value, BaseModel):
        values = []
    else:
        values = [value * 2, value / 2, value + 1, value + 2, value + 0.5]
    return [other for other in values if other != value]


def with_leaf(cell, path, value):
    plain = cell.plain()
    node = plain
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    if path == ("text", "unit"):
        plain["text"]["vocabulary"] = None  # the default of the unit that is put there
    return Cell.model_validate_json(json.dumps(plain))


def changes(cell):
    """Path of every leaf, and the cell with another legal value there."""
    for path, field, value in leaves(cell):
        if path == ("text", "vocabulary") and cell.text.unit != "subword":
            continue
        if path[-1] == "forget_bias" and cell.model.encoder.recurrence.cell != "lstm":
            continue
        for other in near(value, field.annotation):
            try:
                yield path, with_leaf(cell, path, other)
                break
            except ValidationError:
                continue
        else:
            raise AssertionError(f"no other legal value known for {'.'.join(path)}")


PLACES = (
    "corpus",
    "augment.noise.folders",
    "augment.rooms.folders",
    "init_from.run",
    "init_from.checkpoint",
)
"""Keys that say where something lies: it counts by its content."""


def is_operational(path):
    return path[0] in OPERATIONAL or ".".join(path) in {*OPERATIONAL, *PLACES}


KINDS = {
    "features": ["log_mel", "log_spectrogram", "mfcc", "fbank"],
    "model.encoder.front_end": ["ds2", "vgg"],
    "model.encoder.attention": ATTENTION.names(),
    "model.head": HEADS.names(),
    "train.schedule": ["constant", "cosine", "one_cycle", "tri_stage", "noam"],
    "train.weights": ["best", "last", "average"],
}


def test_cells_hold_every_class_of_spec():
    """Else the tests over every leaf would pass by not looking."""
    seen = set()

    def see(model):
        seen.add(type(model))
        for _, value in model:
            if isinstance(value, BaseModel):
                see(value)

    for text in EVERY_KIND.values():
        see(cell_of(text))
    assert seen == set(SPECS)


@pytest.mark.parametrize("text", EVERY_KIND.values(), ids=EVERY_KIND)
def test_identity_changes_with_every_leaf_that_changes_the_weights_or_the_score(text):
    cell = cell_of(text)
    same = [
        ".".join(path)
        for path, other in changes(cell)
        if other.identity(FINGERPRINT) == cell.identity(FINGERPRINT) and not is_operational(path)
    ]
    assert same == []


def test_identity_stays_with_what_is_operational_and_with_the_place_of_what_is_read():
    cell = cell_of(f"model: {{name: ds2_crossattn}}\naugment: {SOUNDS}\n{EVERY_KIND['init_from']}")
    told = {path: other for path, other in changes(cell) if is_operational(path)}
    operational = {"run", "decode", "compare"}
    assert {path[0] for path in told} == operational | {"corpus", "train", "augment", "init_from"}
    assert {path[1] for path in told if path[0] == "init_from"} == {"run", "checkpoint"}
    assert {path[1] for path in told if path[0] == "augment"} == {"noise", "rooms"}
    assert {path[1] for path in told if path[0] == "train"} == {"max_hours", "stop_if_stuck"}
    assert {other.identity(FINGERPRINT) for other in told.values()} == {cell.identity(FINGERPRINT)}
    assert cell not in told.values()


@pytest.mark.parametrize("path", KINDS)
def test_identity_changes_with_every_kind(path):
    cells = [with_leaf(cell_of(), path.split("."), {"kind": kind}) for kind in KINDS[path]]
    assert len({cell.identity(FINGERPRINT) for cell in cells}) == len(KINDS[path]) >= 2


def test_identity_changes_with_the_fingerprint():
    assert cell_of().identity(FINGERPRINT) != cell_of().identity("f2" * 32)


def test_identity_changes_with_the_fingerprint_of_each_folder_of_sounds():
    cell = cell_of(f"augment: {SOUNDS}")
    sounds = [("a" * 16, "b" * 16), ("a" * 16, "c" * 16), ("c" * 16, "b" * 16)]
    identities = {cell.identity(FINGERPRINT, *each) for each in sounds}
    assert len(identities) == 3
    # What one file holds of both is told apart by the keys that are there.
    noise, rooms = (
        cell_of(f"augment: {{{key}: {{folders: halls}}}}") for key in ("noise", "rooms")
    )
    assert noise.identity(FINGERPRINT, "a" * 16) != rooms.identity(FINGERPRINT, "a" * 16)


def test_a_path_alone_names_the_run_to_start_from():
    assert cell_of("init_from: results/base") == cell_of("init_from: {run: results/base}")
    assert cell_of().init_from is None
    with pytest.raises(UserError, match=r"init_from\.run: found an empty text, allowed: any other"):
        cell_of("init_from: ''")


def test_layers_add_to_a_path_alone():
    cell = cell_of("init_from: results/base", "init_from.checkpoint=last")
    assert (cell.init_from.run, cell.init_from.checkpoint) == ("results/base", "last")
    (cell,) = study_of(
        "init_from: {run: results/base, parts: encoder}\nvariants: {a: {init_from: results/other}}"
    ).cells
    assert (cell.init_from.run, cell.init_from.parts) == ("results/other", "encoder")


def test_one_folder_may_stand_without_a_list():
    one, listed = (
        cell_of("", f"augment.noise.folders={folders}") for folders in ("halls", "[halls]")
    )
    assert one == listed
    assert one.augment.folders == {"noise": ("halls",)}
    assert cell_of().augment.folders == {}


def test_identity_changes_with_the_version_of_the_profile(monkeypatch):
    """What it counts has changed, so that another epoch may be the best."""
    cell = cell_of("score: {profile: nospace}")
    before = cell.identity(FINGERPRINT)
    later = replace(PROFILES["nospace"], version=PROFILES["nospace"].version + 1)
    monkeypatch.setitem(PROFILES, "nospace", later)
    assert cell.identity(FINGERPRINT) != before
    verbatim = cell_of("score: {profile: verbatim}")
    assert verbatim.identity(FINGERPRINT) == cell_of().identity(FINGERPRINT)


def test_subword_resolves_its_vocabulary():
    assert cell_of("text: {unit: subword}").text.vocabulary == SUBWORDS == 5000
    assert cell_of("text: {unit: subword}", "text.vocabulary=300").text.vocabulary == 300
    assert cell_of("text: {vocabulary: null}", "text.unit=subword").text.vocabulary == SUBWORDS
    assert cell_of("text: {unit: jamo}").text.vocabulary is None


def test_identity_is_8_hexadecimal_digits():
    identity = cell_of().identity(FINGERPRINT)
    assert len(identity) == 8
    assert set(identity) <= set("0123456789abcdef")


def test_identity_is_that_of_the_resolved_spec():
    """A default written out is the same run; the same file under another default is not."""
    assert cell_of("train: {epochs: 30}") == cell_of()

    class LongerTrain(TrainSpec):
        epochs: int = 31

    class LaterCell(Cell):
        train: LongerTrain = LongerTrain()

    model = MODELS["ds2"].model
    known = {"experiment": "demo", "variant": "ds2", "seed": 0, "corpus": "data/demo"}
    known["model"] = model
    assert Cell(**known).identity(FINGERPRINT) == cell_of().identity(FINGERPRINT)
    assert LaterCell(**known).identity(FINGERPRINT) != cell_of().identity(FINGERPRINT)
    written = LaterCell(**known, train=LongerTrain(epochs=30))
    assert written.identity(FINGERPRINT) == cell_of().identity(FINGERPRINT)


def test_identity_stays_when_a_class_lists_its_keys_in_another_order():
    fields = {n: (f.annotation, f.default) for n, f in reversed(TrainSpec.model_fields.items())}
    turned_train = create_model("TurnedTrain", __base__=Spec, **fields)
    turned_cell = create_model("TurnedCell", __base__=Cell, train=(turned_train, turned_train()))
    model = MODELS["ds2"].model
    turned = turned_cell(experiment="demo", variant="ds2", seed=0, corpus="data/demo", model=model)
    assert list(turned.plain()["train"]) == list(reversed(cell_of().plain()["train"]))
    assert turned.identity(FINGERPRINT) == cell_of().identity(FINGERPRINT)


def turned(node):
    """The same mapping with its keys the other way round, all the way down."""
    if not isinstance(node, dict):
        return node
    return {key: turned(value) for key, value in reversed(node.items())}


@pytest.mark.parametrize("text", EVERY_KIND.values(), ids=EVERY_KIND)
def test_identity_stays_under_another_order_of_keys(text):
    cell = cell_of(text)
    other = load_cell(write(yaml.safe_dump(turned(cell.plain()), sort_keys=False), "turned.yaml"))
    assert list(other.plain()) == list(cell.plain())
    assert other.identity(FINGERPRINT) == cell.identity(FINGERPRINT)


def test_identity_stays_when_a_whole_number_is_written_for_a_real_one():
    whole, real = (cell_of("", f"train.batch_seconds={n}") for n in ("60", "60.0"))
    assert whole.identity(FINGERPRINT) == real.identity(FINGERPRINT)


# What a run folder holds


@pytest.mark.parametrize("text", EVERY_KIND.values(), ids=EVERY_KIND)
def test_dump_and_load_round_trip(text):
    for cell in (cell_of(text), *(other for _, other in changes(cell_of(text)))):
        recorded = load_cell(write(dump_cell(cell), "spec.yaml"))
        assert recorded.plain() == cell.plain()
        assert recorded.identity(FINGERPRINT) == cell.identity(FINGERPRINT)
        assert recorded.plain()["model"]["encoder"] == cell.model.encoder.model_dump(mode="json")


def test_saved_spec_says_every_default_in_plain_text():
    cell = cell_of("", "corpus=자료/데모")
    text = dump_cell(cell)
    assert "corpus: 자료/데모\n" in text
    assert yaml.safe_load(text) == cell.plain()
    assert {".".join(path) for path, *_ in leaves(cell)} <= set(dotted(yaml.safe_load(text)))


def dotted(node, prefix=""):
    for key, value in node.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{key}.")


def test_saved_spec_takes_no_plan():
    cell = cell_of()
    saved = write(dump_cell(cell) + "seeds: [0]\n", "spec.yaml")
    assert message(load_cell, saved) == (
        "spec.yaml: seeds: found an unknown key, allowed: augment, compare, corpus, decode, "
        "experiment, features, fold, init_from, model, plugins, run, score, seed, text, train, "
        "variant; did you mean 'seed'?"
    )


# The classes


@pytest.mark.parametrize("kind", ALL_SPECS, ids=lambda kind: kind.__name__)
def test_every_key_is_described_in_one_line(kind):
    for name, field in kind.model_fields.items():
        if name == "kind" and kind in BASES:
            assert field.description is None, f"{kind.__name__} has as many kinds as there are"
            continue
        assert field.description, f"{kind.__name__}.{name} has no description"
        assert "\n" not in field.description
        assert field.description.endswith(".")


@pytest.mark.parametrize("kind", ALL_SPECS, ids=lambda kind: kind.__name__)
def test_every_class_is_closed_and_frozen(kind):
    assert kind.model_config["extra"] == ("allow" if kind is RecordedModel else "forbid")
    assert kind.model_config["frozen"]
    assert kind.model_config["strict"]


def test_cell_is_frozen():
    cell = cell_of()
    with pytest.raises(ValidationError, match="frozen"):
        cell.train.epochs = 3
    assert cell.train.epochs == 30


@pytest.mark.parametrize("name", MODELS)
def test_a_named_model_is_the_registrys(name):
    model = cell_of(f"model: {{name: {name}}}").model
    assert model == MODELS[name].model.model_copy(update={"name": name})


# Property: the last layer that says a key has it

LEAVES = {
    "corpus": st.text("abc/가나 '\":#{}[],&*!|>%@`-=", min_size=1),
    "text.unit": st.sampled_from(["char", "syllable", "jamo"]),
    "augment.speeds": st.lists(st.floats(0.5, 2), min_size=1, max_size=3).map(tuple),
    "augment.time_share": st.floats(0, 1),
    "model.encoder.recurrence.width": st.integers(1, 64).map(lambda n: 8 * n),
    "model.encoder.attention.position": st.sampled_from(
        ["sinusoidal", "learned", "shaw", "rotary"]
    ),
    "model.encoder.attention.dropout": st.floats(0, 0.99),
    "train.epochs": st.integers(1, 10**9),
    "train.batch_seconds": st.floats(0, 1e300, exclude_min=True),
    "train.optimizer.lr": st.floats(0, 1, exclude_min=True),
    "train.optimizer.betas": st.tuples(*2 * [st.floats(0, 1, exclude_max=True)]),
    "run.device": st.sampled_from(["auto", "cpu", "cuda"]),
}

LAYER = st.fixed_dictionaries({}, optional=LEAVES)


def sections(layer):
    """`layer`, its dotted keys unfolded."""
    keys = {}
    for path, value in layer.items():
        node = keys
        *above, last = path.split(".")
        for part in above:
            node = node.setdefault(part, {})
        node[last] = list(value) if isinstance(value, tuple) else value
    return keys


def value_at(cell, path):
    for part in path.split("."):
        cell = getattr(cell, part)
    return cell


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("layers")


@given(base=LAYER, file=LAYER, variant=LAYER, last=LAYER)
def test_every_key_has_the_value_of_the_last_layer_that_says_it(folder, base, file, variant, last):
    named = {"name": "demo", "corpus": "data/demo", "model": {"name": "ds2_posattn"}}
    texts = {
        "base.yaml": json.dumps(named),
        "middle.yaml": yaml.safe_dump({"extends": "base.yaml", **sections(base)}),
        "s.yaml": yaml.safe_dump(
            {"extends": "middle.yaml", **sections(file), "variants": {"v": sections(variant)}},
            allow_unicode=True,
        ),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    sets = [f"{path}={json.dumps(value, ensure_ascii=False)}" for path, value in last.items()]
    (cell,) = load_study(folder / "s.yaml", sets).cells
    expected = base | file | variant | last
    assert {path: value_at(cell, path) for path in expected} == expected
    (folder / "spec.yaml").write_text(dump_cell(cell), encoding="utf-8")
    assert load_cell(folder / "spec.yaml").plain() == cell.plain()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seeds: [010]", 'seeds.0: found "010", allowed: a valid integer'),
        (
            "seeds: [1000000000000000000000000000000]",
            "seeds.0: found 1000000000000000000000000000000, allowed: less than "
            "9223372036854775808",
        ),
        ("train: {epochs: 1:30}", 'train.epochs: found "1:30", allowed: a valid integer'),
        (
            "train: {epochs: 10000000000}",
            "train.epochs: found 10000000000, allowed: less than or equal to 1000000000",
        ),
        (
            "features: {kind: fbank, bands: 2}",
            "features.bands: found 2, allowed: greater than or equal to 4",
        ),
        (
            "features: {window_ms: 1e9}",
            "features.window_ms: found 1000000000.0, allowed: less than or equal to 1000",
        ),
        (
            "model: {encoder: {recurrence: {dropout: 0.999999999}}}",
            "model.encoder.recurrence.dropout: found 0.999999999, allowed: less than or equal to "
            "0.99",
        ),
        (
            "folds: 1000000000",
            "folds: found a study of 1,000,000,000 runs, allowed: at most 10,000",
        ),
        (
            "grid:\n" + "".join(f"  augment.key{i}: {list(range(10))}\n" for i in range(10)),
            "grid.augment.key0: found a study of 10,000,000,000 runs, allowed: at most 10,000",
        ),
    ],
)
def test_a_value_out_of_bounds_is_one_line(text, expected):
    assert message(study_of, text) == f"s.yaml: {expected}"


MIXED = "seeds: [0, 1]\nvariants: {ds2: , a: {model: {name: ds2_selfattn}}}\n"


def test_set_applies_to_the_variants_that_have_the_key():
    study = study_of(MIXED, "model.encoder.attention.heads=2", "train.epochs=3")
    heads = {
        (c.variant, c.seed): getattr(c.model.encoder.attention, "heads", None) for c in study.cells
    }
    assert heads == {("ds2", 0): None, ("ds2", 1): None, ("a", 0): 2, ("a", 1): 2}
    assert {cell.train.epochs for cell in study.cells} == {3}
    assert [(each.text, each.variant) for each in study.not_applied] == [
        ("model.encoder.attention.heads=2", "ds2")
    ]
    without = study_of(MIXED, "train.epochs=3")
    assert [c for c in study.cells if c.variant == "ds2"] == without.cells[:2]


def test_an_unknown_key_is_shared_among_ranks_as_other_errors_are():
    with pytest.raises(UserError) as caught:
        cell_of("sed: 3")
    assert type(caught.value) is not UserError
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_set_of_a_key_that_no_variant_has_is_an_error():
    assert message(study_of, MIXED, "model.encoder.attention.hedas=2") == (
        "--set model.encoder.attention.hedas: found an unknown key, allowed: kind"
    )
    assert message(study_of, MIXED, "model.encoder.attention.heads=two") == (
        '--set model.encoder.attention.heads: found "two", allowed: a valid integer'
    )


def test_set_of_one_variant():
    study = study_of(MIXED, "variants.a.model.encoder.attention.heads=2")
    assert [c.model.encoder.attention.heads for c in study.cells if c.variant == "a"] == [2, 2]
    assert not study.not_applied


# Names of folders


def test_names_in_hangul_are_stored_in_nfc():
    """The names that macOS hands over have their syllables taken apart, and mean the same."""
    apart = unicodedata.normalize("NFD", "셀프어텐션")
    name = unicodedata.normalize("NFD", "한국어_실험-1")
    study = study_of(f"variants: {{기준: , {apart}: }}\nonly: [{apart}]", f"name={name}")
    assert study.name == "한국어_실험-1"
    assert study.variants == ["셀프어텐션"]
    assert Run.of(Path("results"), study.cells[0], FINGERPRINT).folder.parent == Path(
        "results/한국어_실험-1/셀프어텐션"
    )


@pytest.mark.parametrize(
    "name", ["CON", "nul", "com1", "Lpt9.x", "aux.y", "a.", "a..", "\u3164", "a\u115fb", "가/나",
             "가 나", "_a", "가:나", "가\u200b", "\u202ea"]
)  # fmt: skip
def test_names_that_some_file_system_refuses(name):
    with pytest.raises(UserError, match=r"^here: found the name '"):
        folder_name("here", name)


@pytest.mark.parametrize(
    "name", ["실험", "v1.5", "a=1,b=0.5", "0+1", "é", "연습2", "console", "com"]
)
def test_names_that_every_file_system_takes(name, tmp_path):
    assert folder_name("here", name) == name
    (tmp_path / name).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_longest_name_is_counted_in_bytes(tmp_path):
    """66 syllables have 198 bytes."""
    (tmp_path / folder_name("here", 66 * "가")).mkdir()
    with pytest.raises(UserError, match=r"^here: found a name of 201 bytes in UTF-8, allowed"):
        folder_name("here", 67 * "가")


@pytest.mark.parametrize("other", ["A", unicodedata.normalize("NFD", "가")])
def test_two_variants_in_one_folder(other):
    one = "a" if other == "A" else "가"
    assert message(study_of, f"variants: {{{one}: , {other}: }}") == (
        f"s.yaml: variants: found '{one}' and '{unicodedata.normalize('NFC', other)}', which are "
        f"one folder on macOS and Windows; rename one"
    )


# Complete specs: what `--print-config` prints, and a run's spec.yaml


def printed(study):
    """The file with what `--print-config` prints of `study`."""
    return write("---\n".join(map(dump_cell, study.cells)), "printed.yaml")


def test_a_printed_study_is_read_back_as_it_was():
    study = study_of("seeds: [3, 4]\nfolds: 2\nvariants: {x: {train: {epochs: 3}}, y: }")
    again = load_study(printed(study))
    assert again == study
    assert len(again.cells) == 8


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_is_read_back_as_it_was(name):
    study = study_of(f"model: {{name: {name}}}")
    assert load_study(printed(study)) == study


def test_set_changes_a_complete_spec():
    (cell,) = load_study(printed(study_of()), ["train.epochs=7", "variant=short"]).cells
    assert (cell.train.epochs, cell.variant) == (7, "short")
    assert message(load_study, printed(study_of()), ["seeds=[1]"]).startswith(
        "--set seeds: found an unknown key, allowed: augment, "
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("experiment: demo", "experiment: ../a", "experiment: found the name '../a', allowed"),
        ("seed: 0", "seed: 0\nseeds: [1]", "seeds: found an unknown key, allowed: augment"),
        ("corpus: data/demo\n", "", "corpus: missing; it has no default"),
        ("plugins: []", "plugins: [x.py]", 'plugins.0: found "x.py", allowed: '),
        ("name: ds2", "name: nothing", "model.name: found"),
    ],
)
def test_a_complete_spec_with_a_fault_is_one_line(old, new, expected):
    path = printed(study_of())
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    found = message(load_study, path)
    assert found.startswith(f"printed.yaml: {expected}")
    assert "Value error" not in found


def test_documents_that_are_not_one_study_are_refused():
    path = write("name: a\ncorpus: c\n---\nname: b\ncorpus: c\n")
    assert message(load_study, path) == ("s.yaml: found 2 YAML documents, allowed: one experiment")
    cell = cell_of()
    both = [cell.model_copy(update={"experiment": name}) for name in ("a", "b")]
    path = write("---\n".join(map(dump_cell, both)))
    assert message(load_study, path) == (
        "s.yaml: experiment: found a and b, allowed: one in a file"
    )
