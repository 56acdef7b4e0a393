from dataclasses import replace

import numpy as np
import pytest

from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import Difference, Interval, Scope, bootstrap
from asrbench.stats.power import outlook, smallest_difference
from asrbench.stats.variance import Luck, Variance
from asrbench.stats.verdicts import Verdict, judge

BLOCKS = Blocks.of([20] * 130)
LUCK = (Luck(3, 4e-6, 1e-6),) * 2
BETTER = Difference(
    -0.0213,
    Interval(-0.0301, -0.0118),
    -0.3,
    0.99,
    0.012,
    Scope.TRAINING,
    Variance(9e-6, 130, LUCK),
)
WORSE = replace(BETTER, delta=0.0213, interval=Interval(0.0118, 0.0301))
UNCLEAR = replace(BETTER, delta=-0.009, interval=Interval(-0.0192, 0.0011), p=0.07)


def test_alone_a_small_p_value_is_a_verdict():
    found = judge({"a": BETTER}, BLOCKS)["a"]
    assert found.verdict == "better"
    assert found.reason == "-2.13 points (-3.01 to -1.18), p = 0.012"
    assert (found.holm_p, found.outlook, found.scope) == (0.012, None, Scope.TRAINING)
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
    later = outlook(UNCLEAR, 130, 0.05 / 2)
    assert (found.smallest, found.outlook) == (smallest, later)
    assert found.reason == (
        "-0.90 points (-1.92 to +0.11), p = 0.070, p = 0.070 after Holm over 2 variants; "
        f"{100 * smallest:.2f} could have been shown; one of the size seen would take about "
        f"{later.seeds} seeds each"
    )
    assert later.seeds > 3


def test_nothing_to_see_is_out_of_reach():
    nothing = replace(UNCLEAR, delta=0.0, p=1.0)
    found = judge({"a": nothing}, BLOCKS)["a"]
    assert "neither seeds nor utterances within reach would show one of the size seen" in (
        found.reason
    )


def test_single_runs_say_that_they_speak_of_themselves():
    once = replace(BETTER, scope=Scope.MODELS, variance=Variance(9e-6, 130, ()))
    found = judge({"a": once}, BLOCKS)["a"]
    assert found.verdict is Verdict.BETTER
    assert found.scope is Scope.MODELS
    assert found.reason.endswith("it speaks of these trained models only")


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
    assert (found["c"].holm_p, found["c"].scope, found["c"].smallest) == (None, None, None)
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
