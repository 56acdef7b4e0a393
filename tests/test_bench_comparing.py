"""The runs that `benchmarks/comparing.py` makes, times and prints. No test asserts a time."""

from pathlib import Path

from comparing import READ, WAYS, made, one_round, tables

from asrbench.stages.compare.study import study_of


def test_it_times_runs_that_compare_takes_for_real(tmp_path: Path) -> None:
    made(tmp_path, runs=7, utterances=20, seed=3)
    found = study_of([tmp_path / "results"], replicates=0)
    assert [len(system.runs) for system in found.systems] == [5, 2]
    assert found.utterances == 20
    assert all(0.03 < run.cer < 0.15 for system in found.systems for run in system.runs)
    turn = one_round(tmp_path)
    assert list(turn) == [READ, *WAYS]
    assert all(each["seconds"] > 0 for each in turn.values())
    (table,) = tables({"runs": 7, "utterances": 20, "rounds": [turn, turn]})
    assert [row[0] for row in table.rows] == [READ, *WAYS]
    assert all(len(row) == len(table.header) for row in table.rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "study.yaml"]
