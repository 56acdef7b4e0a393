"""Tables and paragraphs on terminals of any width: nothing is lost, and no word is broken."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from asrbench.cli.terminal import MOST_COLUMNS, print_table, print_text
from asrbench.cli.terminal_table import TableColumn, laid_out, table_width

ESCAPES = re.compile("\x1b\\[[0-9;]*m")
words = st.text("abcdefg가나다_-/.", min_size=1, max_size=12)
texts = st.lists(words, min_size=0, max_size=4).map(" ".join)
figures = st.sampled_from(["-", "4.69", "2.90 to 7.58", "4.72 4.68 4.68", "+0.56", "1,024"])


@st.composite
def tables(draw: st.DrawFn) -> list[TableColumn]:
    rows = draw(st.integers(1, 4))
    return [
        TableColumn(draw(texts), tuple(draw(kind) for _ in range(rows)))
        for kind in draw(st.lists(st.sampled_from([texts, figures]), min_size=1, max_size=7))
    ]


@given(tables(), st.integers(1, 120))
def test_every_column_has_room_for_its_words_and_its_figures(
    columns: list[TableColumn], room: int
) -> None:
    blocks = laid_out(columns, room)
    # The first column stands in every table, each other column in one of them, in order.
    assert [k for block in blocks for k in list(block)[1:]] == list(range(1, len(columns)))
    assert all(next(iter(block)) == 0 for block in blocks)
    for block in blocks:
        for k, width in block.items():
            assert columns[k].least <= width <= columns[k].natural
            assert all(cell_len(word) <= width for word in columns[k].head.split())
            whole = columns[k].cells if columns[k].has_figures else ()
            assert all(cell_len(cell) <= width for cell in whole)
        least = table_width([columns[k].least for k in block])
        assert table_width([*block.values()]) <= max(room, least)
        # Only a column that has no room beside the first one alone makes a table too wide.
        assert least <= room or len(block) <= 2


@given(tables())
def test_a_table_with_room_is_as_it_is(columns: list[TableColumn]) -> None:
    natural = {k: column.natural for k, column in enumerate(columns)}
    assert laid_out(columns, None) == [natural]
    assert laid_out(columns, table_width([*natural.values()])) == [natural]


def test_heads_break_before_texts_and_further_columns_stand_below() -> None:
    columns = [
        TableColumn("variant", ("ds2", "ds2_crossattn [joint]")),
        TableColumn("p Holm", ("-", "1.0")),
        TableColumn("95 %", ("2.90 to 7.58", "-")),
    ]
    # 21, 6 and 12 wide, with gaps and edges 45.
    assert laid_out(columns, 45) == [{0: 21, 1: 6, 2: 12}]
    assert laid_out(columns, 43) == [{0: 21, 1: 4, 2: 12}]
    assert laid_out(columns, 35) == [{0: 13, 1: 4, 2: 12}]
    assert laid_out(columns, 34) == [{0: 21, 1: 6}, {0: 18, 2: 12}]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Makes standard output a terminal; set COLUMNS to its width."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return monkeypatch


LONG = (
    "ds2_wide: worse. +1.20 points, p = 0.001; `asrbench eval results/an4/ds2_wide/seed0-12345678` "
    "decodes it, and --system 'ds2_crossattn [joint]' compares it with its search."
)


@pytest.mark.parametrize("columns", [30, 80, 300])
def test_text_breaks_between_words_and_never_in_a_command(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    terminal.setenv("COLUMNS", str(columns))
    print_text(LONG, lead="- ", styles={"worse": "red"})
    out = capsys.readouterr().out
    assert "\x1b[31mworse\x1b[0m" in out
    lines = ESCAPES.sub("", out).splitlines()
    assert [line[:2] for line in lines] == ["- ", *["  "] * (len(lines) - 1)]
    assert " ".join(line[2:] for line in lines) == LONG
    command = "`asrbench eval results/an4/ds2_wide/seed0-12345678`"
    for unbroken in (command, "'ds2_crossattn [joint]'", "p = 0.001"):
        assert any(unbroken in line for line in lines)
    most = min(columns, MOST_COLUMNS)
    assert all(len(line) <= most or line.strip() == command for line in lines)


def test_only_the_verdict_is_coloured_and_not_its_word_in_a_sentence(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    print_text("ds2_wide: no evidence. A better method cannot be told.", styles={"better": "green"})
    assert "\x1b" not in capsys.readouterr().out


def test_a_word_of_wide_characters_is_as_wide_as_it_looks(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("COLUMNS", "10")
    print_text("가나다 라마 바")
    assert capsys.readouterr().out.splitlines() == ["가나다", "라마 바"]


def test_a_terminal_shows_styles_and_every_cell(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    header = ["variant", "95 %", "seeds 0 1 2 3 4 5", "verdict"]
    rows = [["ds2_selfattn [joint]", "2.90 to 7.58", "4.72 4.68 4.68 4.50 4.61 4.39", "better"]]
    terminal.setenv("COLUMNS", "46")
    print_table(header, rows, styles={"better": "green"})
    coloured = capsys.readouterr().out
    assert "\x1b[32mbetter" in coloured
    plain = ESCAPES.sub("", coloured)
    assert max(map(len, plain.splitlines())) <= 46
    assert plain.count("ds2_selfattn") == 3
    for cell in ("2.90 to 7.58", "4.72 4.68 4.68 4.50 4.61 4.39", "better", "[joint]"):
        assert cell in plain
    terminal.setenv("NO_COLOR", "1")
    print_table(header, rows, styles={"better": "green"})
    assert "\x1b[32m" not in capsys.readouterr().out


def test_a_pipe_has_whole_lines_and_no_escape_codes(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 60 + "end"
    print_table(["name", "text"], [["a", long]], title="title " * 30, styles={"a": "green"})
    print_text(long, lead="- ", style="bold", styles={"word": "red"})
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert sum(long in line for line in out.splitlines()) == 2
