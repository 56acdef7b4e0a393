from dataclasses import replace

import numpy as np
import pytest

from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import Difference, Equivalence, Interval, Scope, bootstrap
from asrbench.stats.power import sample_size, smallest_difference
from asrbench.stats.variance import TrainingVariance, Variance
from asrbench.stats.verdicts import Evidence, SplitSize, Verdict, judge, undecidable

BLOCKS = Blocks.of([20] * 130)
TEST_SET = SplitSize(BLOCKS, 10)
TRAINING = (TrainingVariance(3, 1.2e-6, 1e-6, systems=6.0),) * 2
BETTER = Difference(
    delta=-0.0213,
    interval=Interval(-0.0301, -0.0118),
    relative=-0.3,
    improvement_probability=0.99,
    p=0.012,
    utterances_differing=80,
    scope=Scope.TRAINING,
    variance=Variance(9e-6, 130, TRAINING),
)
WORSE = replace(BETTER, delta=0.0213, interval=Interval(0.0118, 0.0301))
UNCLEAR = replace(BETTER, delta=-0.009, interval=Interval(-0.0192, 0.0011), p=0.07)
ONCE = replace(BETTER, scope=Scope.MODELS, variance=Variance(9e-6, 130, ()))


def three(difference: Difference, **fields) -> Evidence:
    """Of three seeds on either side."""
    return Evidence(difference, (3, 3), **fields)


def test_alone_a_small_p_value_is_a_verdict():
    found = judge({"a": three(BETTER)}, TEST_SET)["a"]
    assert found.verdict == "better"
    assert found.reason == (
        "-2.13 points (-3.01 to -1.18), p = 0.012; 3 seeds against 3, 130 utterances of 10 speakers"
    )
    assert (found.holm_p, found.needed, found.scope) == (0.012, None, Scope.TRAINING)
    assert judge({"a": three(WORSE)}, TEST_SET)["a"].verdict is Verdict.WORSE
    unknown = judge({"a": three(BETTER)}, SplitSize(BLOCKS, None))["a"]
    assert unknown.reason.endswith("3 seeds against 3, 130 utterances")


def test_in_a_family_it_is_corrected():
    """0.012 is the smallest of five: 0.06 after Holm, which is no evidence."""
    family = {"a": three(BETTER), **{name: three(UNCLEAR) for name in "bcde"}}
    found = judge(family, TEST_SET)
    assert found["a"].verdict is Verdict.NO_EVIDENCE
    assert found["a"].holm_p == pytest.approx(0.06)
    assert "p = 0.012, p = 0.060 after Holm over 5 variants" in found["a"].reason
    assert found["b"].holm_p == pytest.approx(4 * 0.07)


def test_controls_stand_outside_the_family():
    """Of four variants the smallest p is multiplied by four, that of a control by nothing."""
    variants = {"a": three(BETTER), **{name: three(UNCLEAR) for name in "bcd"}}
    controls = {name: three(BETTER, is_control=True) for name in ("wide", "timed")}
    found = judge(variants | controls, TEST_SET)
    assert found["a"].holm_p == pytest.approx(4 * 0.012)
    assert found["wide"].holm_p == 0.012
    assert found["wide"].verdict is Verdict.BETTER
    assert "(a control, which is not corrected)" in found["wide"].reason


def test_no_evidence_says_what_is_excluded_what_could_be_shown_and_what_would_settle_it():
    found = judge({"a": three(UNCLEAR), "b": three(BETTER)}, TEST_SET)["a"]
    smallest = smallest_difference(UNCLEAR.variance, 0.05 / 2)
    needed = sample_size(UNCLEAR, 130, 0.05 / 2)
    assert (found.smallest_difference, found.needed) == (smallest, needed)
    assert "p = 0.070 after Holm over 2 variants" in found.reason
    assert (
        "The interval excludes an improvement of more than 1.92 points and a deterioration of "
        "more than 0.11. A study of this size detects a true difference of about 0.96 "
        "(0.84 to 1.1) points. Detecting one as small as the one seen (0.9) would need about "
        in found.reason
    )
    assert needed.utterances.low < needed.utterances.value < needed.utterances.high


def test_a_difference_that_no_sample_would_show_promises_nothing():
    small = replace(UNCLEAR, delta=1e-6, p=1.0)
    nothing = replace(UNCLEAR, delta=0.0, p=1.0)
    for difference in (small, nothing):
        assert "Detecting" not in judge({"a": three(difference)}, TEST_SET)["a"].reason


# What cannot be judged


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [(ONCE, "better, these models only"), (replace(ONCE, delta=0.02), "worse, these models only")],
)
def test_single_runs_are_no_finding(difference, verdict):
    found = judge({"a": Evidence(difference, (1, 3))}, TEST_SET)["a"]
    assert found.verdict == verdict
    assert found.scope is Scope.MODELS
    assert "; 1 seed against 3, " in found.reason
    assert found.reason.endswith(
        "This holds for these trained models only: at least one of the two has a single seed, so "
        "a better method cannot be told from a better seed"
    )
    unclear = Evidence(replace(difference, p=0.5), (1, 1))
    assert judge({"a": unclear}, TEST_SET)["a"].verdict is Verdict.NO_EVIDENCE


@pytest.mark.parametrize("seeds", [(2, 2), (2, 3), (5, 2)])
def test_two_seeds_cannot_decide(seeds):
    found = judge({"a": Evidence(BETTER, seeds)}, TEST_SET)["a"]
    assert found.verdict == "two seeds cannot decide"
    assert "a verdict needs 3 of both systems" in found.reason
    assert "-2.13 points (-3.01 to -1.18)" in found.reason


@pytest.mark.parametrize("speakers", [1, 2, 3])
def test_too_few_speakers_cannot_either(speakers):
    for evidence in (three(BETTER), Evidence(ONCE, (1, 1)), Evidence(BETTER, (2, 2))):
        found = judge({"a": evidence}, SplitSize(BLOCKS, speakers))["a"]
        assert found.verdict == "too few speakers to judge"
        assert f"needs the speech of 4 speakers or more, and the test set has {speakers}" in (
            found.reason
        )


def test_four_speakers_and_three_seeds_are_enough():
    assert undecidable((3, 3), 4) is None
    assert undecidable((3, 3), None) is None
    # One seed is judged, with another word.
    assert undecidable((1, 1), 4) is None


# Equivalence


NEAR = replace(UNCLEAR, delta=0.001, interval=Interval(-0.004, 0.006), p=0.6)
WITHIN = Equivalence(0.01, Interval(-0.003, 0.005), 0.004)


def test_within_the_margin_is_equivalent():
    found = judge({"a": three(NEAR, equivalence=WITHIN)}, TEST_SET)["a"]
    assert found.verdict == "equivalent"
    assert found.reason.endswith(
        "The difference is within the margin: the margin is 1 point and the 90 % interval "
        "-0.30 to +0.50, p = 0.004 of equivalence"
    )
    assert found.equivalence == WITHIN


def test_equivalence_is_corrected_for_the_family_too():
    """0.012 is the smallest of five: 0.06 after Holm."""
    each = three(NEAR, equivalence=replace(WITHIN, p=0.012))
    found = judge(dict.fromkeys("abcde", each), TEST_SET)
    assert {each.verdict for each in found.values()} == {Verdict.NO_EVIDENCE}
    assert judge({"a": each}, TEST_SET)["a"].verdict is Verdict.EQUIVALENT


@pytest.mark.parametrize(
    "evidence",
    [
        three(NEAR, equivalence=replace(WITHIN, p=0.051)),
        three(NEAR),
        three(replace(NEAR, utterances_differing=5), equivalence=WITHIN),
        Evidence(replace(NEAR, scope=Scope.MODELS), (1, 1), equivalence=WITHIN),
        Evidence(NEAR, (2, 3), equivalence=WITHIN),
    ],
    ids=["p too large", "no margin", "five utterances differ", "one seed", "two seeds"],
)
def test_otherwise_it_is_not(evidence):
    assert judge({"a": evidence}, TEST_SET)["a"].verdict is not Verdict.EQUIVALENT


def test_a_difference_that_is_shown_and_small_is_still_better():
    shown = replace(NEAR, delta=-0.004, interval=Interval(-0.006, -0.002), p=0.001)
    within = replace(WITHIN, interval=Interval(-0.0055, -0.0025))
    found = judge({"a": three(shown, equivalence=within)}, TEST_SET)["a"]
    assert found.verdict is Verdict.BETTER
    assert "If there is a difference, it is likely to be within the margin" in found.reason


def test_not_within_the_margin_says_so():
    wide = replace(WITHIN, interval=Interval(-0.02, 0.005), p=0.3)
    found = judge({"a": three(UNCLEAR, equivalence=wide)}, TEST_SET)["a"]
    assert "The difference is not shown to be within the margin" in found.reason


# Others


def test_what_was_not_trained_or_is_not_comparable_is_no_part_of_the_family():
    found = judge(
        {"a": three(BETTER)},
        TEST_SET,
        untrained={"b": "seed 1: every hypothesis is ''"},
        incomparable={"c": "profile nospace/2, not verbatim/1"},
    )
    assert found["a"].verdict is Verdict.BETTER
    assert (found["b"].verdict, found["b"].reason) == (
        Verdict.NOT_TRAINED,
        "seed 1: every hypothesis is ''",
    )
    assert found["c"].verdict is Verdict.NOT_COMPARABLE
    assert (found["c"].holm_p, found["c"].scope, found["c"].smallest_difference) == (
        None,
        None,
        None,
    )
    assert list(found) == ["a", "b", "c"]


def test_two_verdicts_on_one_variant_are_refused():
    with pytest.raises(ValueError, match="two verdicts on a"):
        judge({"a": three(BETTER)}, TEST_SET, untrained={"a": "empty"})


def test_of_real_counts_and_without_variants():
    generator = np.random.default_rng(0)
    good, bad = generator.poisson(1, (3, 130)), generator.poisson(3, (3, 130))
    boot = bootstrap(BLOCKS, [good, bad, good + 0])
    evidence = {"bad": three(boot.difference(1, 0)), "same": three(boot.difference(2, 0))}
    found = judge(evidence, TEST_SET)
    assert [each.verdict for each in found.values()] == [Verdict.WORSE, Verdict.NO_EVIDENCE]
    assert judge({}, TEST_SET) == {}
