"""States are known to be whole, the one before is kept, and what others read agrees with them."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tones import Heard, StopsAfter, cell_of, same_weights, trained

from asrbench.base.errors import UserError
from asrbench.base.reporting import Silent
from asrbench.executors.executor import TimeBudget
from asrbench.executors.local import Sequential
from asrbench.experiment.run_folder import Run
from asrbench.recogniser.recogniser import Recogniser
from asrbench.training import checkpoint
from asrbench.training.checkpoint import State, resume, save
from asrbench.training.loop import train
from asrbench.training.setup import TrainingSetup, set_up
from asrbench.training.step import Trainer
from asrbench.training.stopping import Interrupted

EVERY_STEP = "run.checkpoint_minutes=1e-6"
Damage = Callable[[bytes], bytes]


def truncated(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def flipped(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]


def damage(path: Path, how: Damage) -> None:
    path.write_bytes(how(path.read_bytes()))


def steps_of(run: Run) -> list[int]:
    return [int(path.name.split("-")[1]) for path in run.state_paths()]


@pytest.fixture
def prepared(tmp_path: Path, corpus: Path) -> TrainingSetup:
    """Three epochs of three steps, the last two averaged, with a checkpoint after every step."""
    average = "train.weights={kind: average, epochs: 2}"
    cell = cell_of(tmp_path, corpus, "train.epochs=3", average, EVERY_STEP)
    return set_up(cell, tmp_path / "results")


def stopped(prepared: TrainingSetup, steps: int) -> Run:
    with pytest.raises(Interrupted):
        train(prepared, StopsAfter(steps))
    return prepared.run


def fresh(prepared: TrainingSetup) -> State:
    fingerprint = prepared.corpus.fingerprint
    return State(Trainer(prepared.cell, prepared.tokenizer, fingerprint, prepared.device))


# Damage


@pytest.mark.parametrize("how", [truncated, flipped])
def test_a_damaged_state_is_told_and_the_one_before_is_used(
    how: Damage, prepared: TrainingSetup, tmp_path: Path
) -> None:
    """As if training had been stopped there: the weights are those of never having stopped."""
    run = stopped(prepared, 5)
    assert steps_of(run) == [5, 4]
    newest, before = run.state_paths()
    damage(newest, how)
    heard = Heard()
    train(prepared, heard)
    told, goes_on, *_ = heard.lines
    assert told == f"{newest}: is damaged and was deleted; training resumes from {before.name}"
    assert goes_on == f"{run}: continues at epoch 2, batch 2"
    whole = trained(prepared.cell, tmp_path / "whole")
    for which in ("last", "best", "average"):
        assert same_weights(whole, run, which)


@pytest.mark.parametrize("steps", [6, 7, 8])
def test_the_average_is_the_same_after_a_damaged_state(
    steps: int, prepared: TrainingSetup, tmp_path: Path
) -> None:
    """Before, just after and well after the dev pass of the first epoch that is averaged."""
    run = stopped(prepared, steps)
    damage(run.state_paths()[0], flipped)
    train(prepared, Silent())
    whole = trained(prepared.cell, tmp_path / "whole")
    assert same_weights(whole, run, "average")
    assert not same_weights(whole, run, "average", "last")


def test_both_states_damaged(prepared: TrainingSetup) -> None:
    run = stopped(prepared, 5)
    newest, before = run.state_paths()
    damage(newest, truncated)
    damage(before, flipped)
    with pytest.raises(UserError) as caught:
        train(prepared, Silent())
    assert str(caught.value) == (
        f"{newest}: is damaged, and there is no other state to resume from; "
        f"delete {run.folder} and train the run again"
    )
    assert run.state_paths() == [newest, before]


def test_a_state_of_another_version_alone_is_refused(prepared: TrainingSetup) -> None:
    run = stopped(prepared, 1)
    (newest,) = run.state_paths()
    newest.rename(newest.with_name("state.pt"))
    with pytest.raises(UserError, match=r"state\.pt: is damaged, and there is no other state"):
        train(prepared, Silent())


def test_what_is_whole_and_no_state_is_damaged(prepared: TrainingSetup) -> None:
    """Its name fits its content, and yet it cannot be read."""
    run = stopped(prepared, 2)
    newest, before = run.state_paths()
    newest.write_bytes(b"no state")
    newest.rename(run.state_path(2, checkpoint.digest(newest)))
    resume(state := fresh(prepared), run, Silent())
    assert state.steps == 1
    assert run.state_paths() == [before]


def test_a_state_of_another_run_is_refused(prepared: TrainingSetup, tmp_path: Path) -> None:
    run = stopped(prepared, 1)
    other = set_up(prepared.cell.model_copy(update={"seed": 1}), tmp_path / "results")
    (state,) = run.state_paths()
    there = other.run.folder / "checkpoints" / state.name
    there.parent.mkdir(parents=True)
    there.write_bytes(state.read_bytes())
    with pytest.raises(UserError, match=r"\.pt: run: found 'seed0-"):
        train(other, Silent())
    assert there.is_file()


# Kills between one file and the next


def test_a_kill_between_write_and_prune_leaves_a_state_too_many(
    prepared: TrainingSetup, tmp_path: Path
) -> None:
    run = stopped(prepared, 4)
    oldest = run.state_paths()[1]
    kept = oldest.read_bytes()
    train_on = stopped(prepared, 1)
    oldest.write_bytes(kept)
    assert steps_of(train_on) == [5, 4, 3]
    stopped(prepared, 1)
    assert steps_of(run) == [6, 5]
    train(prepared, Silent())
    assert same_weights(trained(prepared.cell, tmp_path / "whole"), run)


def test_a_kill_between_the_last_state_and_the_history_is_mended(
    prepared: TrainingSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    published = checkpoint.publish

    def killed(state: State, run: Run) -> None:
        if state.complete:
            raise Killed
        published(state, run)

    monkeypatch.setattr(checkpoint, "publish", killed)
    with pytest.raises(Killed):
        train(prepared, Silent())
    run = prepared.run
    assert not run.done
    assert len(run.history()) == 2
    monkeypatch.undo()
    train(prepared, Silent())
    assert run.done
    assert [row["epoch"] for row in run.history()] == [1, 2, 3]
    assert run.state_paths() == []
    for which in ("last", "average"):
        assert Recogniser.epoch_of(run.weights_path(which)) == 3


def test_a_run_that_is_done_keeps_its_weights_and_no_state(prepared: TrainingSetup) -> None:
    train(prepared, Silent())
    folder = prepared.run.folder
    assert prepared.run.done
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "average.safetensors",
        "best.safetensors",
        "last.safetensors",
    ]
    assert not list(folder.rglob("*.tmp-*"))


def test_what_a_kill_leaves_of_a_run_that_is_done_is_deleted_by_the_next_call(
    prepared: TrainingSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(Run, "states_left_over", lambda run: [])
        train(prepared, Silent())
    run = prepared.run
    left = run.states_left_over()
    assert len(left) >= 2
    Sequential(TimeBudget()).run([prepared], Silent())
    assert not any(path.exists() for path in left)
    assert run.weights_path("last").is_file()


# What others read


@pytest.fixture
def run(prepared: TrainingSetup) -> Run:
    prepared.run.begin(prepared.cell, {})
    return prepared.run


def end_epoch(state: State, run: Run, dev_cer: float) -> None:
    """A step, an epoch's end, each with its state; the weights say which epoch made them."""
    state.steps += 1
    state.metrics.batches = 1
    save(state, run)
    with torch.no_grad():
        for weight in state.trainer.recogniser.model.parameters():
            weight.fill_(state.epoch + 1)
    state.close_epoch(row(state.epoch + 1, dev_cer))
    save(state, run)


def row(epoch: int, dev_cer: float) -> dict[str, float]:
    return {"epoch": epoch, "steps": 10 * epoch, "train_seconds": 2.5, "dev_cer": dev_cer}


def published(run: Run) -> tuple[object, ...]:
    """Epochs of last and best, what weights best holds, epochs of the history."""
    best, last = run.weights_path("best"), run.weights_path("last")
    weight = None
    if best.is_file():
        model = Recogniser.load(best, torch.device("cpu")).model
        weight = next(model.parameters()).flatten()[0].item()
    epochs = [row["epoch"] for row in run.history()]
    return Recogniser.epoch_of(last), Recogniser.epoch_of(best), weight, epochs


def test_best_follows_the_dev_cer(prepared: TrainingSetup, run: Run) -> None:
    state = fresh(prepared)
    seen = []
    for dev_cer in (0.9, 0.5):
        end_epoch(state, run, dev_cer)
        seen.append(published(run))
    assert seen == [(1, 1, 1.0, [1]), (2, 2, 2.0, [1, 2])]
    # A CER as low is no lower, and one that is no number is none.
    for dev_cer in (0.5, math.nan):
        state.history, state.best_epoch = state.history[:2], 2
        state.close_epoch(row(3, dev_cer))
        assert state.best_epoch == 2


@pytest.mark.parametrize(
    ("dev_cers", "expected"),
    [
        ([0.9], (0, None, None, [])),
        ([0.9, 0.5], (1, 1, 1.0, [1])),
        ([0.5, 0.9], (1, 1, 1.0, [1])),
    ],
    ids=["the first epoch", "a better epoch", "a worse epoch"],
)
def test_an_epoch_whose_state_is_damaged_leaves_no_trace(
    dev_cers: list[float], expected: tuple[object, ...], prepared: TrainingSetup, run: Run
) -> None:
    """Its weights may be in best.safetensors: those of the state in use come back."""
    state = fresh(prepared)
    for dev_cer in dev_cers:
        end_epoch(state, run, dev_cer)
    damage(run.state_paths()[0], flipped)
    resume(again := fresh(prepared), run, Silent())
    assert published(run) == expected
    assert (again.best_epoch, again.epoch) == (expected[1], expected[0])
    end_epoch(again, run, 0.4)
    assert published(run)[:2] == (again.epoch, again.epoch)


def test_best_is_made_again_where_a_kill_came_before_it(
    prepared: TrainingSetup, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = fresh(prepared)
    end_epoch(state, run, 0.9)
    best = run.weights_path("best")
    before = best.read_bytes()
    end_epoch(state, run, 0.5)
    # As a kill leaves it: the old one moved away, the new one not there yet; or nothing done yet.
    for left in (None, before):
        best.unlink()
        if left:
            best.write_bytes(left)
        resume(fresh(prepared), run, Silent())
        assert published(run) == (2, 2, 2.0, [1, 2])


def gone(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    damage(path, truncated)


def bit_flipped(path: Path) -> None:
    damage(path, flipped)


@pytest.mark.parametrize("lose", [gone, cut, bit_flipped])
def test_lost_best_weights_are_told_and_only_a_better_epoch_replaces_them(
    lose: Callable[[Path], None], prepared: TrainingSetup, run: Run
) -> None:
    state = fresh(prepared)
    end_epoch(state, run, 0.5)
    state.metrics.batches = 1
    save(state, run)
    best = run.weights_path("best")
    lose(best)
    heard = Heard()
    resume(state := fresh(prepared), run, heard)
    assert state.best_epoch == 1
    assert heard.lines[-1].startswith(f"{best}: is lost, the weights of epoch 1,")
    assert any("it was deleted" in line for line in heard.lines) == (lose is not gone)
    end_epoch(state, run, 0.8)
    assert not best.is_file()
    end_epoch(state, run, 0.4)
    assert published(run) == (3, 3, 3.0, [1, 2, 3])


def test_best_weights_that_are_given_back_are_used_again(prepared: TrainingSetup, run: Run) -> None:
    state = fresh(prepared)
    end_epoch(state, run, 0.5)
    state.metrics.batches = 1
    save(state, run)
    kept = run.weights_path("best").read_bytes()
    run.weights_path("best").unlink()
    resume(state := fresh(prepared), run, Silent())
    run.weights_path("best").write_bytes(kept)
    end_epoch(state, run, 0.8)
    assert published(run) == (2, 1, 1.0, [1, 2])
