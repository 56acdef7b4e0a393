"""The reasons for which training stops early: a signal, a deadline, or a failure."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from asrbench.base.errors import UserError
from asrbench.base.reporting import Reporter
from asrbench.base.signals import STOP_SIGNALS, heed_parent_no_more

STOPPING = "stopping after this batch or dev pass; a second signal stops without a checkpoint"


class Interrupted(Exception):
    """Training stopped because of a signal, after saving a checkpoint."""

    why = "stopped"


class TimeUp(Exception):
    """Training stopped at its deadline, after saving a checkpoint."""

    why = "the time is up, stopped"


class Failed(UserError):
    """This run cannot continue. Its last checkpoint is intact, and other runs are not affected."""


class Diverged(Failed):
    """The loss or the gradient norm of a step is not finite."""


class OutOfMemory(Failed):
    """A batch does not fit the memory of the device."""


class Stuck(Failed):
    """The run does not learn, and `train.stop_if_stuck` is set."""


@dataclass(frozen=True)
class Deadline:
    """The time at which a command has to end; `at` is in seconds of `clock`."""

    at: float = math.inf
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, hours: float, started_at: float) -> "Deadline":
        """Returns the deadline `hours` after `started_at`, a value of `time.monotonic`."""
        return cls(started_at + 3600 * hours)

    def leaves(self, seconds: float) -> bool:
        """Returns whether at least `seconds` are left."""
        return self.clock() + seconds < self.at


@contextmanager
def stop_signals(reporter: Reporter) -> Iterator[list[int]]:
    """Yields a list of the `STOP_SIGNALS` received; a second signal has its usual effect.

    A signal that this process ignores, as SIGHUP under nohup, is no reason to stop; but SIGINT is,
    because a parent passes it on, and a shell has its background processes ignore it.
    """
    received: list[int] = []
    before = {
        number: handler
        for number in STOP_SIGNALS
        if (handler := signal.getsignal(number)) is not signal.SIG_IGN or number == signal.SIGINT
    }

    def note(number: int, frame: object) -> None:
        heed_parent_no_more()
        received.append(number)
        # In a thread, because the signal may have come while this one was writing a line.
        with suppress(RuntimeError):  # there is no memory for another thread
            threading.Thread(target=reporter.say, args=(STOPPING,)).start()
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
