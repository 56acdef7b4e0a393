"""What the terminal says while runs are trained."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from doors import run
from made_by_commands import make

from asrbench.base.formatting import duration
from asrbench.training.progress import Progress, epoch_line


class Setup(SimpleNamespace):
    """A set-up whose run has epochs of so many seconds, a fifth of them the dev pass."""

    def __init__(self, variant: str, *seconds: float, epochs: int = 4) -> None:
        self.seconds = list(seconds)
        run = SimpleNamespace(history_so_far=self.history)
        train = SimpleNamespace(epochs=epochs)
        cell = SimpleNamespace(variant=variant, seed_and_fold="seed 0", train=train)
        super().__init__(run=_Hashable(run), cell=cell)

    def history(self) -> list[dict[str, Any]]:
        return [{"train_seconds": 0.8 * each, "dev_seconds": 0.2 * each} for each in self.seconds]

    __hash__ = object.__hash__


class _Hashable:
    def __init__(self, run: Any) -> None:
        self.history_so_far = run.history_so_far


def test_the_time_left_is_that_of_the_variant_or_else_of_all() -> None:
    ds2, other, third = Setup("ds2"), Setup("wide"), Setup("ds2")
    progress: Any = Progress([ds2, other, third])
    assert progress.seconds_left() is None
    assert progress.time_left() == ""
    ds2.seconds += [10, 20]
    # 2 and 4 epochs of ds2 at 15 s, and 4 of a variant that nobody has seen.
    assert progress.seconds_left() == pytest.approx(10 * 15)
    other.seconds += [40]
    assert progress.seconds_left() == pytest.approx(6 * 15 + 3 * 40)
    assert progress.time_left(at_a_time=2) == "2 min left"
    progress.give_up(other.run)
    assert progress.seconds_left() == pytest.approx(6 * 15)
    assert progress.place(other, " of ") == "run 2 of 3"


def test_epochs_of_an_earlier_command_are_done_and_say_nothing_of_the_time() -> None:
    begun = Setup("ds2", 1000, 1000)
    progress: Any = Progress([begun])
    assert progress.place(begun, "/") == ""
    assert progress.seconds_left() is None
    begun.seconds += [10]
    assert progress.seconds_left() == pytest.approx(10)
    begun.seconds += [10]
    assert progress.time_left() == ""


def test_an_epoch_is_a_line_of_eighty_letters_with_the_best_so_far() -> None:
    rows = [
        {"epoch": k, "loss": 1.2345, "dev_cer": cer, "train_seconds": 3.0, "untrained": None}
        for k, cer in enumerate((0.5, 0.1234, 0.2), start=1)
    ]
    line = epoch_line(rows, 20, "1 h 20 min left")
    assert line == (
        "epoch  3/20  loss 1.234  dev CER 20.00 %  best 12.34 at 2  3 s  1 h 20 min left"
    )
    assert len(line) <= 80
    rows[-1] |= {"average_dev_cer": 0.1, "untrained": "every hypothesis is 'a'", "dev_seconds": 2.0}
    assert epoch_line(rows, 3, "") == (
        "epoch 3/3  loss 1.234  dev CER 20.00 %  best 12.34 at 2  averaged 10.00 %  5 s  "
        "(every hypothesis is 'a')"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (3569, "59 min"), (3571, "1 h 0 min")),
        *((4800, "1 h 20 min"), (86_399, "1 d 0 h"), (183_600, "2 d 3 h")),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_study_tells_its_runs_and_ends_with_a_table(tmp_path: Path) -> None:
    home = make(tmp_path)
    options = ("--results", home / "again", "--device", "cpu", "--set", "seeds=[0, 1]")
    code, out, err = run("train", home / "tiny.yaml", *options, "--only", "ds2")
    assert (code, err) == (0, "")
    assert "\r" not in out
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[0] == "run 1 of 2: ds2 seed 0"
    assert sum(line.startswith("run 2 of 2: ds2 seed 1") for line in lines) == 1
    assert sum(line.startswith(("epoch 1/2", "epoch 2/2")) for line in lines) == 4
    assert sum("dev CER under verbatim/1, N 7 characters" in line for line in lines) == 2
    table = lines[
        lines.index(f"Runs in {home / 'again/tiny'}, each in the folder of its variant") :
    ]
    assert [line.split()[:3] for line in table if line.startswith(" ds2")] == [
        ["ds2", "seed", "0"],
        ["ds2", "seed", "1"],
    ]
    assert lines[-1] == f"next: asrbench eval {home / 'again/tiny'}"
