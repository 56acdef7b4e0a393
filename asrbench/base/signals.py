"""The signals that stop a command, and processes that end when their parent does."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from asrbench.base.errors import UserError

STOP_SIGNALS: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
if sys.platform != "win32":
    STOP_SIGNALS += (signal.SIGHUP,)
"""Ctrl-C, a request to end, and a terminal or a connection that was closed."""

PARENT = "ASRBENCH_PARENT"
"""The environment variable with the id of the process that a command must not outlive."""

HAS_PRCTL = sys.platform == "linux"
"""Whether the system sends a signal when the parent ends. Elsewhere a thread asks for it."""

POLL_SECONDS = 1.0
"""The time between two questions of that thread."""

_PR_SET_PDEATHSIG = 1
"""The operation of prctl(2), from Linux's linux/prctl.h."""


def end_with_parent(number: signal.Signals, parent: int) -> None:
    """Sends this process the signal `number` when its parent ends, however it ends.

    `parent` is the id of the parent. If it has ended already, the signal is sent at once; on
    systems other than Linux, where a thread asks for the parent, within a second of its end.
    """
    if not HAS_PRCTL:
        threading.Thread(target=_await_end_of, args=(parent, number), daemon=True).start()
        return
    _on_end_of_parent(number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def heed_parent_no_more() -> None:
    """Has the end of the parent send this process no further signal.

    Linux sends one for each thread of the parent, and a second one would end this process before
    it saves.
    """
    if HAS_PRCTL:
        _on_end_of_parent(0)


def _await_end_of(parent: int, number: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), number)


def _on_end_of_parent(number: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def end_with_caller() -> None:
    """Has SIGTERM end this process when the process that `PARENT` names ends, if it is set."""
    if parent := os.environ.pop(PARENT, ""):
        end_with_parent(signal.SIGTERM, int(parent))


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Has the first Ctrl-C raise `KeyboardInterrupt` in the block, and later ones do nothing.

    A second one would end the clearing up that follows the first, with a traceback. One that comes
    while Python runs a destructor, which may raise nothing, comes again a little later. Where
    SIGINT is ignored or handled already, nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return

    def interrupt(number: int, frame: Any) -> NoReturn:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    def unraisable(found: Any) -> None:
        if not isinstance(found.exc_value, KeyboardInterrupt):
            hook_before(found)
            return
        signal.signal(signal.SIGINT, interrupt)
        again = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()

    hook_before, sys.unraisablehook = sys.unraisablehook, unraisable
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        sys.unraisablehook = hook_before
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, before)


@contextmanager
def within(seconds: float, message: str) -> Iterator[None]:
    """Raises `UserError` with the message if the block takes longer.

    For code of the user that need not end, as a regular expression. The block runs in the main
    thread, and in Python or in a library that heeds signals, as `re` does.
    """

    def end(number: int, frame: Any) -> NoReturn:
        raise UserError(message)

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
