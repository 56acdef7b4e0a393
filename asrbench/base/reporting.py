"""What long work tells of itself; how it is shown is for `terminal.py` to say."""

from typing import Protocol


class Reporter(Protocol):
    def say(self, line: str) -> None:
        """A line worth keeping."""

    def progress(self, task: str, done: int, total: int, note: str = "") -> None:
        """How far `task` is; `note` holds the live figure that matters."""


class Silent:
    """A `Reporter` that shows nothing."""

    def say(self, line: str) -> None: ...

    def progress(self, task: str, done: int, total: int, note: str = "") -> None: ...
