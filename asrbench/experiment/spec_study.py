"""The keys of a spec file that make several runs of it: `variants`, `grid`, `seeds`, `folds`."""

import math
from collections.abc import Hashable, Iterable, Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from asrbench.experiment.layers import Mapping
from asrbench.experiment.spec_base import Impossible, Seed, Spec

MOST_RUNS = 10_000
"""Largest number of runs in a study. A grid of ten keys could otherwise take all memory."""


class StudyKeys(Spec):
    """The keys that make several cells of one file."""

    name: str
    """Name of the experiment and of its folder under results/."""
    seeds: tuple[Seed, ...] = (0,)
    """Seeds with which each variant is trained."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Number of folds; for each of them, a run is trained without it and tested on it."""
    variants: dict[str, Mapping | None] | None = None
    """Changes to the rest of the file, by variant, laid over the variants that `extends` brings."""
    only: tuple[str, ...] | None = None
    """Names of the variants to train, where a file extends a study and needs only some of it."""
    grid: dict[str, tuple[Any, ...]] = Field(default={})
    """Dotted keys and the values of each; every combination is a variant."""

    @model_validator(mode="after")
    def _some_cells_no_two_alike(self) -> "StudyKeys":
        if self.variants is not None and not self.variants:
            raise Impossible("variants", "found {}, allowed: one variant or more")
        lists = {"seeds": self.seeds, **{f"grid.{key}": v for key, v in self.grid.items()}}
        if self.only is not None:
            if self.variants is None and not self.grid:
                raise Impossible("only", "found no variants to choose from; leave it out")
            lists["only"] = self.only
        for path, values in lists.items():
            if not values:
                raise Impossible(path, "found [], allowed: one value or more")
            for value in _repeated(values):
                raise Impossible(path, f"found {value} twice, allowed: each value once")
        counts = {
            "seeds": len(self.seeds),
            "folds": self.folds or 1,
            "variants": len(self.variants or [0]),
            **{f"grid.{key}": len(values) for key, values in self.grid.items()},
        }
        if math.prod(counts.values()) > MOST_RUNS:
            raise Impossible(
                max(counts, key=lambda path: counts[path]),
                f"found a study of {math.prod(counts.values()):,} runs, allowed: at most "
                f"{MOST_RUNS:,}",
            )
        return self


def _repeated(values: Iterable[Any]) -> Iterator[Any]:
    """Yields the values that have occurred before, in a time that grows with their number only."""
    seen = set()
    for value in values:
        key = value if isinstance(value, Hashable) else (list, repr(value))
        if key in seen:
            yield value
        seen.add(key)
