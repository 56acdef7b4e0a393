"""The columns of a study, which every form of its tables shares."""

import csv
import io
import re
from dataclasses import replace

import pytest
from studies import study

from asrbench.report import columns, tables
from asrbench.report.cells import TableCell, verdict_cell
from asrbench.report.page import views
from asrbench.report.plots.panels import MARKERS
from asrbench.report.study import Study
from asrbench.stats.verdicts import Verdict

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
    # The cost of decoding stands at the end where there are several searches.
    assert header[-2:] == ["twice CER", "RTF"]
    assert {row[-2] for row in rows} == {"2x"}
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


# Verdicts


def with_verdicts(**verdicts: Verdict) -> Study:
    found = study()
    systems = tuple(
        replace(system, judgement=replace(system.judgement, verdict=verdicts[system.label]))
        if system.label in verdicts and system.judgement
        else system
        for system in found.systems
    )
    return replace(found, systems=systems)


@pytest.mark.parametrize(
    "verdict",
    [Verdict.BETTER_MODELS, Verdict.WORSE_MODELS, Verdict.TWO_SEEDS, Verdict.FEW_SPEAKERS],
)
def test_a_row_of_too_few_seeds_or_speakers_is_no_finding(verdict: Verdict) -> None:
    """It has neither the colour of a finding nor its marker in the figures."""
    found = with_verdicts(ds2_selfattn=verdict)
    row = tables.differences(found)[1][0]
    assert row[-1] == verdict.value
    assert row[-1] not in ("better", "worse")
    assert verdict_cell(verdict).style == "open"
    assert verdict not in MARKERS


def hostile(label: str) -> Study:
    """A study whose first variant, and the folder of its first run, have this name."""
    found = study()
    first = found.systems[1]
    runs = (replace(first.runs[0], run=f"{label}/seed0"), *first.runs[1:])
    named = replace(first, label=label, variant=label, runs=runs)
    return replace(found, systems=(found.systems[0], named, *found.systems[2:]))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", " @"])
def test_spreadsheet_computes_nothing_that_a_name_says(start: str) -> None:
    table = tables.comma_separated(hostile(f"{start}HYPERLINK(1)"))
    rows = list(csv.reader(io.StringIO(table, newline="")))
    name = re.sub(r"[\r\n]", " ", f"{start}HYPERLINK(1)")
    texts = [cell for row in rows for cell in (row[0], row[1], row[2], row[-1])]
    assert f"'{name}" in texts
    assert f"'{name}/seed0" in texts
    assert not any(text.lstrip()[:1] in ("=", "+", "-", "@") for text in texts if text)
    # Numbers stay numbers.
    assert all(float(row[5]) >= 0 for row in rows[1:])


def test_name_ends_no_cell_and_no_row_of_a_markdown_table() -> None:
    plain = tables.markdown(study()).splitlines()
    found = tables.markdown(hostile("a|b\n<img src=x>")).splitlines()
    rows = [line for line in found if line.startswith("| a\\|b &lt;img src=x> |")]
    assert len(rows) == 2
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in found if line.startswith("|")]
    assert cells == [line.count("|") for line in plain if line.startswith("|")]


def test_latex_has_the_minus_of_mathematics_and_says_what_p_is() -> None:
    found = study()
    systems = list(found.systems)
    systems[3] = replace(systems[3], is_control=True, label="ds2 -5 $x_1$")
    lines = tables.latex(replace(found, systems=tuple(systems))).splitlines()
    (head,) = (line for line in lines if line.startswith("variant"))
    assert "& diff (points) &" in head
    assert "& $p$ (bootstrap, Holm, 3) &" in head
    (better,) = (line for line in lines if line.startswith("ds2\\_selfattn &"))
    assert "& $-2.08$ & $-2.88$ to $-1.28$ & 0.001 & better" in better
    (void,) = (line for line in lines if line.startswith("ds2\\_crossattn joint"))
    assert void.endswith("& -- & -- & -- & not comparable \\\\")
    assert any(line.startswith("ds2 -5 \\$x\\_1\\$ &") for line in lines)
    assert lines[-2] == (
        "\\multicolumn{8}{l}{\\footnotesize $p$: two-sided bootstrap over speakers and training "
        "seeds; Holm's correction over 3 variants, not of the control ds2 -5 \\$x\\_1\\$.} \\\\"
    )
    # Only numbers have a sign: a label with one is text.
    assert not re.search(r"(?<![$\w ])-\d", "".join(lines))
    alone = tables.latex(replace(found, family=1, systems=found.systems[:2]))
    assert "& $p$ (bootstrap) &" in alone
    assert "Holm" not in alone


def test_title_does_not_leave_its_comment_in_latex() -> None:
    found = replace(study(), title="mine\n\\input{/etc/passwd}")
    assert "\n\\input" not in tables.latex(found)
