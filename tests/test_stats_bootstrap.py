from fractions import Fraction
from math import exp, sqrt

import kaldialign
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asrbench.base.errors import UserError
from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import Bootstrap, Interval, Scope, bootstrap, indistinct_groups
from asrbench.stats.variance import TrainingVariance, Variance, at_least_typical

SYMBOLS = [10, 20, 5, 15, 30, 8]
errors = st.lists(st.integers(0, 9), min_size=6, max_size=6)
runs = st.lists(errors, min_size=1, max_size=4)


def drawn(utterances: int, systems: int, seeds: int = 1, seed: int = 0) -> tuple[Blocks, list]:
    generator = np.random.default_rng(seed)
    symbols_U = generator.poisson(18, utterances) + 1
    hardness_U = generator.gamma(1, 1, utterances)
    shape = (systems, seeds, utterances)
    return Blocks.of(symbols_U), list(generator.poisson(0.06 * symbols_U * hardness_U, shape))


# Blocks


def test_speakers_are_blocks_with_all_they_said():
    blocks = Blocks.of([10, 20, 5], ["ann", "bob", "ann"])
    assert (blocks.count, blocks.kind, blocks.symbols) == (2, "speakers", 35)
    assert blocks.symbols_G.tolist() == [15, 20]
    assert blocks.summed([[1, 2, 3], [0, 0, 1]]).tolist() == [[4, 2], [1, 0]]


def test_each_replicate_has_as_many_blocks_as_there_are():
    blocks = Blocks.of([1, 1, 1, 1])
    counts_BG = np.concatenate(list(blocks.drawn(np.random.default_rng(0), 20_000)))
    assert counts_BG.shape == (20_000, 4)
    assert (counts_BG.sum(axis=1) == 4).all()
    # Binomial, 4 draws of chance 1/4: variance 3/4.
    assert counts_BG.mean(axis=0) == pytest.approx([1] * 4, abs=0.03)
    assert counts_BG.var(axis=0) == pytest.approx([0.75] * 4, abs=0.03)


def test_many_blocks_are_drawn_a_chunk_at_a_time(monkeypatch):
    monkeypatch.setattr("asrbench.stats.blocks.CHUNK", 30)
    chunks = list(Blocks.of([1] * 10).drawn(np.random.default_rng(0), 7))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]


def test_replicates_without_a_reference_symbol_are_drawn_again():
    """Both words are the second block's; a quarter of the draws would miss it."""
    boot = bootstrap(Blocks.of([0, 2]), [[[1, 1]]], replicates=500)
    assert np.isfinite(boot.rate(0).interval.high)


@pytest.mark.parametrize(
    ("symbols", "speakers", "line"),
    [
        ([7], None, "the test set: found 1 of utterances; an interval needs 2 or more"),
        ([7, 8], ["a", "a"], "the test set: found 1 of speakers; an interval needs 2 or more"),
        (
            [0, 0],
            None,
            "the test set: found no symbol in the references, so no rate can be computed",
        ),
    ],
)
def test_test_sets_that_tell_nothing_are_one_line(symbols, speakers, line):
    with pytest.raises(UserError) as caught:
        Blocks.of(symbols, speakers)
    assert str(caught.value) == line


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 utterances, 1 speakers"):
        Blocks.of([1, 2], ["a"])
    with pytest.raises(ValueError, match=r"errors of shape \(1, 3\) for 2 utterances"):
        Blocks.of([1, 2]).summed([1, 2, 3])


# Rates and differences


def test_rates_are_corpus_rates_averaged_over_runs():
    """Errors 1 + 2 of 30, and 0 + 6 of 30: the mean of 3/30 and 6/30 is 3/20."""
    boot = bootstrap(Blocks.of([10, 20]), [[[1, 2], [0, 6]]], replicates=100)
    assert boot.rate(0).value == pytest.approx(float(Fraction(3, 20)))


def test_replicates_by_hand():
    """One error fewer in one of two utterances of 10 symbols: the replicates of the difference of
    -1/20 have both once, or one twice: -1/20 in 1 of 2, 0 and -1/10 in 1 of 4 each."""
    boot = bootstrap(Blocks.of([10, 10]), [[[1, 0]], [[1, 1]]], replicates=40_000)
    found = boot.difference(0, 1)
    assert found.delta == pytest.approx(-1 / 20)
    assert found.relative == pytest.approx(-1 / 2)
    replicates = np.round(found.delta + boot.deviations_BK @ [1, -1], 9)
    values, counts = np.unique(replicates, return_counts=True)
    assert values == pytest.approx([-1 / 10, -1 / 20, 0], abs=1e-9)
    assert counts / 40_000 == pytest.approx([1 / 4, 1 / 2, 1 / 4], abs=0.01)


def test_models_that_are_the_same_have_nothing_to_differ_in():
    blocks, (system,) = drawn(50, 1)
    found = bootstrap(blocks, [system, system], replicates=500).difference(0, 1)
    assert (found.p, found.interval, found.variance.error) == (1, Interval(0, 0), 0)
    assert found.improvement_probability == 0


def test_without_errors_there_is_no_relative_difference():
    boot = bootstrap(Blocks.of([5, 5]), [[[1, 0]], [[0, 0]]], replicates=100)
    assert boot.difference(0, 1).relative is None


@settings(max_examples=30)
@given(runs, runs)
def test_turning_a_difference_round_mirrors_it(one, other):
    boot = bootstrap(Blocks.of(SYMBOLS), [one, other], replicates=400)
    there, back = boot.difference(0, 1), boot.difference(1, 0)
    assert back.delta == -there.delta
    assert back.p == there.p
    assert back.interval.low == pytest.approx(-there.interval.high, abs=1e-12)


@settings(max_examples=30)
@given(runs, runs)
@example([[0, 0, 3, 3, 8, 7]], [[0, 0, 0, 0, 0, 7], [1, 1, 6, 9, 9, 9]])
def test_p_is_where_the_interval_meets_zero(one, other):
    boot = bootstrap(Blocks.of(SYMBOLS), [one, other], replicates=400)
    found = boot.difference(0, 1)
    step = 2 / 401
    # At the smallest p there is, no replicate lies beyond zero, and so no interval holds it.
    if step < found.p < 1 - step:
        outer = boot.difference(0, 1, min(1 - 1e-9, 1 - found.p + step)).interval
        assert outer.low - 1e-12 <= 0 <= outer.high + 1e-12  # a bound of zero may be -1e-16
        inner = boot.difference(0, 1, 1 - found.p - step).interval
        assert not inner.low + 1e-12 < 0 < inner.high - 1e-12


@settings(max_examples=30)
@given(runs)
def test_a_rate_lies_in_its_interval_which_is_above_zero(system):
    found = bootstrap(Blocks.of(SYMBOLS), [system], replicates=400).rate(0)
    if found.value:
        assert 0 < found.interval.low <= found.value <= found.interval.high
    else:
        assert found.interval is None


def test_the_interval_of_a_rate_by_hand():
    """Five runs of the same errors, so that only utterances vary: the logarithm of the rate has
    Student's t with 2 degrees of freedom, 4.303 relative standard errors to either side."""
    found = bootstrap(Blocks.of([10, 10, 10]), [[1, 2, 3]], replicates=20_000).rate(0)
    relative = 4.303 * found.variance.error / 0.2
    assert found.interval.low == pytest.approx(0.2 * exp(-relative), rel=1e-3)
    assert found.interval.high == pytest.approx(0.2 * exp(relative), rel=1e-3)
    # Residuals of -1, 0 and 1 of 30 symbols: 2/900 times 3/2.
    assert found.variance.total == pytest.approx(3 / 900, rel=0.05)


# Few speakers, few utterances that differ


def test_speakers_with_equal_differences_still_vary_as_utterances_do():
    """Each of two speakers has one error fewer, in one of 20 utterances of 10 symbols: the speakers
    do not differ, and the variance is that of 40 utterances: 2 - 4/40 squares, 40/39."""
    base = np.zeros(40)
    base[[3, 27]] = 1
    blocks = Blocks.of([10] * 40, ["a"] * 20 + ["b"] * 20)
    found = bootstrap(blocks, [[base], [0 * base]], replicates=2000).difference(1, 0)
    assert found.variance.over_blocks == pytest.approx((2 - 4 / 40) / 400**2 * 40 / 39)
    assert found.variance.freedom == 1
    assert found.p >= 0.5


@settings(max_examples=50)
@given(st.lists(st.integers(-3, 3), min_size=12, max_size=12), st.integers(0, 3))
def test_no_p_value_is_below_that_of_a_sign_test(differences, seed):
    one = np.array(differences)
    boot = bootstrap(Blocks.of([10] * 12), [[one + 3], [[3] * 12]], replicates=400, seed=seed)
    found = boot.difference(0, 1)
    differing = np.count_nonzero(one)
    assert found.utterances_differing == differing
    assert found.p >= 2.0 ** (1 - differing) if differing else found.p == 1
    if found.p > 0.06:
        assert 0 in found.interval


def test_five_utterances_that_differ_show_nothing_and_six_do():
    """Whatever the differences: five all in favour have 1/16, six have 1/32."""
    blocks = Blocks.of([10] * 400)
    for differing, shown in ((5, False), (6, True)):
        better = np.where(np.arange(400) < differing, 2, 9)
        boot = bootstrap(blocks, [[better], [[9] * 400]], replicates=4000)
        found = boot.difference(0, 1)
        assert found.p == pytest.approx(2.0 ** (1 - differing), abs=2 / 4001)
        assert (found.p <= 0.05) is shown
        assert (0 not in found.interval) is shown


# Equivalence


def test_equivalence_is_two_one_sided_tests():
    """The 90 % interval ends at the margin where p is 5 %."""
    blocks, (one, other) = drawn(300, 2)
    boot = bootstrap(blocks, [one, other])
    low, high = boot.equivalence(0, 1, 0.01).interval
    at_the_end = boot.equivalence(0, 1, max(-low, high))
    assert at_the_end.p == pytest.approx(0.05, abs=0.003)
    assert boot.equivalence(0, 1, 1.1 * max(-low, high)).p < 0.05
    assert boot.equivalence(0, 1, 0.9 * max(-low, high)).p > 0.05
    assert boot.equivalence(0, 1, 1e-6).p > 0.4


def test_a_speaker_an_utterance_is_an_utterance_each():
    blocks, systems = drawn(60, 2, 2)
    named = Blocks.of(blocks.symbols_G, [f"speaker{i}" for i in range(60)])
    one, other = (bootstrap(each, systems, 300).difference(0, 1) for each in (blocks, named))
    assert one == other


def test_saying_everything_twice_tells_no_more_where_speakers_are_known():
    """As utterances they would pass for twice the evidence: intervals narrower by a factor root 2,
    but for the 40 blocks that make a t of the normal one."""
    blocks, systems = drawn(40, 2)
    symbols = np.tile(blocks.symbols_G, 2)
    twice = [np.tile(system, 2) for system in systems]
    known = Blocks.of(symbols, [*range(40), *range(40)])
    widths = [
        bootstrap(each, which).difference(0, 1).interval.width
        for each, which in ((blocks, systems), (known, twice), (Blocks.of(symbols), twice))
    ]
    assert widths[1] == pytest.approx(widths[0], rel=1e-9)
    assert widths[2] == pytest.approx(widths[0] / sqrt(2), rel=0.05)


def test_the_same_seed_draws_the_same_and_another_nearly():
    blocks, systems = drawn(100, 2, 2)
    first, again, other = (bootstrap(blocks, systems, seed=s).difference(0, 1) for s in (5, 5, 6))
    assert first == again
    assert first != other
    assert other.interval.width == pytest.approx(first.interval.width, rel=0.06)


def test_few_blocks_make_heavy_tails():
    """Of 5 equal blocks the interval of normal differences is that of Student's t with 4: 2.776
    standard errors to either side where 1.96 would be the normal one."""
    generator = np.random.default_rng(1)
    ratios = []
    for _ in range(40):
        errors_U = 100 + 10 * generator.standard_normal(5)
        boot = bootstrap(Blocks.of([1000] * 5), [[errors_U], [[100] * 5]], replicates=4000)
        error = errors_U.std(ddof=1) / sqrt(5) / 1000
        ratios.append(boot.difference(0, 1).interval.width / 2 / error)
    assert np.mean(ratios) == pytest.approx(2.776, rel=0.06)


# Against kaldialign


def texts(symbols_U: list[int], errors_U: list[int]) -> tuple[list[list[str]], list[list[str]]]:
    """References, and hypotheses with so many insertions."""
    references = [["a"] * n for n in symbols_U]
    return references, [r + ["b"] * e for r, e in zip(references, errors_U, strict=True)]


@pytest.fixture(scope="module")
def both() -> tuple[Bootstrap, dict]:
    blocks, systems = drawn(800, 2)
    references, one = texts(blocks.symbols_G.astype(int).tolist(), systems[0][0].tolist())
    _, other = texts(blocks.symbols_G.astype(int).tolist(), systems[1][0].tolist())
    expected = kaldialign.bootstrap_wer_ci(references, one, other, replications=10_000)
    return bootstrap(blocks, systems), expected


@pytest.mark.parametrize("system", [0, 1])
def test_standard_errors_agree_with_kaldialign(both, system):
    """Its interval is 1.96 standard deviations of the replicates to either side of their mean."""
    boot, expected = both
    theirs = expected[f"system{system + 1}"]
    error = (theirs["ci95max"] - theirs["ci95min"]) / 2 / 1.96
    assert boot.rate(system).variance.error == pytest.approx(error, rel=0.03)


def test_probability_of_improvement_agrees_with_kaldialign(both):
    """10,000 replicates on either side: a standard error of at most 0.7 %."""
    boot, expected = both
    found = boot.difference(1, 0).improvement_probability
    assert 0.02 < found < 0.98
    assert found == pytest.approx(expected["p_s2_improv_over_s1"], abs=0.02)


def test_kurtosis_by_hand():
    """Nine of ten blocks have one error fewer than the mean 1, one has nine more: the squares are
    nine times 1 and once 81, their mean 9, that of the fourth powers 657."""
    boot = bootstrap(Blocks.of([10] * 10), [[[0] * 9 + [10]]], replicates=100)
    assert boot.rate(0).variance.kurtosis == pytest.approx(657 / 81)


# Training variance


def test_training_variance_without_interaction_by_hand():
    """Runs of 1/10 and 3/10 in every utterance: sample variance 1/50, over 2 runs 1/100; the
    residuals are nothing."""
    blocks = Blocks.of([10, 20])
    training = TrainingVariance.of(blocks, blocks.summed([[1, 2], [3, 6]]))
    assert training is not None
    assert training.between_runs == pytest.approx(1 / 100)
    assert (training.interaction, training.variance) == pytest.approx((0, 1 / 100))


def test_interaction_without_training_variance_by_hand():
    """Runs that err in one utterance each, by 1 of 20 symbols: rates 1/20 both. Residuals of 1/40
    and -1/40 turned round: in each of 2 utterances a sample variance of 1/800, together 1/400, by
    2/(2 - 1) and over 2 runs 1/400."""
    blocks = Blocks.of([10, 10])
    training = TrainingVariance.of(blocks, blocks.summed([[1, 0], [0, 1]]))
    assert training is not None
    assert (training.between_runs, training.variance) == (0, 0)
    assert training.interaction == pytest.approx(1 / 400)


def test_one_run_has_no_training_variance():
    blocks, (one, other) = drawn(50, 2, 3)
    assert TrainingVariance.of(blocks, blocks.summed(one[:1])) is None
    boot = bootstrap(blocks, [one, other, one[:1]], replicates=300)
    assert boot.difference(0, 1).scope is Scope.TRAINING
    for pair in ((0, 2), (2, 0)):
        found = boot.difference(*pair)
        assert found.scope is Scope.MODELS
        assert found.variance.training == ()
    assert (boot.rate(0).scope, boot.rate(2).scope) == (Scope.TRAINING, Scope.MODELS)


def test_training_variance_widens_an_interval():
    blocks, systems = drawn(100, 2, 3)
    varied = [system * np.array([[1], [2], [3]]) for system in systems]
    narrow = bootstrap(blocks, [system.mean(axis=0) for system in varied]).difference(0, 1)
    wide = bootstrap(blocks, varied).difference(0, 1)
    assert wide.delta == pytest.approx(narrow.delta)
    assert wide.interval.width > 2 * narrow.interval.width


def test_freedom_by_hand():
    """Satterthwaite: parts 2 with 10, 1 with 2 and 1 with 2 degrees of freedom sum to 4 with
    16 / (4/10 + 1/2 + 1/2) = 80/7."""
    training = TrainingVariance(3, 1.0, 0.0)
    variance = Variance(2.0, 11, (training, training))
    assert variance.total == 4
    assert variance.error == 2
    assert variance.freedom == pytest.approx(80 / 7)
    assert Variance(2.0, 11, ()).freedom == 10


def test_freedom_is_never_below_that_of_any_component():
    """Training variance that interaction explains adds nothing; the formula gives 16/1000."""
    hidden = TrainingVariance(2, 100.0, 100.0)
    assert Variance(4.0, 101, (hidden, hidden)).freedom == 1
    assert Variance(0.0, 101, (TrainingVariance(3, 0.0, 0.0),) * 2).freedom == 2


def test_variance_at_other_sizes_by_hand():
    """Test set 6, interaction 1 + 1, training 2 + 2 from 2 seeds. With 4: 6 + 1/2 + 1/2 over blocks
    and training 1 + 1. On twice the test set: 8/2 over blocks, training as before."""
    training = TrainingVariance(2, 3.0, 1.0)
    variance = Variance(8.0, 50, (training, training))
    assert variance.total == 12
    assert variance.with_seeds(2) == variance
    assert variance.with_seeds(4) == Variance(7.0, 50, (TrainingVariance(4, 1.5, 0.5),) * 2)
    larger = variance.on_test_sets(2)
    assert larger == Variance(4.0, 100, (TrainingVariance(2, 2.5, 0.5),) * 2)
    assert larger.total == 8


# Training variance of a family


def known(*variances: float, seeds: int = 3) -> list[TrainingVariance]:
    return [TrainingVariance(seeds, each + 1e-6, 1e-6) for each in variances]


def test_an_estimate_that_is_small_by_chance_is_raised_to_what_is_typical_by_hand():
    """Rates of 10 %, and L/S of 1, 4 and 9 in 1e-6: the median 4, times 2 over the median of
    chi-square with 2 degrees of freedom, 1.386, is 5.77. Three systems of 2 degrees of freedom each
    have 6, times 2/pi."""
    typical = 4e-6 * 2 / 1.3863
    found = at_least_typical(known(1e-6, 4e-6, 9e-6), np.array([0.1] * 3))
    assert [each.variance for each in found] == pytest.approx([typical, typical, 9e-6], rel=1e-4)
    assert [each.freedom for each in found] == pytest.approx([12 / np.pi, 12 / np.pi, 2])
    assert [each.interaction for each in found] == [1e-6] * 3


def test_what_is_typical_is_relative_to_the_rate():
    """A rate twice as high has four times the variance."""
    found = at_least_typical(known(4e-6, 16e-6, 0.0), np.array([0.1, 0.2, 0.1]))
    assert found[2].variance == pytest.approx(4e-6 * 2 / 1.3863, rel=1e-4)
    assert found[1].variance == pytest.approx(4 * found[2].variance)


def test_one_unsteady_system_changes_nothing_for_the_others():
    steady = [1e-6, 2e-6, 3e-6, 4e-6]
    rates = np.array([0.1] * 5)
    one, other = (at_least_typical(known(*steady, unsteady), rates)[:4] for unsteady in (5e-6, 1.0))
    assert one == other


def test_a_family_of_single_runs_knows_nothing():
    assert at_least_typical([None, None], np.array([0.1, 0.2])) == (None, None)
    alone = (*known(1e-6), None)
    assert at_least_typical(alone, np.array([0.1, 0.2])) == alone
    without_errors = known(1e-6, 0.0)
    assert at_least_typical(without_errors, np.array([0.1, 0.0])) == tuple(without_errors)


def test_only_the_family_is_raised():
    blocks, drawn_K = drawn(60, 4, 3)
    factors = ([1, 1, 1], [1, 2, 3], [3, 1, 2], [1, 20, 90])
    systems = [each * np.array([row]).T for each, row in zip(drawn_K, factors, strict=True)]
    own = bootstrap(blocks, systems, 100).training_K
    raised = bootstrap(blocks, systems, 100, family=[0, 1, 2]).training_K
    assert raised[3] == own[3]
    assert raised[:3] == at_least_typical(own[:3], bootstrap(blocks, systems[:3], 100).rates_K)
    assert any(after != before for after, before in zip(raised, own, strict=True))


# More than two


def test_systems_that_differ_by_more_than_the_critical_difference_are_in_no_group():
    blocks, systems = drawn(200, 4)
    boot = bootstrap(blocks, [*systems[:3], systems[3] + 2])
    found = boot.critical()
    order = np.argsort(boot.rates_K[:3]).tolist()
    assert found.groups == (tuple(order), (3,))
    assert found.scope is Scope.MODELS
    assert boot.critical([0, 3]).groups == ((0,), (3,))


def test_of_two_it_is_half_the_interval_of_their_difference():
    blocks, systems = drawn(400, 2, 2)
    boot = bootstrap(blocks, systems)
    half = boot.difference(0, 1).interval.width / 2
    assert boot.critical().difference == pytest.approx(half, rel=0.1)


def test_more_systems_ask_for_more():
    blocks, systems = drawn(200, 8)
    boot = bootstrap(blocks, systems)
    assert boot.critical().difference > 1.2 * boot.critical([0, 1]).difference


def test_groups_by_hand():
    """Rates 1, 2, 3 and 4.5 with a difference of 2: {1, 2, 3} and {3, 4.5}; {2, 3} is a subset."""
    assert indistinct_groups(np.array([3.0, 1.0, 4.5, 2.0]), range(4), 2.0) == ((1, 3, 0), (0, 2))


def test_one_system_has_no_difference():
    blocks, systems = drawn(20, 1)
    with pytest.raises(ValueError, match="1 systems"):
        bootstrap(blocks, systems, 100).critical()
