"""An attack is a stream of attempts, and each attempt is judged by how its command ended."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from attack.bounded import Outcome, run


@dataclass(frozen=True)
class Attempt:
    """A command to run now, and what must hold when it has ended.

    `what` says in a few words what was done to the input or to the machine. `check` returns what
    is wrong with the outcome and with the files that it left, or None; it is called only where
    nothing is wrong with the outcome as such. An attempt may make its outcome itself, with `make`,
    where one call of `run` is not enough.
    """

    what: str
    arguments: tuple[object, ...] = ()
    check: Callable[[Outcome], str | None] = lambda outcome: None
    before: Callable[[], object] | None = None
    make: Callable[[], Outcome] | None = None


def refused(outcome: Outcome) -> str | None:
    """The check of an input that has no right reading."""
    return None if outcome.refusal else "was accepted"


Attempts = Callable[[Path, random.Random, int], Iterator[Attempt]]
"""Yields at least the given number of attempts on the files in a folder, which is its own copy.

It damages before it yields an attempt and undoes that when it is asked for the next one.
"""


@dataclass(frozen=True)
class Attack:
    """A class of attempts: its name, what it does in a sentence, and its attempts."""

    name: str
    does: str
    attempts: Attempts
    share: float = 1.0
    """How many attempts it makes for one of another attack."""


@dataclass
class Tally:
    """What came of the attempts of an attack."""

    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    peak_bytes: int = 0

    @property
    def tried(self) -> int:
        return self.answers.total()

    def add(self, number: int, attempt: Attempt, outcome: Outcome) -> None:
        fault = outcome.fault or attempt.check(outcome)
        kind = "fault" if fault else "refused" if outcome.status == 2 else "done"
        self.answers[kind] += 1
        if fault:
            self.faults.append(f"{number}, {attempt.what}: {fault}")
        self.slowest = max(self.slowest, outcome.seconds)
        self.peak_bytes = max(self.peak_bytes, outcome.peak_bytes)


def carried_out(attack: Attack, folder: Path, seed: int, count: int) -> Tally:
    """Carries out an attack on the files in `folder` and returns what came of it.

    The seed, the name and the number of an attempt give the same attempt again.
    """
    tally = Tally()
    draw = random.Random(f"{seed} {attack.name}")
    for number, attempt in enumerate(attack.attempts(folder, draw, count)):
        if attempt.make is not None:
            outcome = attempt.make()
        else:
            outcome = run(*attempt.arguments, folder=folder, before=attempt.before)
        tally.add(number, attempt, outcome)
    return tally
