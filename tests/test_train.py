"""Training: it learns, it can be killed at any moment, it refuses what cannot be."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from asrbench.data.corpus import CorpusWriter, Utterance
from asrbench.errors import UserError
from asrbench.objective import Losses
from asrbench.registry import MODELS
from asrbench.reporting import Silent
from asrbench.runs import Run
from asrbench.spec import Cell
from asrbench.specfile import load_study
from asrbench.train import Diverged, Interrupted, prepare, train
from asrbench.waveform import SAMPLE_RATE_HZ, Samples

SMALL = """
name: tiny
corpus: {corpus}
augment: {{frequency_masks: 0, time_masks: 0}}
features: {{kind: log_mel, bands: 20}}
model:
  front_end: {{channels: 4}}
  recurrence: {{layers: 1, width: 32, dropout: 0.0}}
train:
  epochs: 4
  batch_seconds: 3
  precision: fp32
  optimizer: {{lr: 1e-2, clip_norm: 20}}
  schedule: {{kind: constant, warmup: 0.0}}
"""
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


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus") / "tones", TEXTS, TEXTS[:2])


def cell_of(tmp_path: Path, corpus: Path, *sets: str) -> Cell:
    spec = tmp_path / "tiny.yaml"
    spec.write_text(SMALL.format(corpus=corpus))
    (cell,) = load_study(spec, list(sets)).cells
    return cell


def sets_for(name: str) -> list[str]:
    sets = [f"model.name={name}"]
    model = MODELS[name].model
    if model.attention.kind != "none":
        sets.append("model.attention={heads: 2, dropout: 0.0}")
    if model.decoder.kind != "none":
        sets.append(
            "model.decoder={layers: 1, width: 32, heads: 2, feed_forward: 64, dropout: 0.0,"
            " label_smoothing: 0.0}"
        )
    return sets


def trained(cell: Cell, results: Path) -> Run:
    prepared = prepare(cell, results)
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


def same_weights(one: Run, other: Run) -> bool:
    a, b = load_file(one.weights_path("last")), load_file(other.weights_path("last"))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", MODELS)
def test_every_variant_overfits_two_utterances_to_cer_zero(name: str, tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "two", TEXTS[:2], TEXTS[:2])
    sets = ["train.epochs=80", "train.batch_seconds=10", *sets_for(name)]
    run = trained(cell_of(tmp_path, corpus, *sets), tmp_path / "results")
    assert min(row["dev_cer"] for row in run.history()) == 0
    assert run.history()[-1]["loss"] < run.history()[0]["loss"] / 4


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("steps", [1, 4, 7])
def test_stopping_at_any_step_and_resuming_equals_never_stopping(
    name: str, steps: int, tmp_path: Path, corpus: Path
) -> None:
    """Two batches an epoch: 1 and 7 stop within an epoch; 4 makes two epochs and two of four.
    Dropout, speed and masks are on, so that every source of chance takes part."""
    sets = [
        *sets_for(name),
        "model.recurrence.dropout=0.2",
        "augment={speeds: [0.9, 1.1], time_masks: 1, frequency_masks: 1, frequency_width: 5}",
    ]
    cell = cell_of(tmp_path, corpus, *sets)
    whole = trained(cell, tmp_path / "whole")
    prepared = prepare(cell, tmp_path / "halves")
    with pytest.raises(Interrupted, match=r"the same command goes on from there"):
        train(prepared, StopsAfter(steps))
    assert len(prepared.run.history()) < 4
    halves = trained(cell, tmp_path / "halves")
    assert same_weights(whole, halves)
    untimed = [
        [{k: v for k, v in row.items() if "second" not in k} for row in run.history()]
        for run in (whole, halves)
    ]
    assert untimed[0] == untimed[1]


def test_kill_9_leaves_a_resumable_run(tmp_path: Path, corpus: Path) -> None:
    cell = cell_of(tmp_path, corpus, "train.epochs=6", "run.checkpoint_minutes=1e-6")
    whole = trained(cell, tmp_path / "whole")
    program = (
        "import sys; from pathlib import Path\n"
        "from asrbench.specfile import load_study\n"
        "from asrbench.train import prepare, train\n"
        "class R:\n"
        "    def say(self, line): print(line, flush=True)\n"
        "    def progress(self, task, done, total, note=''): print(task, flush=True)\n"
        "cell, = load_study(Path(sys.argv[1]), sys.argv[3:]).cells\n"
        "train(prepare(cell, Path(sys.argv[2])), R())\n"
    )
    results = tmp_path / "killed"
    command = [sys.executable, "-c", program, str(tmp_path / "tiny.yaml"), str(results)]
    sets = ["train.epochs=6", "run.checkpoint_minutes=1e-6"]
    with subprocess.Popen([*command, *sets], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch 3/"):
                process.kill()
                break
    (run,) = Run.find([results])
    assert 1 <= len(run.history()) < 6
    (run.folder / "checkpoints/best.safetensors.tmp-1").write_bytes(b"cut short")
    assert same_weights(whole, trained(cell, results))
    assert not list(run.folder.rglob("*.tmp-*"))


def test_a_kill_after_the_last_state_and_before_the_history_is_mended(
    tmp_path: Path, corpus: Path
) -> None:
    cell = cell_of(tmp_path, corpus, "train.epochs=1")
    run = trained(cell, tmp_path / "results")
    history = run.history()
    run.history_path.unlink()
    assert not run.done
    assert trained(cell, tmp_path / "results").history() == history
    assert run.done


def test_two_processes_on_one_run(tmp_path: Path, corpus: Path) -> None:
    """The second is told who holds it; when the first is killed, the lock goes with it."""
    prepared = prepare(cell_of(tmp_path, corpus, "train.epochs=1"), tmp_path / "results")
    program = (
        "import sys, time; from pathlib import Path; from asrbench.runs import Run\n"
        "with Run(Path(sys.argv[1])).held():\n    print('held', flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(prepared.run.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"process {process.pid} on .* is training it"):
            train(prepared, Silent())
        assert not prepared.run.spec_path.exists()
        process.kill()
    train(prepared, Silent())
    assert prepared.run.done
    assert not (prepared.run.folder / "lock.holder").exists()


def test_workers_do_not_change_the_weights(tmp_path: Path, corpus: Path) -> None:
    sets = ["train.epochs=2", "augment.speeds=[0.9, 1.0, 1.1]"]
    alone = trained(cell_of(tmp_path, corpus, *sets), tmp_path / "alone")
    helped = trained(cell_of(tmp_path, corpus, *sets, "run.workers=2"), tmp_path / "helped")
    assert same_weights(alone, helped)


def test_a_run_that_is_done_knows_it(tmp_path: Path, corpus: Path) -> None:
    cell = cell_of(tmp_path, corpus, "train.epochs=1")
    run = trained(cell, tmp_path / "results")
    assert run.done
    assert not prepare(cell.model_copy(update={"seed": 1}), tmp_path / "results").run.done


def test_history_and_environment_hold_what_was_promised(tmp_path: Path, corpus: Path) -> None:
    run = trained(cell_of(tmp_path, corpus, "train.epochs=2"), tmp_path / "results")
    rows = run.history()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["steps"] for row in rows] == [rows[0]["steps"], 2 * rows[0]["steps"]]
    for row in rows:
        assert 0 < row["loss"] < 50
        assert 0 <= row["blank_fraction"] <= 1
        assert 0 <= row["empty_share"] <= 1
        assert row["gradient_norm"] > 0
        assert row["audio_seconds_per_second"] > 0
        assert math.isclose(row["lr"], 0.01)
    env = run.env
    assert env["device"] == "cpu"
    assert env["precision"] == "fp32"
    assert env["parameters"] > 0
    assert run.cell.variant == "ds2"


def test_utterances_ctc_cannot_align_are_listed_and_left_out(tmp_path: Path) -> None:
    """0.3 s make 28 frames, 7 after a time stride of 4; `aaaa` needs 4 symbols and 3 blanks, so
    it just fits, and five do not."""
    folder = tmp_path / "crammed"
    with CorpusWriter.create(
        folder, name="c", recipe="test", source="t", text_profile="verbatim", strict=True
    ) as writer:
        writer.add("train", Utterance("fits", spoken("a"), "aaaa"))
        writer.add("train", Utterance("crammed", spoken("a"), "aaaaa"))
        writer.add("dev", Utterance("dev", spoken("a"), "a"))
    sets = ["train.epochs=1", "model.front_end.time_stride=4"]
    run = trained(cell_of(tmp_path, folder, *sets), tmp_path / "results")
    assert run.excluded_path.read_text() == '{"id": "crammed", "frames": 7, "needed": 9}\n'
    with pytest.raises(UserError, match="no training utterance has the frames CTC needs"):
        trained(cell_of(tmp_path, folder, *sets, "augment.speeds=[2.0]"), tmp_path / "results")


def test_a_loss_that_is_no_number_stops_with_the_checkpoint_intact(
    tmp_path: Path, corpus: Path
) -> None:
    sets = [
        *("train.optimizer.lr=1e30", "train.schedule.warmup=0.5", "train.optimizer.clip_norm=1e9"),
        "run.checkpoint_minutes=1e-6",
    ]
    prepared = prepare(cell_of(tmp_path, corpus, *sets), tmp_path / "results")
    with pytest.raises(Diverged, match=r"is -?(nan|inf) at step \d+, utterances train\d"):
        train(prepared, Silent())
    stored = torch.load(prepared.run.state_path, weights_only=True)
    assert all(torch.isfinite(w).all() for w in stored["model"].values())


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["corpus=nowhere"], "asrbench prep RECIPE SOURCE --out nowhere"),
        (["text.unit=jamo"], "text.unit: 'jamo' spells Hangul, but the training texts have none"),
        (["run.device=cuda"], "device: found 'cuda', but this machine has no CUDA device"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_nothing_created(
    sets: list[str], message: str, tmp_path: Path, corpus: Path
) -> None:
    if "cuda" in sets[0] and torch.cuda.is_available():
        pytest.skip("has CUDA")
    with pytest.raises(UserError) as error:
        prepare(cell_of(tmp_path, corpus, *sets), tmp_path / "results")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "results").exists()


def test_a_corpus_without_dev_is_refused(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "nodev", TEXTS, [])
    with pytest.raises(UserError, match="training needs 'dev'; prepare it with --dev N"):
        prepare(cell_of(tmp_path, corpus), tmp_path / "results")


def test_a_gradient_that_is_no_number_is_no_step(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is fine, its gradient is not: no step is made of it, and none is saved."""
    prepared = prepare(cell_of(tmp_path, corpus), tmp_path / "results")
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    with pytest.raises(Diverged, match=r"the gradient norm is inf at step 1, utterances train\d"):
        train(prepared, Silent())
    assert not prepared.run.state_path.exists()


def test_an_interrupt_in_the_last_dev_pass_stops_the_study(tmp_path: Path, corpus: Path) -> None:
    class StopsInDev(Silent):
        def progress(self, task: str, done: int, total: int, note: str = "") -> None:
            if task == "dev":
                os.kill(os.getpid(), signal.SIGINT)

    prepared = prepare(cell_of(tmp_path, corpus, "train.epochs=1"), tmp_path / "results")
    with pytest.raises(Interrupted, match="stopped after epoch 1 of 1"):
        train(prepared, StopsInDev())
    assert prepared.run.done


def test_a_truncated_state_is_named(tmp_path: Path, corpus: Path) -> None:
    cell = cell_of(tmp_path, corpus, "train.epochs=2")
    prepared = prepare(cell, tmp_path / "results")
    with pytest.raises(Interrupted):
        train(prepared, StopsAfter(2))
    whole = prepared.run.state_path.read_bytes()
    prepared.run.state_path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"state\.pt: cannot be read; delete .* train it again"):
        train(prepared, Silent())


@pytest.mark.parametrize("unit", ["syllable", "jamo"])
def test_loss_is_for_a_character_whatever_unit_spells_it(
    unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss of 30 nats for the one batch of `각` and `가나`, 3 characters, or 7 jamo: 10 each."""
    folder = tmp_path / "hangul"
    with CorpusWriter.create(
        folder, name="h", recipe="test", source="t", text_profile="verbatim", strict=True
    ) as writer:
        for split, text in (("train", "각"), ("train", "가나"), ("dev", "가")):
            writer.add(split, Utterance(split + text, spoken("abc"), text))

    def thirty(model: torch.nn.Module, *_: object) -> Losses:
        total = 0 * sum(p.sum() for p in model.parameters()) + 30
        return Losses(total, total, None)

    monkeypatch.setattr("asrbench.train.losses", thirty)
    sets = [f"text.unit={unit}", "train.epochs=1"]
    run = trained(cell_of(tmp_path, folder, *sets), tmp_path / "results")
    assert math.isclose(run.history()[0]["loss"], 10, rel_tol=1e-6)


def test_a_state_of_another_run_is_refused(tmp_path: Path, corpus: Path) -> None:
    one = trained(cell_of(tmp_path, corpus, "train.epochs=1"), tmp_path / "results")
    other = prepare(cell_of(tmp_path, corpus, "train.epochs=2"), tmp_path / "results")
    other.run.state_path.parent.mkdir(parents=True)
    other.run.state_path.write_bytes(one.state_path.read_bytes())
    with pytest.raises(UserError, match=r"state\.pt: run: found 'seed0-"):
        train(other, Silent())
