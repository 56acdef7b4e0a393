"""Commands that are killed at any moment, and then called again.

A command is killed at the n-th time that it opens a file to write, renames, deletes, locks or
starts something, which is the same moment each time, or after a drawn time. After one or two kills
the same command ends by itself, and its files equal those of a home where nothing was killed.
"""

import json
import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals
from typing import Any

from attack.aftermath import (
    COMPARES,
    EVALUATES,
    INSPECTS,
    PREPARES,
    RATES,
    REPORT,
    TRAINS,
    Bench,
    Command,
    bench_of,
    contents,
    left_running,
)
from attack.attempt import Attack, Attempt
from attack.bounded import Outcome, run
from attack.home import SPLITS, TRAIN

EVENTS = (
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.rmtree",
    "shutil.move",
    "shutil.copyfile",
    "fcntl.flock",
    "subprocess.Popen",
)
"""Audit events of the interpreter at which a command is killed, besides opening to write."""

SIGNALS: tuple[tuple[Signals, ...], ...] = (
    *[(SIGKILL,)] * 6,
    (SIGTERM,),
    (SIGINT,),
    (SIGHUP,),
    (SIGINT, SIGINT),
    (SIGTERM, SIGTERM),
    (SIGHUP, SIGINT),
    (SIGINT, SIGKILL),
)


@dataclass(frozen=True)
class Kill:
    """One or two signals in a row, at an event of the command or after a time."""

    signals: tuple[Signals, ...]
    event: int | None
    """The number of the event, from 1, at which the first signal comes; None if a time is set."""
    seconds: float
    """The time until the first signal where no event is set."""
    gap: float
    """Events, or seconds, between the two signals."""

    @classmethod
    def drawn(cls, draw: random.Random, events: int, seconds: float) -> "Kill":
        """Draws a kill of a command that has so many events and takes so long."""
        signals = draw.choice(SIGNALS)
        if draw.random() < 0.7:
            return cls(signals, draw.randint(1, max(1, events)), 0, draw.randint(0, 5))
        return cls(signals, None, draw.uniform(0.02, 0.95 * seconds), draw.uniform(0, 0.1))

    def __str__(self) -> str:
        names = " and ".join(each.name for each in self.signals)
        return f"{names} {f'at event {self.event}' if self.event else f'at {self.seconds:.2f} s'}"

    def fault(self, outcome: Outcome, trains: bool) -> str | None:
        """Returns what is wrong with the end of a killed command; None if nothing.

        Ctrl-C ends every command with status 130. Training saves a checkpoint and ends so for
        SIGTERM and SIGHUP too; other commands leave these to the system.
        """
        if outcome.status is None:
            return "did not end after a signal"
        if "Traceback" in outcome.err:
            return f"traceback after a signal: {outcome.err.strip()[-500:]!r}"
        allowed = {0, *(-each for each in self.signals if each != SIGINT)}
        if SIGINT in self.signals or trains:
            allowed.add(128 + SIGINT)
        if outcome.status not in allowed:
            return f"ended with status {outcome.status}: {outcome.err.strip()[-200:]!r}"
        return None


class Watched:
    """The events of a command, counted in memory that it shares with the process that attacks."""

    def __init__(self, kill: Kill | None = None) -> None:
        self._kill = kill
        # The number of events, and 1 once the command has begun.
        self._shared = memoryview(mmap.mmap(-1, 16)).cast("q")

    @property
    def events(self) -> int:
        return self._shared[0]

    def begin(self) -> None:
        """Counts from now on, and kills this process when it is time to."""
        # A shell that starts the attack in the background has it ignore Ctrl-C.
        signal.signal(SIGINT, signal.default_int_handler)
        command = os.getpid()

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            # Processes that the command forks, as those of the loader, have this hook too.
            if _changes(event, arguments) and os.getpid() == command:
                self._shared[0] += 1
                self._signal_at_event()

        sys.addaudithook(hook)
        self._shared[1] = 1

    def _signal_at_event(self) -> None:
        kill = self._kill
        if kill is None or kill.event is None:
            return
        for number, each in enumerate(kill.signals):
            if self.events == kill.event + number * kill.gap:
                os.kill(os.getpid(), each)

    def send(self, child: int) -> None:
        """Sends the signals after their time, from the process that attacks."""
        kill = self._kill
        if kill is None or kill.event is not None:
            return
        while not self._shared[1]:
            time.sleep(0.001)
        for each, seconds in zip(kill.signals, (kill.seconds, kill.gap), strict=False):
            time.sleep(seconds)
            with suppress(ProcessLookupError):
                os.kill(child, each)


def _changes(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in EVENTS


@dataclass(frozen=True)
class Victim:
    """A command to be killed."""

    command: Command
    between: Callable[[Bench, Command], str | None] = lambda bench, command: None
    """Returns what is wrong with the files after a kill, before the next call."""
    repairs: bool = False
    """Whether `verify --repair` may come before the next call, too."""

    @property
    def trains(self) -> bool:
        return self.command.arguments[0] == "train"

    def attempts(self, folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
        with bench_of(folder) as bench:
            bench.expected(self.command)
            bench.begin(self.command)
            watched = Watched()
            seconds = bench.run(self.command, before=watched.begin).seconds
            for _ in range(count):
                kills = [
                    Kill.drawn(draw, watched.events, seconds) for _ in range(draw.choice((1, 1, 2)))
                ]
                repair = self.repairs and draw.random() < 0.3
                yield self._attempt(bench, kills, repair)

    def _attempt(self, bench: Bench, kills: list[Kill], repair: bool) -> Attempt:
        faults: list[str] = []

        def make() -> Outcome:
            bench.begin(self.command)
            for kill in kills:
                faults.extend(filter(None, self._faults_of(bench, kill)))
            if repair:
                outcome = run("verify", "results", "corpus", "--repair", folder=bench.home)
                faults.extend(filter(None, [outcome.fault]))
            return bench.run(self.command)

        def check(outcome: Outcome) -> str | None:
            if faults:
                return faults[0]
            if outcome.status != 0 and not self._was_complete(outcome):
                return f"the next call refused: {outcome.refusal}"
            return bench.difference(self.command)

        what = ", ".join(map(str, kills)) + ", then --repair" * repair
        return Attempt(f"{self.command.name}: {what}", check=check, make=make)

    def _faults_of(self, bench: Bench, kill: Kill) -> Iterator[str | None]:
        """Kills the command once and yields what is wrong after that."""
        watched, children = Watched(kill), list[int]()

        def meanwhile(child: int) -> None:
            children.append(child)
            watched.send(child)

        outcome = bench.run(self.command, before=watched.begin, meanwhile=meanwhile)
        if not self._was_complete(outcome):  # by a kill before this one
            yield kill.fault(outcome, self.trains)
        if left_running(*children):
            yield f"{kill} left a process that runs"
        yield self.between(bench, self.command)

    def _was_complete(self, outcome: Outcome) -> bool:
        """A kill after the last rename of `prep` leaves a whole corpus, which is not replaced."""
        return self.command.name.startswith("prep") and "exists already" in (outcome.refusal or "")


# What must hold between a kill and the next call


def whole_or_none(bench: Bench, command: Command) -> str | None:
    """A corpus is there as a whole, or not at all."""
    found = contents(bench.home / command.makes)
    return "the corpus is cut short" if found and found != bench.expected(command) else None


def old_or_new(bench: Bench, command: Command) -> str | None:
    """The corpus that `--force` replaces is the old one or the new one, or nothing for a moment."""
    found = contents(bench.home / command.makes)
    whole = found in (contents(bench.home / "old"), bench.expected(command))
    return None if whole or not found else "the corpus is neither the old one nor the new one"


def named_by_verify(bench: Bench, command: Command) -> str | None:
    """The files of `compare` are all old or all new, or `verify` says so."""
    files = [path for path in (bench.home / "results").glob("*.*") if path.is_file()]
    old = [path.read_bytes() == OLD for path in files if not path.name.startswith(".")]
    if all(old) or not any(old):
        return None
    said = run("verify", "results", folder=bench.home).out
    return None if "making it was interrupted" in said else "verify does not name a mixed report"


# The commands

OLD = b"of an earlier compare"


def with_old_report(home: Path) -> None:
    for pattern in REPORT:
        for path in home.glob(pattern):
            path.write_bytes(OLD)


def with_old_rates(home: Path) -> None:
    RATES.begin(home)
    for name in ("table.md", "table.csv", "table.tex", "study.json"):
        (home / "results" / name).write_bytes(OLD)


def with_manifests(home: Path) -> None:
    """Writes the manifests that NeMo's recipe reads; the corpus is not there."""
    PREPARES.begin(home)
    for split, texts in SPLITS.items():
        rows = [{"audio_filepath": f"{split}{i}.wav", "text": t} for i, t in enumerate(texts)]
        lines = "".join(
            json.dumps(row | {"duration": 0.2 * len(row["text"])}) + "\n" for row in rows
        )
        (home / f"{split}.json").write_text(lines)


def with_other_corpus(home: Path) -> None:
    """Puts a smaller corpus in place, and a copy of it in the folder `old`."""
    lines = (home / "tones.tsv").read_text().splitlines(keepends=True)
    (home / "few.tsv").write_text("".join(lines[:-1]))
    for out in ("corpus", "old"):
        run("prep", "table", "few.tsv", "--out", out, "--force", folder=home)


def with_strays(home: Path) -> None:
    """Leaves behind what processes leave that are killed in every kind of write."""
    from asrbench.base.files import atomic
    from asrbench.base.folders import atomic_files, atomic_folder
    from asrbench.experiment.run_folder import Run

    folder = next(home.glob("results/*/*/*"))
    child = os.fork()
    if not child:
        with (
            atomic_folder(home / "corpus", replace=True) as corpus,
            atomic_files(home / "results", "report"),
            Run(folder).held(),
            atomic(folder / "env.json"),
        ):
            (corpus / "train.arrow").write_bytes(b"cut short")
            os._exit(9)
    os.waitpid(child, 0)


NEMO = ("prep", "nemo", "train.json", "--dev", "dev.json", "--test", "test.json", "--out", "corpus")
VICTIMS = {
    Victim(PREPARES, whole_or_none, repairs=True): 0.5,
    Victim(Command("prep nemo", NEMO, "corpus", with_manifests), whole_or_none): 0.3,
    Victim(
        Command("prep --force", (*PREPARES.arguments, "--force"), "corpus", with_other_corpus),
        old_or_new,
        repairs=True,
    ): 0.4,
    Victim(TRAINS, repairs=True): 0.45,
    Victim(
        replace(TRAINS, name="train, 2 workers", arguments=(*TRAIN, "--set", "run.workers=2"))
    ): 0.12,
    Victim(
        replace(TRAINS, name="train --parallel", arguments=(*TRAIN, "--parallel", "2"), seconds=120)
    ): 0.04,
    Victim(EVALUATES): 0.35,
    Victim(INSPECTS): 0.12,
    Victim(replace(COMPARES, begin=with_old_report), named_by_verify, repairs=True): 0.12,
    Victim(replace(RATES, begin=with_old_rates), named_by_verify, repairs=True): 0.4,
    Victim(
        Command("verify --repair", ("verify", "results", "corpus", "--repair"), ".", with_strays)
    ): 0.4,
}
"""The commands, and how often each is killed for one attempt of another attack."""

ATTACKS = tuple(
    Attack(
        f"kill {victim.command.name}",
        f"`{' '.join(victim.command.arguments)}` is killed, then called again",
        victim.attempts,
        share,
    )
    for victim, share in VICTIMS.items()
)
