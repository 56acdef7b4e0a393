"""The part of a recording that is one utterance. This module imports without numpy."""

import math
from dataclasses import dataclass

from asrbench.base.errors import Fault

_LONGEST_S = 1e9
"""Thirty years. A later time is a mistake in the list."""


class AudioFault(Fault):
    """Raised for a file that holds no usable utterance.

    Reasons: "missing", "empty file", "unreadable", "wrong channel count", "no such channel",
    "beyond the end", "zero samples", "too long".
    """


@dataclass(frozen=True, slots=True)
class Segment:
    """One channel of a recording, from one time to another.

    Raises `Fault` if the end is not after the start.
    """

    start_s: float = 0.0
    end_s: float | None = None
    """`None` means the end of the recording."""
    channel: int | None = None
    """Counted from 0. `None` means that the recording has a single channel."""

    def __post_init__(self) -> None:
        end_s = math.inf if self.end_s is None else self.end_s
        last_s = self.start_s if self.end_s is None else self.end_s
        if not 0 <= self.start_s < end_s or last_s > _LONGEST_S:
            raise Fault("segment times", f"from {self.start_s:g} s to {end_s:g} s")

    @property
    def is_all(self) -> bool:
        """Whether the segment lasts from the start to the end of the recording."""
        return self.start_s == 0 and self.end_s is None


WHOLE = Segment()
"""The whole of a recording of one channel."""
