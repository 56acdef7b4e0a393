"""What `benchmarks/choosing_weights.py` computes, and that the page has what it prints."""

from pathlib import Path

import numpy as np
import pytest
from choosing_weights import choice, history_table
from page import markdown

from asrbench.base.errors import UserError
from asrbench.experiment.run_folder import Run

ROOT = Path(__file__).parents[1]


def test_one_run_by_hand() -> None:
    """In percent: 9 8 7 6 5 2 4 5 4 5. The best is the sixth; around it are 6, 5, 4 and 5."""
    found = choice([0.09, 0.08, 0.07, 0.06, 0.05, 0.02, 0.04, 0.05, 0.04, 0.05])
    assert (found.epoch, found.best, found.around, found.last) == (6, 2, 5, 5)
    assert found.flatters == 3
    (mean_5, sd_5), (mean_10, _) = found.late
    assert mean_5 == pytest.approx(20 / 5)
    assert sd_5 == pytest.approx(np.sqrt(6 / 4))
    assert mean_10 == pytest.approx(55 / 10)


def test_at_the_end_of_a_run_only_earlier_epochs_are_around_the_best() -> None:
    found = choice([0.5] * 7 + [0.3, 0.2, 0.1])
    assert (found.epoch, found.best, found.around) == (10, 10, pytest.approx(25))


def test_too_few_epochs() -> None:
    with pytest.raises(UserError, match=r"^found 9 epochs, allowed: 10 or more$"):
        choice([0.1] * 9)


def test_pure_luck_is_found_in_full() -> None:
    """Epochs that differ by chance alone: the lowest is below the true rate by what it flatters."""
    generator = np.random.default_rng(0)
    found = [choice(list(generator.normal(0.05, 0.003, 45))) for _ in range(2000)]
    true = 5 - np.mean([each.best for each in found])
    assert true > 0.6
    assert np.mean([each.flatters for each in found]) == pytest.approx(true, abs=0.03)


def test_a_steady_fall_is_no_luck() -> None:
    """Without noise the best is the last, and the epochs before it are the only ones around it."""
    assert choice(list(np.linspace(0.10, 0.0995, 45))).flatters < 0.01


def test_the_page_has_the_table_of_the_recorded_runs() -> None:
    page = (ROOT / "docs" / "choosing_weights.md").read_text(encoding="utf-8")
    assert markdown(history_table(Run.find([ROOT / "results" / "published" / "an4"]))) in page
