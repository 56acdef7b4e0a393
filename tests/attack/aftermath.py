"""What a command left: its files, to compare with those of a home without faults, its processes."""

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import kill
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attack.bounded import Outcome, run
from attack.home import COMPARE, EVAL, INSPECT, PREP, TRAIN

TIMES = (
    "train_seconds",
    "dev_seconds",
    "seconds",
    "audio_seconds_per_second",
    "real_time_factor",
    "wait_share",
    "other_load",
)
"""The keys of `history.jsonl` and `scores.json` whose values are times or come from times."""

NEVER_EQUAL = (*TIMES, "peak_memory_gb", "commit")
"""These, the memory of the process, and the commit, which changes when somebody works on the
repository meanwhile."""

UNCOMPARED = ("train.log",)
"""The terminal of a run of `--parallel`: what was said before and after a kill."""


@dataclass(frozen=True)
class Command:
    """A command of the study, with what it writes."""

    name: str
    arguments: tuple[str, ...]
    makes: str
    """The file or folder in the home that the command makes or changes."""
    begin: Callable[[Path], object] = lambda home: None
    """Brings a home in which all was done into the state before the command."""
    seconds: float = 60.0
    """It hangs if it takes longer, which leaves it some room on a machine that is busy."""


class Bench:
    """A home whose whole state is kept, so that a command can be carried out in it many times."""

    def __init__(self, home: Path, kept: Path) -> None:
        self.home = home
        self._whole = kept / "whole"
        self._kept = kept
        self._states: dict[Command, Path] = {}
        self._expected: dict[Command, Contents] = {}
        shutil.copytree(home, self._whole, symlinks=True)

    def begin(self, command: Command) -> None:
        """Makes the home what it is before `command`, whatever happened in it."""
        if command not in self._states:
            self._restore(self._whole)
            command.begin(self.home)
            self._states[command] = self._kept / str(len(self._states))
            shutil.copytree(self.home, self._states[command], symlinks=True)
        else:
            self._restore(self._states[command])

    def restore(self) -> None:
        """Makes the home whole."""
        self._restore(self._whole)

    def _restore(self, state: Path) -> None:
        for path in self.home.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(state, self.home, symlinks=True, dirs_exist_ok=True)

    def run(self, command: Command, **options: Any) -> Outcome:
        options = {"seconds": command.seconds, **options}
        return run(*command.arguments, folder=self.home, **options)

    def expected(self, command: Command) -> "Contents":
        """Returns what the command makes where nothing disturbs it. Carries it out once."""
        if command not in self._expected:
            self.begin(command)
            outcome = self.run(command, seconds=300)
            if outcome.status != 0:
                raise RuntimeError(f"{command.name}: {outcome.fault or outcome.refusal}")
            self._expected[command] = contents(self.home / command.makes)
        return self._expected[command]

    def difference(self, command: Command) -> str | None:
        """Returns where what the command has made is not what it should be; None if it is."""
        return difference(contents(self.home / command.makes), self.expected(command))


@contextmanager
def bench_of(home: Path) -> Iterator[Bench]:
    """Yields the bench of a home, which is whole again afterwards."""
    with TemporaryDirectory() as folder:
        bench = Bench(home, Path(folder))
        try:
            yield bench
        finally:
            bench.restore()


# The commands


def without(*patterns: str) -> Callable[[Path], None]:
    """Returns a function that deletes what matches the patterns from a home."""

    def delete(home: Path) -> None:
        for pattern in patterns:
            for path in home.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return delete


REPORT = ("results/*.*",)
PREPARES = Command("prep", PREP, "corpus", without("corpus"))
TRAINS = Command("train", TRAIN, "results", without("results"))
EVALUATES = Command(
    "eval", EVAL, "results", without("results/*/*/*/hypotheses.*", "**/scores.json")
)
INSPECTS = Command("inspect", INSPECT, "results", without("results/*/*/*/inspect.*"))
COMPARES = Command("compare", COMPARE, "results", without(*REPORT))
RATES = Command(
    "compare --replicates 0",
    ("compare", "results", "--replicates", "0"),
    "results",
    without(*REPORT),
)
STUDY = (PREPARES, TRAINS, EVALUATES, INSPECTS, COMPARES)


# Files

Contents = dict[str, bytes]
"""The bytes of every file below a folder by its path; of records, without `NEVER_EQUAL`."""


def contents(folder: Path) -> Contents:
    """Returns what is below a folder, hidden and temporary files included."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink())
    return {
        str(path.relative_to(folder)): _comparable(path)
        for path in files
        if path.name not in UNCOMPARED
    }


def difference(found: Contents, expected: Contents) -> str | None:
    """Returns the first of the differences in words; None if there is none."""
    for name in sorted({*found, *expected}):
        if name not in found:
            return f"{name} is missing"
        # A lock that nobody holds stops nobody, and the next command of its kind deletes it.
        if name.endswith(".lock") and name not in expected:
            continue
        if name not in expected:
            return f"{name} was left over"
        if found[name] != expected[name]:
            return f"{name} differs"
    return None


def _comparable(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name in ("history.jsonl", "scores.json", "env.json"):
        lines = content.splitlines() if path.suffix == ".jsonl" else [content]
        try:
            documents = [_without_times(json.loads(line)) for line in lines]
        except ValueError:
            return content
        return json.dumps(documents).encode()
    return content


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(each) for k, each in value.items() if k not in NEVER_EQUAL}
    return value


# Processes


def left_running(session: int, seconds: float = 10.0) -> Sequence[int]:
    """Returns the processes of a session that do not end within some seconds, and ends them."""
    until = time.monotonic() + seconds
    while (found := _processes_of(session)) and time.monotonic() < until:
        time.sleep(0.02)
    for process in found:
        with suppress(ProcessLookupError):
            kill(process, signal.SIGKILL)
    return found


def _processes_of(session: int) -> list[int]:
    """Returns the living processes of a session, from /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # After the name in parentheses: state, parent, group, session.
            about = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(about[3]) == session and about[0] not in "ZX":
                found.append(int(folder.name))
    return found
