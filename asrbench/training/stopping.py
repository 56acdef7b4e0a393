"""How training ends before its end: told to, out of time, or unable to go on."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from asrbench.base.errors import UserError
from asrbench.base.reporting import Reporter


class Interrupted(Exception):
    """Training stopped where a signal told it to, with a state to go on from."""

    why = "stopped"


class TimeUp(Exception):
    """Training stopped at its deadline, with a state to go on from."""

    why = "the time is up, stopped"


class Failed(UserError):
    """This run cannot go on. Its last checkpoint is intact, other runs are none the worse."""


class Diverged(Failed):
    """The loss or its gradient is no longer a number."""


class OutOfMemory(Failed):
    """A batch does not fit the device."""


class Stuck(Failed):
    """The run does not learn, and was told to stop if so."""


@dataclass(frozen=True)
class Deadline:
    """When a command has to be over; `at` is seconds by `clock`."""

    at: float = math.inf
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, hours: float, started_at: float) -> "Deadline":
        """`hours` from `started_at`, a figure of `time.monotonic`."""
        return cls(started_at + 3600 * hours)

    def leaves(self, seconds: float) -> bool:
        """Whether what takes that long would still be over in time."""
        return self.clock() + seconds < self.at


@contextmanager
def stop_signals(reporter: Reporter) -> Iterator[list[int]]:
    """Yields a list that SIGINT or SIGTERM writes itself into; a second one acts as ever."""
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: object) -> None:
        received.append(number)
        reporter.say("stopping after this batch or dev pass; once more stops at once")
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
