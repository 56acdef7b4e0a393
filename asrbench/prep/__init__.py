"""Recipes: one file a corpus. Each reads a corpus as distributed and leaves a corpus folder."""

from collections.abc import Callable

Tick = Callable[[int, int], None]
"""Told (done, total) as a recipe works; what is shown of it is the caller's affair."""


def silent(done: int, total: int) -> None:
    """A `Tick` that shows nothing."""
