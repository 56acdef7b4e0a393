"""The columns of a study, which every form of its tables shares."""

from dataclasses import replace

import pytest
from studies import study

from asrbench.report import columns, tables
from asrbench.report.cells import TableCell
from asrbench.report.page import views

TABLES = (
    columns.RATES_TABLE,
    columns.DIFFERENCES_TABLE,
    columns.LATEX_TABLE,
    columns.RESULTS_TABLE,
    columns.TESTS_TABLE,
    columns.COSTS_TABLE,
)


def test_every_column_is_in_a_table_and_every_table_has_known_columns() -> None:
    named = {name for table in TABLES for name in table} - {columns.SEEDS}
    assert named == set(columns.COLUMNS)
    assert {*columns.RUNS_TABLE, *columns.CSV_TABLE} == set(columns.RUN_COLUMNS)


def test_a_column_added_once_is_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    added = columns.Column(
        "twice {rate}", "twice the {rate} of {baseline}", lambda s: TableCell("2x", s.rate)
    )
    monkeypatch.setitem(columns.COLUMNS, "twice", added)
    monkeypatch.setattr(tables, "RATES_TABLE", (*columns.RATES_TABLE, "twice"))
    monkeypatch.setattr(tables, "LATEX_TABLE", (*columns.LATEX_TABLE, "twice"))
    monkeypatch.setattr(views, "RESULTS_TABLE", (*columns.RESULTS_TABLE, "twice"))
    found = study()
    header, rows = tables.rates(found)
    assert header[-1] == "twice CER"
    assert {row[-1] for row in rows} == {"2x"}
    assert "| twice CER |" in tables.markdown(found)
    assert "2x \\\\" in tables.latex(found)
    results = views.results(found)
    assert results.heads[-1] == views.ColumnHead("twice CER", "twice the CER of ds2")
    assert results.rows[0][-1] == TableCell("2x", found.systems[0].rate)


def test_a_run_that_is_not_trained_is_marked() -> None:
    found = study()
    _, rows = tables.rates(found)
    assert rows[-1][2].endswith("!")
    assert [rate.endswith("!") for rate in rows[-1][4].split()] == [True] * 3
    assert "!" not in "".join(rows[0])


def test_a_system_that_is_not_comparable_is_at_the_end_of_every_table() -> None:
    found = study()
    moved = replace(found, systems=found.systems[:1], not_comparable=found.systems[4:5])
    assert [row[0] for row in tables.rates(moved)[1]] == ["ds2", "ds2_crossattn joint"]
    assert tables.differences(moved)[1] == [
        ["ds2_crossattn joint", "-", "-", "-", "not comparable"]
    ]
    assert "ds2_crossattn joint: not comparable. Another order" in tables.verdicts(moved)[0]
