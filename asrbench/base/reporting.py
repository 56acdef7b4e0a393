"""The interface by which long work reports its progress. `asrbench.cli.terminal` shows it."""

from typing import Protocol


class Reporter(Protocol):
    """Receives what long work reports."""

    def say(self, line: str) -> None:
        """Reports a line that stays on the terminal."""

    def progress(self, task: str, done: int, total: int, note: str = "") -> None:
        """Reports that `done` of `total` units of `task` are done.

        `note` is a live figure, such as the loss.
        """


class Silent:
    """A `Reporter` that shows nothing."""

    def say(self, line: str) -> None: ...

    def progress(self, task: str, done: int, total: int, note: str = "") -> None: ...
