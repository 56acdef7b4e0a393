"""Standard output that neither its end nor its encoding can stop a command with."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, TextIO, cast

_CLOSED = (errno.EPIPE, errno.EIO)
"""Errors of a pipe without a reader, as after `| head`, and of a terminal that was closed."""


class _Lasting:
    """A stream whose text is lost, with a line on standard error, once nobody can read it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._attempt(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            if error.errno not in _CLOSED:
                raise
            # What is still in the buffer, and all that follows, goes where it fits.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            with suppress(OSError):
                print("standard output was closed; the command goes on without it", file=sys.stderr)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def fill_closed_streams() -> None:
    """Has standard streams that are closed lead nowhere.

    A file that the command opens would get their number, and with it what C libraries print.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def write_any_character() -> None:
    """Has standard output and errors write what their encoding lacks as an escape sequence.

    Names of files need not be Unicode, and a terminal need not have every character of a text.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def lasting_output() -> Iterator[None]:
    """Has the block go on when standard output is closed, and end with what it writes to files."""
    stream = sys.stdout
    sys.stdout = cast(TextIO, _Lasting(stream))
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout = stream
