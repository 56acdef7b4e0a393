"""Machines, users and shells that are not as usual: memory, clock, locale, terminal, limits.

A surrounding that has nothing to do with the work gives the same result as none. Where a command
cannot work it says so in one line, and gives the same result as soon as it can.
"""

import fcntl
import os
import pty
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import asrbench
from attack.aftermath import (
    COMPARES,
    EVALUATES,
    INSPECTS,
    PREPARES,
    RATES,
    TRAINS,
    Bench,
    Command,
    bench_of,
)
from attack.attempt import Attack, Attempt
from attack.bounded import Outcome, data_bytes
from attack.environments import ENVIRONMENTS, RANKS, THREADS
from attack.mounts import as_other_user, without_rights

DRY_RUN = Command("train --dry-run", (*TRAINS.arguments, "--dry-run"), "results", TRAINS.begin)
CHEAP = (PREPARES, RATES)
ALL = (PREPARES, RATES, EVALUATES, PREPARES, RATES, TRAINS, PREPARES, RATES, INSPECTS, COMPARES)
"""The commands of which one is drawn."""


@dataclass(frozen=True)
class Surrounding:
    """What is unusual when a command runs."""

    name: str
    in_child: Callable[[], object] = lambda: None
    """Is called in the process of the command, before it."""
    environment: Mapping[str, str | None] | None = None
    """Variables to set, or to unset, for a new interpreter; None for a forked one."""
    may_refuse: bool = False
    """Whether the command may say that it cannot work so."""
    commands: tuple[Command, ...] = ALL
    meanwhile: Callable[[int], object] | None = None
    """Is called in the process that attacks, while the command runs."""
    home: Callable[[Path], object] = lambda home: None
    """Changes the home before the command."""

    def attempt(self, bench: Bench, draw: random.Random) -> Attempt:
        command = draw.choice(self.commands)
        faults: list[str] = []

        def before() -> None:
            self.in_child()
            if self.environment is not None:
                _start_anew(command, self.environment)

        def make() -> Outcome:
            bench.expected(command)
            bench.begin(command)
            self.home(bench.home)
            outcome = bench.run(command, before=before, meanwhile=self.meanwhile)
            if outcome.status == 2 and self.may_refuse:
                following = bench.run(command)
                if following.status != 0 and "exists already" not in (following.refusal or ""):
                    faults.append(f"as usual again: {following.fault or following.refusal}")
            elif outcome.status == 2:
                faults.append(f"refused: {outcome.refusal}")
            if found := bench.difference(command):
                faults.append(found)
            return outcome

        def check(outcome: Outcome) -> str | None:
            return faults[0] if faults else None

        return Attempt(f"{command.name}, {self.name}", make=make, check=check)


def _start_anew(command: Command, environment: Mapping[str, str | None]) -> None:
    """Goes on as a new interpreter, because only that reads its locale and its encodings."""
    changed = {"PYTHONPATH": str(Path(asrbench.__file__).parents[1]), **environment}
    variables = {**os.environ, **changed}
    python = [sys.executable, "-m", "asrbench", *command.arguments]
    os.execve(sys.executable, python, {k: v for k, v in variables.items() if v is not None})


Surroundings = Callable[[random.Random], list[Surrounding]]


def attempts_in(
    all_of: Surroundings, folder: Path, draw: random.Random, count: int
) -> Iterator[Attempt]:
    """Yields attempts in all of the surroundings by turns, with values that are drawn anew."""
    waiting: list[Surrounding] = []
    with bench_of(folder) as bench:
        for _ in range(count):
            if not waiting:
                waiting = all_of(draw)
                draw.shuffle(waiting)
            yield waiting.pop().attempt(bench, draw)


# Memory


def memories(draw: random.Random) -> list[Surrounding]:
    """Ten limits from 1 MB to 1 GB beyond what the process has when it begins."""

    def limit(size: int) -> None:
        # Its OpenBLAS tries for ever to get 32 MB when it is loaded, before any code of asrbench
        # could say anything; so do many programs with a limit like these when they start.
        import scipy.special  # noqa: F401

        most = data_bytes() + size
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))

    sizes = [int(2 ** (20 + step + draw.random())) for step in range(10)]
    return [
        Surrounding(f"{size >> 20} MB of memory", partial(limit, size), may_refuse=True)
        for size in sizes
    ]


# Clock

YEAR = 365.25 * 86_400
LAST = 7_258_118_400  # 2200


def clocks(draw: random.Random) -> list[Surrounding]:
    """Clocks that jump, stand still or are wrong, and files that come from the future."""
    actual = time.time
    began = actual()

    def jumping(step: float) -> Callable[[], float]:
        return lambda: actual() + step * (int(1e6 * actual()) % 2)

    wrong: dict[str, Callable[[], float]] = {
        "a clock that jumps back a year": jumping(-YEAR),
        "a clock that jumps ahead a year": jumping(YEAR),
        "a clock that stands still": lambda: began,
        "a clock in 1970": lambda: actual() - began,
        "a clock in 2200": lambda: actual() - began + LAST,
        "a clock that runs backwards": lambda: 2 * began - actual(),
    }

    def set_clock(now: Callable[[], float]) -> None:
        time.time = now
        time.time_ns = lambda: int(1e9 * now())

    def touch(moment: float, home: Path) -> None:
        for path in home.rglob("*"):
            os.utime(path, (moment, moment))

    moments = {"1970": 0.0, "1901": -(2.0**31), "2200": LAST, "drawn": draw.uniform(0, LAST)}
    return [
        *(Surrounding(name, partial(set_clock, clock)) for name, clock in wrong.items()),
        *(
            Surrounding(f"files of {name}", home=partial(touch, moment))
            for name, moment in moments.items()
        ),
    ]


# Environment


def environments(draw: random.Random) -> list[Surrounding]:
    return [
        *(Surrounding(_in_words(each), environment=each) for each in ENVIRONMENTS),
        *(Surrounding(_in_words(each), environment=each, commands=CHEAP) for each in THREADS),
        *(
            Surrounding(
                _in_words(each),
                partial(os.environ.update, each),
                may_refuse=True,
                commands=(DRY_RUN,),
            )
            for each in RANKS
        ),
    ]


def _in_words(variables: Mapping[str, str | None]) -> str:
    return " ".join(f"{k} unset" if v is None else f"{k}={v!r}" for k, v in variables.items())


# Terminal and streams


def streams(draw: random.Random) -> list[Surrounding]:
    """Standard streams that are closed, full or slow, and a terminal that goes away."""

    def close(numbers: tuple[int, ...]) -> None:
        for number in numbers:
            os.close(number)

    closed = [each for size in (1, 2, 3) for each in combinations((0, 1, 2), size)]
    master, slave = pty.openpty()

    def on_terminal(colours: bool) -> None:
        os.close(master)
        for number in (0, 1, 2):
            os.dup2(slave, number)

    def hang_up(seconds: float, child: int) -> None:
        os.close(slave)
        time.sleep(seconds)
        os.close(master)

    return [
        *(
            Surrounding(
                f"streams {', '.join(map(str, each))} closed", partial(close, each), environment={}
            )
            for each in closed
        ),
        *(
            Surrounding(f"output closed after line {n}", partial(_into_reader, n), environment={})
            for n in (0, 1, draw.randint(2, 6))
        ),
        Surrounding("a reader that waits", partial(_into_reader, 10**6, 1.0), environment={}),
        Surrounding("a pipe that never blocks", _into_full_pipe, may_refuse=True, environment={}),
        Surrounding(
            "/dev/full as output",
            partial(_into, "/dev/full", (1,)),
            may_refuse=True,
            environment={},
        ),
        Surrounding("/dev/full as errors", partial(_into, "/dev/full", (2,)), environment={}),
        Surrounding(
            "a terminal that goes away",
            partial(on_terminal, True),
            environment={},
            meanwhile=partial(hang_up, draw.uniform(0, 2)),
        ),
    ]


def _into(path: str, numbers: tuple[int, ...]) -> None:
    for number in numbers:
        os.dup2(os.open(path, os.O_WRONLY), number)


def _into_reader(lines: int, seconds: float = 0.0) -> None:
    """Has the output go to a process that waits, reads so many lines, and ends."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    if not os.fork():
        os.close(writer)
        time.sleep(seconds)
        with os.fdopen(reader, "rb") as pipe:
            for _, _line in zip(range(lines), pipe, strict=False):
                pass
        os._exit(0)
    os.close(reader)
    os.dup2(writer, 1)
    os.close(writer)


def _into_full_pipe() -> None:
    """Has the output go to a pipe that is full and refuses to be written to."""
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    os.set_blocking(writer, False)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(writer, bytes(size))
    os.dup2(writer, 1)


# Limits


def limits(draw: random.Random) -> list[Surrounding]:
    """Limits of the process, and rights that nobody expects."""

    def limit(what: int, value: int) -> None:
        resource.setrlimit(what, (value, value))

    def open_files(more: int) -> None:
        # Whoever starts the attack may have left it files that are open.
        limit(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) + more)

    def lone_process(count: int) -> None:
        as_other_user()
        limit(resource.RLIMIT_NPROC, count)

    def in_deleted_folder() -> None:
        Path("gone").mkdir()
        os.chdir("gone")
        Path("../gone").rmdir()

    def owner_only(mask: int) -> None:
        without_rights()
        os.umask(mask)

    return [
        *(
            Surrounding(f"{n} more open files", partial(open_files, n), may_refuse=True)
            for n in (*range(1, 41, 6), draw.randint(1, 40))
        ),
        *(
            Surrounding(f"{count} processes", partial(lone_process, count), may_refuse=True)
            for count in (0, 1, 2, 4)
        ),
        Surrounding("a deleted working directory", in_deleted_folder, may_refuse=True),
        Surrounding("umask 0", partial(os.umask, 0)),
        Surrounding("umask 077", partial(owner_only, 0o077)),
        Surrounding("umask 0777", partial(owner_only, 0o777), may_refuse=True),
        Surrounding(
            "no CPU but one", lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        ),
        Surrounding("the lowest priority", lambda: os.nice(19)),
        Surrounding("a small stack", partial(limit, resource.RLIMIT_STACK, 1 << 20)),
    ]


ATTACKS = (
    Attack(
        "little memory",
        "ten limits between 1 MB and 1 GB",
        partial(attempts_in, memories),
        0.4,
    ),
    Attack(
        "clock",
        "the clock jumps, stands still or is wrong; files are of 1970 or of 2200",
        partial(attempts_in, clocks),
        0.2,
    ),
    Attack(
        "environment",
        "locale, encodings, HOME, TMPDIR, PATH, TERM, COLUMNS, variables of torchrun and OpenMP",
        partial(attempts_in, environments),
        0.55,
    ),
    Attack(
        "streams",
        "standard streams that are closed, full or slow, and a terminal that goes away",
        partial(attempts_in, streams),
        0.25,
    ),
    Attack(
        "limits",
        "open files, processes, umask, a deleted working directory",
        partial(attempts_in, limits),
        0.25,
    ),
)
