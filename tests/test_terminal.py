"""What files of other people contain never changes the terminal."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from asrbench.base.distributed import VARIABLES
from asrbench.base.errors import UserError
from asrbench.cli.app import app
from asrbench.cli.terminal import Terminal, echo, echo_json, print_error, print_table, printable

CLI = Path(__file__).parents[1] / "asrbench" / "cli"
HOSTILE = "\x1b]0;owned\x07 \x1b[2J \x9b31m \u202egnp.exe\u2066 \r"
DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def is_safe(text: str) -> bool:
    return not any(
        c in DIRECTIONS or (unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t")
        for c in text
    )


@given(st.text(st.characters()))
def test_printable_leaves_nothing_that_changes_a_terminal(text: str) -> None:
    shown = printable(text)
    assert is_safe(shown)
    assert len(shown) == len(text)
    assert all(a == b for a, b in zip(text, shown, strict=True) if is_safe(a))


def test_plain_text_stays_as_it_is() -> None:
    text = "어제 3시에 café\u0301\u200d, 100 %\n\tnext"
    assert printable(text) == text


def test_every_way_to_the_terminal_is_safe(capfd: pytest.CaptureFixture[str]) -> None:
    echo(HOSTILE)
    print_table([HOSTILE], [[HOSTILE]], title=HOSTILE)
    print_error(UserError(f"{HOSTILE}: found '\nerror: disk failure'"))
    with Terminal(log_seconds=0) as terminal:
        terminal.say(HOSTILE)
        terminal.progress(HOSTILE, 1, 2, HOSTILE)
    out, err = capfd.readouterr()
    assert "owned" in out
    assert is_safe(out)
    assert is_safe(err)
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("local", "started", "printed"),
    [
        ("0", True, 1),
        ("1", True, 0),
        ("1", False, 1),
        ("x", False, 1),
        ("x", True, 1),
        ("", True, 1),
    ],
)
def test_an_error_is_silent_only_for_a_later_rank_of_torchrun(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    local: str,
    started: bool,
    printed: int,
) -> None:
    monkeypatch.setattr("asrbench.cli.terminal.time.sleep", lambda _: None)
    for name in VARIABLES if started else ():
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("LOCAL_RANK", local)
    print_error(UserError("no"))
    assert len(capsys.readouterr().err.splitlines()) == printed


def test_no_command_prints_by_another_way() -> None:
    own = re.compile(r"typer\.(echo|secho)|(?<![\w.])print\(|sys\.std(out|err)|\.print\(f?\"")
    found = [
        f"{path.name}: {line.strip()}"
        for path in CLI.glob("*.py")
        if path.name not in ("terminal.py", "output.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if own.search(line)
    ]
    assert found == []


def test_json_keeps_its_content(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"id": HOSTILE, "text": "어제"}
    echo_json(json.dumps(document, ensure_ascii=False, indent=2))
    out = capsys.readouterr().out
    assert is_safe(out)
    assert "어제" in out
    assert json.loads(out) == document


def test_ids_of_a_foreign_file_are_shown_without_their_escape_sequences(tmp_path: Path) -> None:
    (tmp_path / "ref.tsv").write_text("u1\ta\n\x1b[2Ju2\tb\n")
    (tmp_path / "hyp.tsv").write_text("u1\ta\n")
    arguments = ["score", "--ref", str(tmp_path / "ref.tsv"), f"new={tmp_path / 'hyp.tsv'}"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "[2Ju2" in result.stderr
    assert is_safe(result.stderr)
