from dataclasses import replace

import numpy as np
import pytest

from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import Difference, Interval, Scope, bootstrap
from asrbench.stats.power import sample_size, smallest_difference
from asrbench.stats.variance import TrainingVariance, Variance
from asrbench.stats.verdicts import Verdict, judge

BLOCKS = Blocks.of([20] * 130)
TRAINING = (TrainingVariance(3, 4e-6, 1e-6),) * 2
BETTER = Difference(
    -0.0213,
    Interval(-0.0301, -0.0118),
    -0.3,
    0.99,
    0.012,
    Scope.TRAINING,
    Variance(9e-6, 130, TRAINING),
)
WORSE = replace(BETTER, delta=0.0213, interval=Interval(0.0118, 0.0301))
UNCLEAR = replace(BETTER, delta=-0.009, interval=Interval(-0.0192, 0.0011), p=0.07)


def test_alone_a_small_p_value_is_a_verdict():
    found = judge({"a": BETTER}, BLOCKS)["a"]
    assert found.verdict == "better"
    assert found.reason == "-2.13 points (-3.01 to -1.18), p = 0.012"
    assert (found.holm_p, found.needed, found.scope) == (0.012, None, Scope.TRAINING)
    assert judge({"a": WORSE}, BLOCKS)["a"].verdict is Verdict.WORSE


def test_in_a_family_it_is_corrected():
    """0.012 is the smallest of five: 0.06 after Holm, which is no evidence."""
    family = {"a": BETTER, **{name: UNCLEAR for name in "bcde"}}
    found = judge(family, BLOCKS)
    assert found["a"].verdict is Verdict.NO_EVIDENCE
    assert found["a"].holm_p == pytest.approx(0.06)
    assert "p = 0.012, p = 0.060 after Holm over 5 variants" in found["a"].reason
    assert found["b"].holm_p == pytest.approx(4 * 0.07)


def test_no_evidence_says_what_could_have_been_shown_and_what_would_settle_it():
    found = judge({"a": UNCLEAR, "b": BETTER}, BLOCKS)["a"]
    smallest = smallest_difference(UNCLEAR.variance, 0.05 / 2)
    needed = sample_size(UNCLEAR, 130, 0.05 / 2)
    assert (found.smallest_difference, found.needed) == (smallest, needed)
    assert found.reason == (
        "-0.90 points (-1.92 to +0.11), p = 0.070, p = 0.070 after Holm over 2 variants. "
        f"This study could detect a difference of about {100 * smallest:.2f} points. Detecting one "
        f"as small as the one seen (0.90) would need about {needed.seeds} seeds of each system"
    )
    assert needed.seeds > 3


def test_a_difference_that_no_sample_would_show_says_so():
    small = replace(UNCLEAR, delta=1e-6, p=1.0)
    assert judge({"a": small}, BLOCKS)["a"].reason.endswith(
        "Detecting one as small as the one seen (0.00) would need more than 100 seeds of each "
        "system or more than 100 times as many utterances"
    )
    nothing = replace(UNCLEAR, delta=0.0, p=1.0)
    assert "Detecting" not in judge({"a": nothing}, BLOCKS)["a"].reason


def test_single_runs_say_that_they_speak_of_themselves():
    once = replace(BETTER, scope=Scope.MODELS, variance=Variance(9e-6, 130, ()))
    found = judge({"a": once}, BLOCKS)["a"]
    assert found.verdict is Verdict.BETTER
    assert found.scope is Scope.MODELS
    assert found.reason.endswith(
        "This holds for these trained models only: at least one of the two has a single seed"
    )


def test_what_was_not_trained_or_is_not_comparable_is_no_part_of_the_family():
    found = judge(
        {"a": BETTER},
        BLOCKS,
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
        judge({"a": BETTER}, BLOCKS, untrained={"a": "empty"})


def test_of_real_counts_and_without_variants():
    generator = np.random.default_rng(0)
    good, bad = generator.poisson(1, (3, 130)), generator.poisson(3, (3, 130))
    boot = bootstrap(BLOCKS, [good, bad, good + 0])
    found = judge({"bad": boot.difference(1, 0), "same": boot.difference(2, 0)}, BLOCKS)
    assert [each.verdict for each in found.values()] == [Verdict.WORSE, Verdict.NO_EVIDENCE]
    assert judge({}, BLOCKS) == {}
