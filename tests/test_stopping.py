"""Within a time limit training stops in good order, and going on equals never having stopped."""

import itertools
import math
import time
from pathlib import Path

import pytest
import typer
from tones import CHANCE, Heard, cell_of, same_weights, trained

from asrbench.base.reporting import Silent
from asrbench.cli.train import conclude
from asrbench.executors.local import train_runs
from asrbench.training import loop as stage
from asrbench.training.checkpoint import State
from asrbench.training.loop import train
from asrbench.training.setup import TrainingSetup, set_up
from asrbench.training.stopping import Deadline, Diverged, Interrupted, TimeUp

EPOCHS, STEPS_AN_EPOCH = 2, 3


@pytest.fixture
def prepared(tmp_path: Path, corpus: Path) -> TrainingSetup:
    """With a schedule, so that one harmed by a stop would show in the weights."""
    sets = (f"train.epochs={EPOCHS}", "train.schedule={kind: one_cycle, warmup: 0.3}", *CHANCE)
    return set_up(cell_of(tmp_path, corpus, *sets), tmp_path / "results")


def looks(count: int) -> Deadline:
    """One that is over at that look at the clock, an hour after the one before it."""
    return Deadline(3600 * (count - 0.5), clock=(3600.0 * n for n in itertools.count(1)).__next__)


def test_a_deadline_leaves_what_fits_before_it() -> None:
    deadline = Deadline(10.0, clock=lambda: 7.0)
    assert deadline.leaves(2.9)
    assert not deadline.leaves(3.0)
    assert Deadline().leaves(1e9)
    assert Deadline.after(0.5, started_at=100.0).at == 1900.0
    assert Deadline.after(math.inf, started_at=100.0).leaves(1e9)


@pytest.mark.parametrize(
    ("look", "where"),
    [
        (1, "in epoch 1 after batch 1 of 3"),
        (2, "in epoch 1 after batch 2 of 3"),
        (3, "in epoch 1 after batch 3 of 3"),
        (4, "after epoch 1 of 2"),
        (7, "in epoch 2 after batch 3 of 3"),
    ],
)
def test_out_of_time_and_resumed_equals_never_stopped(
    look: int, where: str, prepared: TrainingSetup, tmp_path: Path
) -> None:
    """At the last batch of an epoch the dev pass is still to come, and comes first then."""
    with pytest.raises(TimeUp) as caught:
        train(prepared, Silent(), looks(look))
    assert str(caught.value) == (
        f"{prepared.run}: the time is up, stopped {where}; the same command goes on from there"
    )
    assert prepared.run.state_paths()
    assert not prepared.run.done
    train(prepared, Silent())
    whole = trained(prepared.cell, tmp_path / "whole")
    assert same_weights(whole, prepared.run)
    assert same_weights(whole, prepared.run, "best")
    untimed = [
        [{k: v for k, v in row.items() if "second" not in k and k != "wait_share"} for row in rows]
        for rows in (whole.history(), prepared.run.history())
    ]
    assert untimed[0] == untimed[1]


def test_every_start_gets_somewhere(prepared: TrainingSetup, tmp_path: Path) -> None:
    """Under a limit that is over at once: a batch at each start, and the dev pass with the next."""
    starts = 1
    while True:
        try:
            train(prepared, Silent(), Deadline(0.0))
            break
        except TimeUp:
            starts += 1
    assert starts == EPOCHS * STEPS_AN_EPOCH + 1 + (EPOCHS - 1)
    assert same_weights(trained(prepared.cell, tmp_path / "whole"), prepared.run)


def test_a_dev_pass_that_does_not_fit_is_left_to_the_next_start(
    prepared: TrainingSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_needed", lambda state, sitting, dev: 10.0 if dev else 0.0)
    for where in ("in epoch 1 after batch 3 of 3", "in epoch 2 after batch 3 of 3"):
        with pytest.raises(TimeUp, match=where):
            train(prepared, Silent(), Deadline(5.0, clock=lambda: 0.0))
    train(prepared, Silent(), Deadline(5.0, clock=lambda: 0.0))
    assert prepared.run.done


def test_what_stopping_needs_is_what_it_took_so_far(prepared: TrainingSetup) -> None:
    sitting = stage._Sitting(
        prepared, [], Silent(), Deadline(), [], lambda: None, step_seconds=2.0, save_seconds=3.0
    )
    state = State(None)  # type: ignore[arg-type]
    state.metrics.seconds, state.metrics.audio_seconds = 10.0, 5.0
    assert stage._needed(state, sitting, dev=False) == 2 + 3
    training_speed = 2 * 3600 * prepared.dev.hours
    assert stage._needed(state, sitting, dev=True) == pytest.approx(training_speed + 2 * 3)
    state.history = [{"dev_seconds": 7.0}, {"dev_seconds": 4.0}]
    assert stage._needed(state, sitting, dev=True) == 7 + 2 * 3


# The runs of a study


@pytest.fixture
def three(prepared: TrainingSetup, tmp_path: Path) -> list[TrainingSetup]:
    """Runs of three seeds; the second has a limit of its own."""
    cells = [prepared.cell.model_copy(update={"seed": seed}) for seed in range(3)]
    train_spec = cells[1].train.model_copy(update={"max_hours": 1.0})
    cells[1] = cells[1].model_copy(update={"train": train_spec})
    return [set_up(cell, tmp_path / "results") for cell in cells]


def test_runs_get_the_lower_limit_and_the_time_of_all(
    three: list[TrainingSetup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends at once: the first done, the second out of its own time, the third done."""
    limits = []

    def ends(each: TrainingSetup, reporter: object, deadline: Deadline, *, profile: bool) -> None:
        limits.append(deadline.at / 3600)
        if len(limits) == 2:
            raise TimeUp("up")

    monkeypatch.setattr("asrbench.executors.local.train", ends)
    monkeypatch.setattr(Deadline, "leaves", lambda *_: True)
    outcome = train_runs(three, Silent(), started_at=0.0, max_hours=2.0)
    assert limits == [2.0, 1.0, 2.0]
    assert (outcome.left, outcome.failed, outcome.interrupted) == ([three[1].run], {}, False)


def test_no_run_begins_when_the_time_of_all_is_up(
    three: list[TrainingSetup], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def up(each: TrainingSetup, *_: object, profile: bool) -> None:
        begun.append(each.run)
        raise TimeUp("up")

    monkeypatch.setattr("asrbench.executors.local.train", up)
    outcome = train_runs(three, Silent(), started_at=0.0, max_hours=1e9)
    assert begun == [three[0].run]
    assert outcome.left == [each.run for each in three]


def test_a_run_that_fails_stops_no_other_and_an_interrupt_stops_all(
    three: list[TrainingSetup], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = iter([Diverged("diverged"), Interrupted("interrupted")])

    def end(*_: object, profile: bool) -> None:
        raise next(ends)

    monkeypatch.setattr("asrbench.executors.local.train", end)
    heard = Heard()
    outcome = train_runs(three, heard, started_at=0.0)
    assert heard.lines == ["diverged", "interrupted"]
    assert outcome.failed == {three[0].run: "diverged"}
    assert outcome.interrupted


def test_a_bug_in_one_run_stops_no_other_and_shows_its_traceback(
    three: list[TrainingSetup], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = []

    def breaks(each: TrainingSetup, *_: object, profile: bool) -> None:
        begun.append(each.run)
        if len(begun) == 1:
            raise ZeroDivisionError("by nought")

    monkeypatch.setattr("asrbench.executors.local.train", breaks)
    heard = Heard()
    outcome = train_runs(three, heard, started_at=time.monotonic())
    assert begun == [each.run for each in three]
    assert outcome.failed == {three[0].run: "ZeroDivisionError: by nought"}
    assert "in breaks" in capsys.readouterr().err
    with pytest.raises(typer.Exit) as end:
        conclude(outcome, heard, count=3, folder=Path("r"))
    assert end.value.exit_code == 1
    begun.clear()
    with pytest.raises(ZeroDivisionError):
        train_runs(three[:1], Silent(), started_at=time.monotonic())
