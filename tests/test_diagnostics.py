"""What a history says of a run that does not learn, on made-up histories."""

import json
from pathlib import Path
from typing import Any

import pytest

from asrbench.training.diagnostics import PATIENCE_STEPS, findings, new_findings, stuck_epochs

EPOCHS = 30
Row = dict[str, Any]


def row(**changes: float) -> Row:
    """Of a run that learns nothing visible and is not caught at it."""
    plain = {"dev_cer": 0.95, "blank_fraction": 0.5, "distinct_hypotheses": 40, "steps": 5000}
    return plain | changes


def history(epochs: int, **changes: float) -> list[Row]:
    """Rows whose loss falls by a tenth an epoch."""
    return [{"loss": 3 * 0.9**n, **row(**changes)} for n in range(epochs)]


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, set()),
        ({"blank_fraction": 0.979}, set()),
        ({"blank_fraction": 0.98}, {"blank"}),
        ({"distinct_hypotheses": 2}, set()),
        ({"distinct_hypotheses": 1}, {"same"}),
        ({"loss": 2.9}, {"flat"}),
        ({"blank_fraction": 1.0, "distinct_hypotheses": 1, "loss": 2.9}, {"blank", "same", "flat"}),
        ({"blank_fraction": 1.0, "distinct_hypotheses": 1, "loss": 2.9, "dev_cer": 0.8}, set()),
    ],
)
def test_what_is_found(changes: dict[str, float], kinds: set[str]) -> None:
    rows = [each | changes for each in history(6)]
    assert findings(rows, EPOCHS).keys() == kinds


@pytest.mark.parametrize(
    ("losses", "flat"), [((3.0, 2.98, 2.971), True), ((3.0, 2.98, 2.969), False)]
)
def test_flat_is_less_than_a_percent_in_three_epochs(losses: tuple[float, ...], flat: bool) -> None:
    rows = history(3) + [row(loss=loss) for loss in losses]
    assert ("flat" in findings(rows, EPOCHS)) == flat


def test_a_run_has_a_fifth_of_its_training_and_three_epochs_to_get_going() -> None:
    def first(epochs: int, **changes: float) -> int:
        rows = history(epochs, blank_fraction=1.0, **changes)
        return next(n for n in range(1, epochs + 1) if findings(rows[:n], epochs))

    assert first(30) == 6
    assert first(8) == 3
    assert first(100) == 20
    assert first(100, steps=PATIENCE_STEPS) == 1
    assert findings([], EPOCHS) == {}


def test_lines_name_likely_reasons_in_one_line() -> None:
    rows = history(6, blank_fraction=0.994, steps=300)
    assert findings(rows, EPOCHS)["blank"] == (
        "99 % of dev frames are blank; possible causes: only 300 updates so far; too few frames "
        "for the symbols (lower the time stride of the encoder), a learning rate too high or too "
        "low, or transcripts that do not match the audio"
    )
    late = findings(history(6, blank_fraction=1.0, distinct_hypotheses=1), EPOCHS)
    assert not any("updates so far" in line or "\n" in line for line in late.values())


def test_each_kind_is_news_once() -> None:
    rows = history(10, blank_fraction=1.0)
    rows[7:] = [each | {"distinct_hypotheses": 1} for each in rows[7:]]
    told = [[line[:5] for line in new_findings(rows[:n], EPOCHS)] for n in range(1, 11)]
    assert told == [[], [], [], [], [], ["100 %"], [], ["every"], [], []]


def test_stuck_counts_epochs_in_a_row() -> None:
    rows = history(10, blank_fraction=1.0)
    assert [stuck_epochs(rows[:n], EPOCHS) for n in (5, 6, 8)] == [0, 1, 3]
    rows[7] |= {"dev_cer": 0.7}
    assert [stuck_epochs(rows[:n], EPOCHS) for n in (8, 9, 10)] == [0, 1, 2]


def test_runs_that_learned_are_left_alone() -> None:
    """Of the runs kept in this repository, at every epoch."""
    paths = sorted((Path(__file__).parents[1] / "results").glob("published/an4/*/*/history.jsonl"))
    assert paths
    for path in paths:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for n in range(1, len(rows) + 1):
            assert findings(rows[:n], len(rows)) == {}, f"{path}, epoch {n}"
