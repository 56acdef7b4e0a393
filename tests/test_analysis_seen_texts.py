"""Error rates on texts that occur in train, and on those that do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.analysis.pairs import Pairs
from asrbench.analysis.seen_texts import by_seen_text
from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import bootstrap


def study(symbols_U, **errors) -> Pairs:
    """Systems by their errors_SU; an error is a `b` in a reference of `a`."""
    systems = {
        label: [
            ["b" * e + "a" * (n - e) for e, n in zip(errors_U, symbols_U, strict=True)]
            for errors_U in errors_SU
        ]
        for label, errors_SU in errors.items()
    }
    return Pairs.of(["a" * n for n in symbols_U], systems)


def test_both_groups_by_hand():
    """Seen are the first two utterances, 4 + 6 characters: the baseline has 1 error in one run and
    2 in the other, 3 / 20, the other system none. Of 10 + 20 unseen ones it has 3 and 6, 9 / 60,
    and the other 12 in its only run, 12 / 30."""
    pairs = study([4, 6, 10, 20], base=[[1, 0, 0, 3], [0, 2, 6, 0]], other=[[0, 0, 2, 10]])
    found = by_seen_text(pairs, [True, True, False, False], "base", replicates=200)
    assert found is not None
    seen, unseen = found.seen, found.unseen
    assert (seen.utterances, seen.n, unseen.utterances, unseen.n) == (2, 10, 2, 30)
    assert seen.systems["base"].cer == pytest.approx(3 / 20)
    assert unseen.systems["base"].cer == pytest.approx(9 / 60)
    assert seen.differences["other"].delta == pytest.approx(-3 / 20)
    assert unseen.differences["other"].delta == pytest.approx(12 / 30 - 9 / 60)
    assert seen.differences.keys() == unseen.differences.keys() == {"other"}


@pytest.mark.parametrize("speakers", [None, ["x", "y", "x", "z", "y", "z"]])
def test_intervals_are_those_of_the_bootstrap_of_the_group_alone(speakers):
    symbols_U, flags_U = [5, 8, 4, 9, 7, 6], [True, False, True, True, False, True]
    base, other = [[1, 0, 2, 3, 1, 0], [0, 0, 1, 4, 2, 2]], [[2, 1, 0, 3, 0, 1]]
    found = by_seen_text(study(symbols_U, a=base, b=other), flags_U, "a", speakers, replicates=300)
    chosen = np.flatnonzero(flags_U)
    of = None if speakers is None else [speakers[u] for u in chosen]
    alone = bootstrap(
        Blocks.of(np.array(symbols_U)[chosen], of),
        [np.array(base)[:, chosen], np.array(other)[:, chosen]],
        replicates=300,
    )
    assert found is not None
    assert found.seen.differences["b"] == alone.difference(1, 0)
    assert found.seen.systems["b"].interval == alone.rate(1).interval


def test_systems_that_stand_apart_have_rates_alone():
    pairs = study([4, 4, 4, 4], a=[[1, 0, 0, 1]], b=[[4, 4, 4, 4]])
    flags = [True, True, False, False]
    found = by_seen_text(pairs, flags, "a", replicates=50, apart=["b"])
    assert found is not None
    assert found.seen.systems["b"].cer == 1
    assert found.seen.differences == found.unseen.differences == {}
    found = by_seen_text(pairs, flags, "a", replicates=50, apart=["a"])
    assert found is not None
    assert found.seen.differences == {}


def test_a_group_of_one_speaker_has_no_interval():
    pairs = study([4, 4, 4], a=[[1, 0, 2]], b=[[0, 0, 0]])
    found = by_seen_text(pairs, [True, True, False], "a", ["x", "x", "y"], replicates=50)
    assert found is not None
    assert found.seen.systems["a"].interval is None
    assert found.seen.differences == {}


@pytest.mark.parametrize("flag", [True, False])
def test_one_group_alone_is_no_division(flag):
    assert by_seen_text(study([4, 4], a=[[1, 0]]), [flag, flag], "a", replicates=50) is None


def test_as_many_flags_as_utterances():
    with pytest.raises(ValueError, match="2 utterances, 1 flags"):
        by_seen_text(study([4, 4], a=[[1, 0]]), [True], "a", replicates=50)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.booleans()), min_size=1))
def test_the_groups_together_are_the_test_set(rows):
    symbols_U = [n for n, _, _ in rows]
    errors_U = [min(n, e) for n, e, _ in rows]
    found = by_seen_text(
        study(symbols_U, a=[errors_U]), [flag for *_, flag in rows], "a", replicates=20
    )
    if found is None:
        assert len({flag for *_, flag in rows}) == 1
        return
    groups = (found.seen, found.unseen)
    assert sum(group.utterances for group in groups) == len(rows)
    assert sum(group.n for group in groups) == sum(symbols_U)
    total = sum((group.systems["a"].cer or 0) * group.n for group in groups)
    assert total == pytest.approx(sum(errors_U))
