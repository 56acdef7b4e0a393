"""Recipes: one file a corpus. Each reads a corpus as distributed and leaves a corpus folder."""

from collections.abc import Callable
from dataclasses import dataclass

Tick = Callable[[int, int], None]
"""Told (done, total) as a recipe works; what is shown of it is the caller's affair."""


def silent(done: int, total: int) -> None:
    """A `Tick` that shows nothing."""


@dataclass(frozen=True)
class How:
    """What one may ask of every recipe."""

    strict: bool = False
    """Whether a rejected utterance is an error."""
    force: bool = False
    """Whether a corpus that is there already gives way to the new one, when that is whole."""
    jobs: int = 1
    """Utterances read at the same time; the corpus is the same, byte for byte, for any number."""
    tick: Tick = silent


PLAINLY = How()
