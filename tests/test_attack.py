"""A few attempts of every attack, and that what is wrong with a command is counted as a fault."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attack.__main__ import ATTACKS, MODULES, attempts_of
from attack.attempt import Attack, Attempt, carried_out, refused
from attack.bounded import MEMORY, run
from attack.leftovers import nothing_left
from attack.report import Result, page

from asrbench.cli import app as cli

ROOTS = (Path(__file__).parent, Path(__file__).parents[1])
SCALE = 0.02
"""The share of the attempts of `make attack` that the suite makes."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs pidfd_open(2) and /proc")


@pytest.fixture(scope="session")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The figures of a short attack, made in a process in which no other test has left a thread."""
    file = tmp_path_factory.mktemp("attack") / "figures.json"
    command = [sys.executable, "-m", "attack", "--scale", str(SCALE), "--json", str(file)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ROOTS))}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert file.is_file(), done.stderr
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert done.returncode == int(any(each["faults"] for each in found.values()))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_no_attempt_is_a_fault(name: str, figures: dict[str, Any]) -> None:
    found = figures[name]
    assert found["faults"] == []
    assert found["tried"] >= attempts_of(ATTACKS[name], SCALE)
    assert found["done"] + found["refused"] == found["tried"]


def test_names_of_attacks_differ() -> None:
    assert len(ATTACKS) == sum(len(module.ATTACKS) for module in MODULES)


# What is a fault


def replaced(monkeypatch: pytest.MonkeyPatch, command: Callable[[], object]) -> None:
    """Has another function in place of the application."""
    monkeypatch.setattr(cli, "app", lambda *arguments, **options: command())


def takes_memory() -> None:
    held = bytearray(MEMORY // 2)
    held[::4096] = bytes(len(held[::4096]))
    held2 = bytearray(MEMORY // 2 + 2**28)
    held2[::4096] = bytes(len(held2[::4096]))


def prints(text: str, status: int) -> Callable[[], None]:
    def command() -> None:
        sys.stderr.write(text)
        raise SystemExit(status)

    return command


def raises() -> None:
    raise ZeroDivisionError


def leaves_a_worker() -> None:
    if not os.fork():
        Path("worker").write_text(str(os.getpid()))
        time.sleep(600)
        os._exit(0)
    while not Path("worker").exists():
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (lambda: time.sleep(600), "did not end within"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "ended by SIGKILL"),
        (lambda: os.kill(os.getpid(), signal.SIGUSR1), "ended by SIGUSR1"),
        (lambda: os._exit(1), "exit status 1"),
        (raises, "traceback: ZeroDivisionError"),
        (takes_memory, "traceback: MemoryError"),
        (prints("", 1), "exit status 1"),
        (prints("", 2), "exit status 2 and not one line that says why"),
        (prints("error: a\nerror: b\n", 2), "exit status 2 and not one line that says why"),
        (prints("Traceback (most recent call last)\nx\n", 0), "traceback: x"),
        (
            lambda: Path("big").touch() or os.truncate("big", 2**31),
            "traceback: OSError: [Errno 27]",
        ),
    ],
)
def test_what_is_wrong_with_a_command_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[[], object], fault: str
) -> None:
    replaced(monkeypatch, command)
    outcome = run("corpus", folder=tmp_path, seconds=2)
    assert fault in (outcome.fault or "")


def test_memory_that_is_given_back_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(monkeypatch, takes_memory)
    outcome = run("corpus", folder=tmp_path, memory=2 * MEMORY)
    assert (outcome.fault or "").startswith("took ")


def test_a_worker_ends_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(monkeypatch, leaves_a_worker)
    assert run("corpus", folder=tmp_path).fault is None
    status = Path("/proc", (tmp_path / "worker").read_text(), "status")
    while status.exists() and "State:\tZ" not in status.read_text():  # it sleeps for 600 s
        time.sleep(0.01)


def test_a_command_reaches_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    replaced(monkeypatch, lambda: socket.create_connection(("127.0.0.1", 9)))
    assert "a command connects to" in (run("corpus", folder=tmp_path).fault or "")


def attempts_of_two(folder: Path, draw: Random, count: int) -> Iterator[Attempt]:
    yield Attempt("nothing", ("models",), refused)
    yield Attempt("a file", ("models",), nothing_left(folder))


def test_what_was_accepted_and_what_was_left_are_faults_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = Attack("two", "Does two things.", attempts_of_two)

    def command() -> None:
        if Path("made").exists():
            Path("left").touch()
            prints("error: no\n", 2)()
        Path("made").touch()

    replaced(monkeypatch, command)
    tally = carried_out(attack, tmp_path, seed=1, count=2)
    assert tally.faults == ["0, nothing: was accepted", "1, a file: refused (no), but left is new"]
    assert (tally.tried, tally.answers["fault"]) == (2, 2)

    class module:
        """What is two.

        And more.
        """

        ATTACKS = (attack,)

    text = page([module], {"two": Result("two", tally, 1.0)}, 1, 0.5, 60.0)  # type: ignore[list-item]
    assert "`PYTHONPATH=tests python -m attack --only 'two' --seed 1 --scale 0.5`" in text
    assert "- 0, nothing: was accepted" in text
    assert "| two | 2 | 0 | 0 | 2 |" in text
