"""Training stops before its time is up, and resumed it equals training that never stopped."""

import errno
import itertools
import math
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tones import CHANCE, Heard, cell_of, same_weights, trained

from asrbench.base.reporting import Silent
from asrbench.base.signals import one_interrupt
from asrbench.cli.app import app
from asrbench.executors.executor import TimeBudget
from asrbench.executors.local import Sequential
from asrbench.training.loop import train
from asrbench.training.setup import TrainingSetup, set_up
from asrbench.training.stopping import Deadline, Diverged, Interrupted, TimeUp

EPOCHS, STEPS_AN_EPOCH = 2, 3


@pytest.fixture
def prepared(tmp_path: Path, corpus: Path) -> TrainingSetup:
    """With a schedule and an average, so that one harmed by a stop would show in the weights."""
    sets = (
        f"train.epochs={EPOCHS}",
        "train.schedule={kind: one_cycle, warmup: 0.3}",
        f"train.weights={{kind: average, epochs: {EPOCHS}}}",
        *CHANCE,
    )
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
        f"{prepared.run}: the time is up, stopped {where}; the same command continues from there"
    )
    assert prepared.run.state_paths()
    assert not prepared.run.done
    train(prepared, Silent())
    whole = trained(prepared.cell, tmp_path / "whole")
    for which in ("last", "best", "average"):
        assert same_weights(whole, prepared.run, which)
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


def test_a_dev_pass_that_does_not_fit_is_left_to_the_next_start(prepared: TrainingSetup) -> None:
    """The next start begins with the dev pass, and does not ask whether that fits."""
    for look, where in ((3, "in epoch 1 after batch 3 of 3"), (4, "in epoch 2 after batch 3 of 3")):
        with pytest.raises(TimeUp, match=where):
            train(prepared, Silent(), looks(look))
    train(prepared, Silent(), looks(1))
    assert prepared.run.done


@dataclass(frozen=True)
class Asked(Deadline):
    """A deadline that nothing exceeds, and that keeps the seconds it was asked for."""

    seconds: list[float] = field(default_factory=list)

    def leaves(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return True


def test_stopping_needs_what_it_took_so_far(prepared: TrainingSetup) -> None:
    """Training asks after each step and after each epoch but the last. Before the first dev pass
    it assumes the speed of training, later the slowest dev pass; in the last epoch there are two,
    the second of the averaged weights. Each save counts, too."""
    asked = Asked()
    train(prepared, Silent(), asked)
    assert len(asked.seconds) == EPOCHS * STEPS_AN_EPOCH + (EPOCHS - 1)
    first_step, second_step, first_dev, next_step, _, _, second_dev = asked.seconds
    row = prepared.run.history()[0]
    dev_audio_seconds = 3600 * prepared.dev.hours
    assert first_dev == pytest.approx(dev_audio_seconds / row["audio_seconds_per_second"])
    save_seconds = (second_dev - 2 * row["dev_seconds"]) / 2
    assert save_seconds > 0
    assert next_step - save_seconds >= second_step >= first_step > 0


# The runs of a study


@pytest.fixture
def three(prepared: TrainingSetup, tmp_path: Path) -> list[TrainingSetup]:
    """Runs of three seeds; the second has a limit of its own."""
    cells = [prepared.cell.model_copy(update={"seed": seed}) for seed in range(3)]
    train_spec = cells[1].train.model_copy(update={"max_hours": 1.0})
    cells[1] = cells[1].model_copy(update={"train": train_spec})
    return [set_up(cell, tmp_path / "results") for cell in cells]


def without_places(heard: Heard) -> list[str]:
    """What was said, without the lines that begin a run: `run 2 of 3: ds2 seed 1`."""
    return [line for line in heard.lines if not line.startswith("run ")]


def test_runs_get_the_lower_limit_and_the_time_of_all(
    three: list[TrainingSetup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends at once: the first done, the second out of its own time, the third done."""
    limits = []

    def ends(each: TrainingSetup, reporter: object, deadline: Deadline, **_: object) -> None:
        limits.append(deadline.at / 3600)
        if len(limits) == 2:
            raise TimeUp("up")

    monkeypatch.setattr("asrbench.executors.local.train", ends)
    budget = TimeBudget(max_hours=2.0, clock=lambda: 0.0)
    outcome = Sequential(budget).run(three, Silent())
    assert limits == [2.0, 1.0, 2.0]
    assert (outcome.left, outcome.failed, outcome.interrupted) == ([three[1].run], {}, False)


def test_no_run_begins_when_the_time_of_all_is_up(
    three: list[TrainingSetup], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def up(each: TrainingSetup, *_: object, **options: object) -> None:
        begun.append(each.run)
        raise TimeUp("up")

    monkeypatch.setattr("asrbench.executors.local.train", up)
    outcome = Sequential(TimeBudget(max_hours=1e9)).run(three, Silent())
    assert begun == [three[0].run]
    assert outcome.left == [each.run for each in three]
    assert outcome.exit_status == 0


def test_a_run_that_fails_stops_no_other_and_an_interrupt_stops_all(
    three: list[TrainingSetup], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = iter([Diverged("diverged"), Interrupted("interrupted")])

    def end(*_: object, **options: object) -> None:
        raise next(ends)

    monkeypatch.setattr("asrbench.executors.local.train", end)
    heard = Heard()
    outcome = Sequential(TimeBudget()).run(three, heard)
    assert without_places(heard) == ["diverged", "interrupted"]
    assert outcome.failed == {three[0].run: "diverged"}
    assert outcome.left == [each.run for each in three[1:]]
    assert outcome.exit_status == 130


def test_lack_of_memory_in_one_run_stops_no_other_and_is_one_line(
    three: list[TrainingSetup], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = iter([MemoryError, OSError(errno.EMFILE, "Too many open files", "spec.yaml"), None])

    def end(*_: object, **options: object) -> None:
        if error := next(ends):
            raise error

    monkeypatch.setattr("asrbench.executors.local.train", end)
    outcome = Sequential(TimeBudget()).run(three, heard := Heard())
    assert [*outcome.failed.values()] == [
        "out of memory: no details; use less at a time",
        "spec.yaml: Too many open files; raise the limit for open files (ulimit -n)",
    ]
    lines = [f"{run}: {line}" for run, line in outcome.failed.items()]
    assert without_places(heard) == lines
    assert capsys.readouterr().err == ""
    assert outcome.exit_status == 2


def test_a_bug_in_one_run_stops_no_other_and_shows_its_traceback(
    three: list[TrainingSetup], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = []

    def breaks(each: TrainingSetup, *_: object, **options: object) -> None:
        begun.append(each.run)
        if len(begun) == 1:
            raise ZeroDivisionError("by nought")

    monkeypatch.setattr("asrbench.executors.local.train", breaks)
    heard = Heard()
    outcome = Sequential(TimeBudget(1e9, time.monotonic())).run(three, heard)
    assert begun == [each.run for each in three]
    assert outcome.failed == {three[0].run: "ZeroDivisionError: by nought"}
    assert "in breaks" in capsys.readouterr().err
    assert outcome.exit_status == 1
    begun.clear()
    with pytest.raises(ZeroDivisionError):
        Sequential(TimeBudget()).run(three[:1], Silent())


def test_a_second_interrupt_does_not_disturb_what_the_first_is_clearing_up() -> None:
    before = signal.getsignal(signal.SIGINT)
    cleared = []

    def interrupted_twice() -> None:
        with one_interrupt():
            try:
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                cleared.append(True)

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with one_interrupt():
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(KeyboardInterrupt):
            interrupted_twice()
        assert cleared
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with one_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_before_a_command_begins_ends_it_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("typer.main.get_command", interrupted)
    with pytest.raises(SystemExit) as caught:
        app()
    assert caught.value.code == 130


class Interrupting:
    """Gets Ctrl-C while its destructor runs, where Python ignores what is raised."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(100))


@pytest.mark.filterwarnings("error")  # also of an exception that was ignored
def test_an_interrupt_in_a_destructor_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    before, hook = signal.signal(signal.SIGINT, signal.default_int_handler), sys.unraisablehook

    def destroyed() -> None:
        with one_interrupt():
            Interrupting()
            time.sleep(60)

    try:
        with pytest.raises(KeyboardInterrupt):
            destroyed()
        assert sys.unraisablehook is hook
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == ""
