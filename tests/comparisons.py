"""Comparisons of texts, for tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from asrbench.scoring.run_rates import runs_of
from asrbench.stats.comparison import compare_runs
from asrbench.stats.record import Comparison
from asrbench.text.profiles import Unit


def compare_texts(
    references: Sequence[str],
    systems: Mapping[str, Sequence[Sequence[str]]],
    profile: str = "verbatim",
    unit: Unit = "character",
    **options: Any,
) -> Comparison:
    """The comparison of the hypotheses of each system, one list per run."""
    runs = runs_of(references, systems, profile, unit)
    return compare_runs(references, runs, profile=profile, unit=unit, **options)
