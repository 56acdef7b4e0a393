"""Training: it learns, it can be stopped at any step, it refuses what cannot be."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tones import (
    TEXTS,
    Heard,
    StopsAfter,
    cell_of,
    chance_for,
    make_corpus,
    same_weights,
    sets_for,
    spoken,
    trained,
)

from asrbench.base.errors import UserError
from asrbench.base.reporting import Silent
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.experiment.registry import MODELS
from asrbench.models.heads.head import Losses
from asrbench.models.model import Model
from asrbench.training.loop import train
from asrbench.training.setup import set_up
from asrbench.training.step import Trainer
from asrbench.training.stopping import Diverged, Interrupted, OutOfMemory, Stuck

OF_THE_MACHINE = ("wait_share", "other_load")
"""What a history says of the machine during an epoch, besides the seconds."""


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
    cell = cell_of(tmp_path, corpus, *sets_for(name), *chance_for(name))
    whole = trained(cell, tmp_path / "whole")
    prepared = set_up(cell, tmp_path / "halves")
    with pytest.raises(Interrupted, match=r"the same command continues from there"):
        train(prepared, StopsAfter(steps))
    assert len(prepared.run.history()) < 4
    halves = trained(cell, tmp_path / "halves")
    assert same_weights(whole, halves)
    untimed = [
        [
            {k: v for k, v in row.items() if "second" not in k and k not in OF_THE_MACHINE}
            for row in run.history()
        ]
        for run in (whole, halves)
    ]
    assert untimed[0] == untimed[1]


def test_two_processes_on_one_run(tmp_path: Path, corpus: Path) -> None:
    """The second is told who holds it; when the first is killed, the lock goes with it."""
    prepared = set_up(cell_of(tmp_path, corpus, "train.epochs=1"), tmp_path / "results")
    program = (
        "import sys, time; from pathlib import Path\n"
        "from asrbench.experiment.run_folder import Run\n"
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
    assert not set_up(cell.model_copy(update={"seed": 1}), tmp_path / "results").run.done


def test_history_and_environment_hold_what_was_promised(tmp_path: Path, corpus: Path) -> None:
    run = trained(cell_of(tmp_path, corpus, "train.epochs=2"), tmp_path / "results")
    rows = run.history()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["steps"] for row in rows] == [rows[0]["steps"], 2 * rows[0]["steps"]]
    for row in rows:
        assert 0 < row["loss"] < 50
        assert 0 <= row["blank_fraction"] <= 1
        assert row["dev_search"] == "greedy"
        assert not {"ctc_loss", "attention_loss"} & set(row)
        assert 0 <= row["empty_share"] <= 1
        assert row["gradient_norm"] > 0
        assert 0 <= row["wait_share"] < 1
        # Epochs this short cannot be measured.
        assert row["other_load"] is None or row["other_load"] >= 0
        assert "peak_memory_gb" not in row
        assert row["audio_seconds_per_second"] > 0
        assert math.isclose(row["lr"], 0.01)
    env = run.env
    assert env["device"] == "cpu"
    assert env["precision"] == "fp32"
    assert env["parameters"] > 0
    assert run.cell.variant == "ds2"


def test_the_history_has_each_loss_of_a_head_with_several(tmp_path: Path, corpus: Path) -> None:
    """`loss` is 0.3 of CTC and 0.7 of attention; the search that chooses can be another."""
    sets = ["train.epochs=2", *sets_for("ds2_crossattn"), "model.head.selection=attention"]
    run = trained(cell_of(tmp_path, corpus, *sets), tmp_path / "results")
    for row in run.history():
        mixed = 0.3 * row["ctc_loss"] + 0.7 * row["attention_loss"]
        assert row["loss"] == pytest.approx(mixed)
        assert row["ctc_loss"] != pytest.approx(row["attention_loss"], rel=1e-3)
        assert row["dev_search"] == "attention"
        assert {"decoder", "head"} < set(row["layer_gradient_norms"])


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
    sets = ["train.epochs=1", "model.encoder.front_end.time_stride=4"]
    run = trained(cell_of(tmp_path, folder, *sets), tmp_path / "results")
    assert run.excluded_path.read_text() == '{"id": "crammed", "frames": 7, "needed": 9}\n'
    with pytest.raises(UserError, match="no training utterance has the frames that its text needs"):
        trained(cell_of(tmp_path, folder, *sets, "augment.speeds=[2.0]"), tmp_path / "results")


def test_a_loss_that_is_no_number_stops_with_the_checkpoint_intact(
    tmp_path: Path, corpus: Path
) -> None:
    sets = [
        *("train.optimizer.lr=1e30", "train.schedule.warmup=0.5", "train.optimizer.clip_norm=1e9"),
        "run.checkpoint_minutes=1e-6",
    ]
    prepared = set_up(cell_of(tmp_path, corpus, *sets), tmp_path / "results")
    with pytest.raises(Diverged, match=r"is -?(nan|inf) at step \d+, utterances train\d"):
        train(prepared, Silent())
    stored = torch.load(prepared.run.state_paths()[0], weights_only=True)
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
        set_up(cell_of(tmp_path, corpus, *sets), tmp_path / "results")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "results").exists()


def test_a_corpus_without_dev_is_refused(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "nodev", TEXTS, [])
    with pytest.raises(UserError, match="training needs 'dev'; prepare it with --dev N"):
        set_up(cell_of(tmp_path, corpus), tmp_path / "results")


def test_a_gradient_that_is_no_number_is_no_step(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is fine, its gradient is not: no step is made of it, and none is saved."""
    prepared = set_up(cell_of(tmp_path, corpus), tmp_path / "results")
    monkeypatch.setattr(
        "asrbench.training.step.get_total_norm", lambda *_: torch.tensor(float("inf"))
    )
    with pytest.raises(Diverged, match=r"the gradient norm is inf at step 1, utterances train\d"):
        train(prepared, Silent())
    assert not prepared.run.state_paths()


def test_an_interrupt_in_the_last_dev_pass_stops_the_study(tmp_path: Path, corpus: Path) -> None:
    class StopsInDev(Silent):
        def progress(self, task: str, done: int, total: int, note: str = "") -> None:
            if task == "dev":
                os.kill(os.getpid(), signal.SIGINT)

    prepared = set_up(cell_of(tmp_path, corpus, "train.epochs=1"), tmp_path / "results")
    with pytest.raises(Interrupted, match="stopped after epoch 1 of 1"):
        train(prepared, StopsInDev())
    assert prepared.run.done


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

    def thirty(model: Model, *_: object) -> Losses:
        return {"total": 0 * sum(p.sum() for p in model.parameters()) + 30}

    monkeypatch.setattr(Model, "forward", thirty)
    sets = [f"text.unit={unit}", "train.epochs=1"]
    run = trained(cell_of(tmp_path, folder, *sets), tmp_path / "results")
    assert math.isclose(run.history()[0]["loss"], 10, rel_tol=1e-6)


@pytest.mark.parametrize("every_step", [True, False])
def test_what_is_read_late_still_never_reaches_a_checkpoint(
    every_step: bool, tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where metrics are read once a second: always before a save, and at the end of
    an epoch."""
    monkeypatch.setattr(Trainer, "metrics_at_hand", False)
    monkeypatch.setattr("asrbench.training.loop.READ_SECONDS", 1e9)
    prepared = set_up(
        cell_of(
            tmp_path,
            corpus,
            *("train.optimizer.lr=1e30", "train.optimizer.clip_norm=1e9"),
            f"run.checkpoint_minutes={1e-6 if every_step else 1e6}",
        ),
        tmp_path / "results",
    )
    with pytest.raises(Diverged, match=r"is -?(nan|inf) at step 2, utterances train\d"):
        train(prepared, Silent())
    states = prepared.run.state_paths()
    assert [path.name.split("-")[1] for path in states] == (["1"] if every_step else [])
    for path in states:
        stored = torch.load(path, weights_only=True)
        assert all(torch.isfinite(w).all() for w in stored["model"].values())


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 1 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 1 byte"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "python"],
)
def test_out_of_memory_is_one_line_with_the_checkpoint_intact(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    cell = cell_of(tmp_path, corpus, "run.checkpoint_minutes=1e-6")
    prepared = set_up(cell, tmp_path / "results")
    step = Trainer.step

    def full(
        self: Trainer, *micro_batches: object, number: int, epoch: int, progress: float
    ) -> object:
        if (epoch, number) == (1, 1):
            raise error
        return step(self, *micro_batches, number=number, epoch=epoch, progress=progress)

    monkeypatch.setattr(Trainer, "step", full)
    with pytest.raises(OutOfMemory) as caught:
        train(prepared, Silent())
    assert str(caught.value) == (
        f"{prepared.run}: out of memory on cpu in step 5 (utterances: 1, at most 1.2 s of "
        "audio at once with padding); nothing was saved since the last checkpoint, which is "
        "intact; another run with train.accumulate=2 or train.batch_seconds below 3 needs less"
    )
    monkeypatch.undo()
    train(prepared, Silent())
    assert same_weights(trained(cell, tmp_path / "whole"), prepared.run)


def test_a_run_that_does_not_learn_is_told_so_and_stops_if_asked(
    tmp_path: Path, corpus: Path
) -> None:
    """At a rate of next to nothing the loss stays where it is. Going on with a higher limit is the
    same run, and the last epoch is never refused."""
    sets = ("train.optimizer.lr=1e-12", "train.epochs=6")
    cell = cell_of(tmp_path, corpus, *sets, "train.stop_if_stuck=2")
    prepared, heard = set_up(cell, tmp_path / "results"), Heard()
    for _ in range(2):
        with pytest.raises(Stuck, match=r"found no sign of learning in 2 epochs in a row, and"):
            train(prepared, heard)
        assert len(prepared.run.history()) == 4
    assert len([line for line in heard.lines if "the loss has changed by less than" in line]) == 1
    patient = cell_of(tmp_path, corpus, *sets, "train.stop_if_stuck=4")
    run = trained(patient, tmp_path / "results")
    assert run == prepared.run
    assert run.done
