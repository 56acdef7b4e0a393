"""process_map returns what map does."""

import os
from operator import neg

import pytest
from comparisons import compare_texts

from asrbench.base import process_map as module
from asrbench.base.process_map import available, process_map


def test_the_cores_of_this_process_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= available() <= (os.cpu_count() or 1)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available() == 1


@pytest.mark.parametrize("count", [0, 1, 2, 7, 50])
@pytest.mark.parametrize("there", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(
    monkeypatch: pytest.MonkeyPatch, there: int, count: int
) -> None:
    monkeypatch.setattr(module, "available", lambda: there)
    assert process_map(neg, range(count)) == [-each for each in range(count)]


def pid_of(_: int) -> int:
    return os.getpid()


def fails(item: int) -> float:
    return 1 / item


def test_work_is_done_in_other_processes_and_its_errors_are_raised_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "available", lambda: 2)
    assert os.getpid() not in process_map(pid_of, range(8))
    with pytest.raises(ZeroDivisionError):
        process_map(fails, range(4))


def test_many_runs_have_the_same_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates do not depend on whether there are enough runs for several processes."""
    references = ["가 나다", "abc de", "라마"]
    systems = {"a": [["가나 다", "abc", "라"], references], "b": [["", "x", "마라"]]}
    alone = compare_texts(references, systems, profile="nospace", unit="word", replicates=50)
    monkeypatch.setattr("asrbench.scoring.run_rates.MANY", 0)
    monkeypatch.setattr(module, "available", lambda: 2)
    found = compare_texts(references, systems, profile="nospace", unit="word", replicates=50)
    assert found == alone
