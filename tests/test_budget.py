"""What fits a time, by hand."""

import pytest

from asrbench.stages.plan.budget import Fit, Job, ends, epochs_at, fit, makespan

HOUR = 3600.0


def job(variant: str, seed: int, *, left: int = 10, train: float = 0.9, other: float = 0.1) -> Job:
    """An epoch takes an hour; there are ten."""
    return Job(variant, seed, 10, left, train * HOUR, other * HOUR)


FOUR = [job("a", 0), job("a", 1), job("b", 0), job("b", 1)]
"""40 hours."""


def test_each_goes_to_the_device_that_is_free_first() -> None:
    """3 and 2 begin; the 4 follows the 2, and ends at 6."""
    assert ends([3, 2, 4], devices=2) == [3, 2, 6]
    assert ends([], devices=2) == []


def test_the_longest_first() -> None:
    """Graham's own example of its worst case for two devices: 3 + 2 + 2 beside 3 + 2, where 3 + 3
    beside 2 + 2 + 2 would do."""
    assert makespan([3, 3, 2, 2, 2], devices=2) == 7
    assert makespan([1, 1, 4], devices=2) == 4
    assert makespan([1, 2, 3], devices=1) == 6
    assert makespan([], devices=3) == 0


def test_what_is_whole_needs_no_less() -> None:
    assert fit(FOUR, hours=40, devices=1) == Fit(40 * HOUR, True, 4, None, None, None)
    assert fit(FOUR, hours=20, devices=2).whole
    assert not fit(FOUR, hours=19.9, devices=2).whole


def test_what_fits_half_the_time() -> None:
    """20 of 40 hours: two runs; one seed of two; 5 of 10 epochs; and 10 (0.9 d + 0.1) = 5 for the
    share d of the data, which is 4/9."""
    found = fit(FOUR, hours=20, devices=1)
    assert (found.seconds, found.whole, found.runs) == (40 * HOUR, False, 2)
    assert (found.seeds, found.epochs, found.data) == (1, 0.5, 0.44)


def test_what_is_done_takes_no_time_but_counts_for_nothing_as_another_run() -> None:
    """10 hours are left. In 4 none of those runs gets done; 2 runs of 2 epochs do."""
    found = fit([job("a", 0, left=0), job("b", 0)], hours=4, devices=1)
    assert (found.seconds, found.runs, found.epochs) == (10 * HOUR, 1, 0.2)
    assert found.seeds is None


def test_epochs_and_devices_may_be_astronomic() -> None:
    """1,000 hours at 1 h an epoch are 1,000 of 10^9 epochs, on however many devices."""
    endless = Job("a", 0, 10**9, 10**9, 0.9 * HOUR, 0.1 * HOUR)
    for devices in (1, 10**30):
        assert fit([endless], hours=1000, devices=devices).epochs == 1000 / 10**9
    assert makespan([3, 2, 4], devices=10**30) == 4


def test_nothing_fits_next_to_no_time() -> None:
    assert fit(FOUR, hours=0.1, devices=1) == Fit(40 * HOUR, False, 0, None, None, None)


@pytest.mark.parametrize("epochs", range(1, 31))
def test_a_share_that_is_a_number_of_epochs_is_that_number(epochs: int) -> None:
    thirty = Job("a", 0, 30, 30, 1.0, 1.0)
    assert epochs_at(thirty, epochs / 30) == epochs
