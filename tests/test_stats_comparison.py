import math
import random
import statistics

import pytest
from comparisons import compare_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from asrbench.base.errors import UserError
from asrbench.scoring.counted_text import CountedTexts
from asrbench.scoring.score import score
from asrbench.stats.bootstrap import Scope
from asrbench.stats.edit_alignment import align
from asrbench.stats.mapsswe import CHARACTER_BUFFER, WORD_BUFFER, mapsswe
from asrbench.stats.verdicts import Verdict

REFERENCES = ["abcd"] * 7 + ["abce"]
BASE = ["abxd"] * 6 + ["abcd", "abce"]
NEW = ["abxd"] + ["abcd"] * 6 + ["abce"]
"""Of eight words of four characters, six of `BASE` and one of `NEW` have a character wrong."""

few = {"replicates": 200}


def sentences(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    words = ["어제", "비가", "왔어요", "진짜", "네", "학교에", "갔다"]
    return [" ".join(draw.choices(words, k=draw.randint(2, 8))) for _ in range(count)]


def noisy(texts: list[str], rate: float, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join("" if draw.random() < rate else c for c in text) for text in texts]


def test_by_hand():
    """CER 6/32 and 1/32. Five utterances changed for the better and none for the worse: two of the
    2**5 ways to swap them differ as much. Six segments, of which five differ by one: their mean
    is -5/6, their variance 1/6, so z = -5/6 / sqrt(1/36)."""
    found = compare_texts(REFERENCES, {"base": [BASE], "new": [NEW]})
    base, new = found.systems
    assert (found.utterances, found.n, found.speakers) == (8, 32, None)
    assert base.cer == 6 / 32
    assert new.cer == 1 / 32
    assert base.wer == 6 / 8
    assert new.difference.delta == pytest.approx(-5 / 32)
    assert new.difference.relative == pytest.approx(-5 / 6)
    tests = new.tests
    assert tests.permutation.p == pytest.approx(2 / 2**5)
    assert (tests.mcnemar.only_one, tests.mcnemar.only_other) == (5, 0)
    assert tests.mcnemar.p == pytest.approx(2 / 2**5)
    for each in (tests.mapsswe_words, tests.mapsswe_characters):
        assert (each.segments, each.z) == (6, pytest.approx(-5))
        assert each.p == pytest.approx(math.erfc(5 / math.sqrt(2)))
    assert (base.difference, base.tests, base.judgement) == (None, None, None)


def test_by_words():
    found = compare_texts(REFERENCES, {"base": [BASE], "new": [NEW]}, unit="word")
    assert found.n == 8
    assert found.systems[1].difference.delta == pytest.approx(-5 / 8)
    assert found.systems[0].substitutions == 6
    characters = compare_texts(REFERENCES, {"base": [BASE], "new": [NEW]})
    assert found.systems[1].tests.mapsswe_words == characters.systems[1].tests.mapsswe_words


def test_rates_are_those_of_score():
    references = sentences(30)
    texts = noisy(references, 0.1, 1)
    for profile in ("verbatim", "kospeech"):
        expected = score(references, texts, profile)
        # One run is counted by jiwer, two are counted by RapidFuzz.
        for systems in ({"a": [texts]}, {"a": [texts], "b": [texts]}):
            for system in compare_texts(references, systems, profile=profile, **few).systems:
                (run,) = system.runs
                counted = expected.characters
                assert (run.substitutions, run.deletions, run.insertions, run.n) == (
                    counted.substitutions,
                    counted.deletions,
                    counted.insertions,
                    counted.n,
                )
                assert (run.cer, run.jer) == (expected.cer, expected.jer)
                assert (run.wer, run.swer) == (expected.wer, expected.swer)


def test_seeds_are_averaged_and_their_edits_summed():
    """6/32 and 1/32: 7/64, with the spread of two figures that differ by 5/32."""
    found = compare_texts(REFERENCES, {"base": [BASE, NEW], "new": [NEW, NEW]})
    base = found.systems[0]
    assert base.cer == 7 / 64
    assert base.spread == pytest.approx(5 / 32 / math.sqrt(2))
    assert (base.substitutions, base.n, len(base.runs)) == (7, 64, 2)
    assert base.substitutions / base.n == base.cer
    assert found.systems[1].difference.scope is Scope.TRAINING


def test_identical_systems_show_nothing():
    references = sentences(50)
    texts = noisy(references, 0.1, 1)
    found = compare_texts(references, {"a": [texts], "b": [list(texts)]}).systems[1]
    assert found.judgement.verdict is Verdict.NO_EVIDENCE
    assert (found.difference.delta, found.difference.p, found.judgement.holm_p) == (0, 1, 1)
    assert (found.tests.permutation.p, found.tests.mcnemar.p, found.tests.mapsswe_words.p) == (
        1,
        1,
        1,
    )
    assert found.tests.mapsswe_characters.z == 0


@pytest.mark.parametrize("unit", ["character", "word"])
def test_clearly_better_is_better_and_the_other_way_round_worse(unit):
    references = sentences(200)
    systems = {
        "bad": [noisy(references, 0.2, seed) for seed in (1, 2, 3)],
        "good": [noisy(references, 0.02, seed) for seed in (4, 5, 6)],
    }
    found = compare_texts(references, systems, unit=unit).systems[1]
    assert found.judgement.verdict is Verdict.BETTER
    assert found.difference.interval.high < 0
    assert found.difference.improvement_probability > 0.99
    assert found.tests.permutation.p < 0.001
    assert found.tests.mapsswe_characters.z < -5
    reverse = compare_texts(references, systems, unit=unit, baseline="good")
    assert [system.label for system in reverse.systems] == ["good", "bad"]
    assert reverse.systems[1].judgement.verdict is Verdict.WORSE
    assert reverse.systems[1].tests.mapsswe_characters.z == pytest.approx(
        -found.tests.mapsswe_characters.z
    )


def test_variants_have_one_statement_of_which_the_baseline_is_no_part():
    references = sentences(200)
    systems = {
        "base": [noisy(references, 0.3, 9)],
        "a": [noisy(references, 0.2, 1)],
        "b": [noisy(references, 0.2, 2)],
        "c": [noisy(references, 0.02, 3)],
    }
    found = compare_texts(references, systems)
    points = f"{100 * found.critical.difference:.2f}"
    rates = {system.label: system.cer for system in found.systems}
    assert abs(rates["a"] - rates["b"]) < found.critical.difference < rates["a"] - rates["c"]
    order = ", ".join(sorted("ab", key=rates.get))
    assert found.statement == (
        f"Among the variants, these trained models only: two of them differ if their rates "
        f"differ by more than {points} points. Groups in which no two differ: {order}"
    )
    two = compare_texts(references, {"a": systems["a"], "c": systems["c"]}, **few)
    assert (two.critical, two.statement) == (None, "")


def test_systems_of_too_few_seeds_have_no_part_in_the_statement():
    references = sentences(60)
    rates = {"base": 0.3, "a": 0.2, "b": 0.21, "c": 0.02}

    def runs(count: int) -> dict:
        return {
            label: [noisy(references, rate, 10 * k + seed) for seed in range(count)]
            for k, (label, rate) in enumerate(rates.items())
        }

    whole = compare_texts(references, runs(3), **few)
    assert whole.critical.scope == Scope.TRAINING
    assert whole.statement.startswith("Among the variants: two of them differ if ")
    with_one = compare_texts(references, runs(3) | {"d": [noisy(references, 0.1, 99)]}, **few)
    assert with_one.critical.scope == Scope.TRAINING
    assert with_one.critical.difference == pytest.approx(whole.critical.difference, rel=0.3)
    assert with_one.statement.startswith(
        "Among the variants, without d (too few seeds): two of them differ if "
    )
    assert not any("d" in group.split(", ") for group in with_one.statement.split(": ")[2:])
    assert compare_texts(references, runs(2), **few).critical is None


# What cannot be judged


def test_verdicts_by_seeds():
    references = sentences(200)
    bad = [noisy(references, 0.2, seed) for seed in range(3)]
    good = [noisy(references, 0.02, seed) for seed in range(3, 6)]
    for seeds, verdict in (
        (1, Verdict.BETTER_MODELS),
        (2, Verdict.TWO_SEEDS),
        (3, Verdict.BETTER),
    ):
        found = compare_texts(references, {"bad": bad[:seeds], "good": good[:seeds]})
        assert found.systems[1].verdict is verdict
        assert f"{seeds} seed" in found.systems[1].reason
        assert "against" in found.systems[1].reason


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_verdicts_by_speakers(count):
    references = sentences(200)
    systems = {
        "bad": [noisy(references, 0.2, seed) for seed in range(3)],
        "good": [noisy(references, 0.02, seed) for seed in range(3, 6)],
    }
    speakers = [u % count for u in range(200)]
    found = compare_texts(references, systems, speakers=speakers)
    expected = Verdict.BETTER if count == 4 else Verdict.FEW_SPEAKERS
    assert found.systems[1].verdict is expected
    assert found.systems[1].difference.interval.high < 0 or count < 4
    assert f"200 utterances of {count} speaker" in found.systems[1].reason
    assert (found.speakers, found.critical) == (count, None)


def test_controls_and_the_margin_come_from_the_caller():
    references = sentences(200)
    systems = {
        name: [noisy(references, 0.1, 10 * k + seed) for seed in range(3)]
        for k, name in enumerate(["base", "new", "other", "wide"])
    }
    found = compare_texts(references, systems, controls=["wide"], margin=0.05)
    assert (found.family, found.margin) == (2, 0.05)
    assert [system.is_control for system in found.systems] == [False, False, False, True]
    new, other, wide = found.systems[1:]
    assert wide.judgement.holm_p == wide.difference.p
    assert new.verdict is other.verdict is wide.verdict is Verdict.EQUIVALENT
    assert "over 2 variants" in new.reason
    assert "a control" in wide.reason
    assert compare_texts(references, systems, **few).systems[1].judgement.equivalence is None


def test_the_training_variance_of_a_system_is_at_least_what_is_typical():
    """One of six has the same run three times, whose training seems not to vary."""
    references = sentences(300)
    systems = {
        name: [
            noisy(references, rate, 10 * k + seed) for seed, rate in enumerate((0.1, 0.13, 0.16))
        ]
        for k, name in enumerate("abcdef")
    }
    systems["f"] = [systems["f"][0]] * 3
    (_, *others, steady) = compare_texts(references, systems, **few).systems
    own = steady.difference.variance.training[0]
    assert own.variance == pytest.approx(
        statistics.median(o.difference.variance.training[0].variance for o in others), rel=1.5
    )
    assert own.systems > 1


# What is left out


def test_what_never_learned_has_no_part_in_it():
    references = sentences(40)
    good, other = noisy(references, 0.1, 1), noisy(references, 0.1, 2)
    systems = {"a": [good], "b": [other, ["네"] * 40], "c": [other]}
    found = compare_texts(references, systems, **few)
    silent = found.systems[1]
    assert not silent.trained
    assert (silent.difference, silent.judgement.verdict) == (None, Verdict.NOT_TRAINED)
    assert silent.judgement.reason == "run 2 of 2: every hypothesis is '네'"
    alone = compare_texts(references, {"a": [good], "c": [other]}, **few).systems[1]
    assert found.systems[2].judgement.holm_p == alone.judgement.holm_p


def test_nothing_is_compared_with_a_baseline_that_never_learned():
    references = sentences(40)
    systems = {"a": [[""] * 40], "b": [noisy(references, 0.1, 2)], "c": [[""] * 40]}
    found = compare_texts(references, systems, **few)
    assert [system.judgement.verdict for system in found.systems] == [
        Verdict.NOT_TRAINED,
        Verdict.NOT_COMPARABLE,
        Verdict.NOT_TRAINED,
    ]
    assert found.systems[1].judgement.reason == (
        "the baseline a is not trained: 100 % of the hypotheses are empty"
    )
    assert found.critical is None


def test_incomparable_for_a_reason_of_the_callers():
    references = sentences(40)
    systems = {name: [noisy(references, 0.1, seed)] for seed, name in enumerate("abc")}
    found = compare_texts(references, systems, incomparable={"b": "another split"}, **few)
    judged = found.systems[1].judgement
    assert (judged.verdict, judged.reason) == (Verdict.NOT_COMPARABLE, "another split")
    assert found.systems[1].difference is None
    assert found.systems[2].difference is not None


def test_rates_alone():
    found = compare_texts(REFERENCES, {"base": [BASE], "new": [NEW]}, replicates=0)
    new = found.systems[1]
    assert (new.cer, new.interval, new.difference) == (1 / 32, None, None)
    assert (new.verdict, new.reason) == (None, "")


def test_a_single_utterance_has_a_rate_and_no_interval():
    found = compare_texts(["abcd"], {"a": [["abcx"]]})
    assert found.systems[0].cer == 1 / 4
    assert found.systems[0].interval is None


def test_without_further_tests():
    found = compare_texts(REFERENCES, {"base": [BASE], "new": [NEW]}, tests=False, **few)
    assert found.systems[1].tests is None
    assert found.systems[1].verdict is Verdict.NO_EVIDENCE


def test_nothing_to_count_is_refused():
    with pytest.raises(UserError, match=r"^ref: found no character in the references under nosp"):
        compare_texts(["?", "!"], {"a": [["?", "!"]]}, profile="nospace", where="ref")


# Speakers, order, seeds


def test_speakers_are_what_is_drawn():
    """All errors are of one speaker of four: swapping him is one of two ways, so p is 1."""
    references, speakers = ["abcd"] * 40, [i // 10 for i in range(40)]
    base = ["abcx"] * 10 + ["abcd"] * 30
    systems = {"base": [base], "new": [references]}
    alone = compare_texts(references, systems, **few)
    together = compare_texts(references, systems, speakers=speakers, **few)
    assert together.speakers == 4
    assert together.systems[1].tests.permutation.p == 1
    assert alone.systems[1].tests.permutation.p == pytest.approx(2 / 2**10)
    assert together.systems[0].interval.width > alone.systems[0].interval.width


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_utterances_and_of_runs_changes_no_exact_figure(shuffling):
    references = sentences(12)
    systems = {
        name: [noisy(references, 0.2, 7 * i + j) for j in (0, 1)]
        for i, name in ((0, "a"), (1, "b"))
    }
    order = shuffling.sample(range(12), 12)
    moved = {
        name: [[texts[i] for i in order] for texts in reversed(runs)]
        for name, runs in systems.items()
    }
    one = compare_texts(references, systems, **few).systems[1]
    other = compare_texts([references[i] for i in order], moved, **few).systems[1]
    assert one.difference.delta == pytest.approx(other.difference.delta)
    assert one.tests.mcnemar == other.tests.mcnemar
    assert one.tests.permutation == other.tests.permutation
    for unit in ("mapsswe_words", "mapsswe_characters"):
        assert getattr(one.tests, unit).z == pytest.approx(getattr(other.tests, unit).z)


def test_of_single_runs_mapsswe_is_that_of_the_pair():
    references = sentences(60)
    runs = [noisy(references, rate, seed) for seed, rate in ((1, 0.1), (2, 0.05))]
    found = compare_texts(references, {"a": [runs[0]], "b": [runs[1]]}, **few).systems[1].tests
    forms = [CountedTexts.of(texts, "verbatim") for texts in (references, *runs)]
    words = align(forms[0].words, [each.words for each in forms[1:]])
    characters = align(forms[0].characters, [each.characters for each in forms[1:]])
    assert found.mapsswe_words == mapsswe(words, 1, 0, WORD_BUFFER)
    assert found.mapsswe_characters == mapsswe(characters, 1, 0, CHARACTER_BUFFER)


def test_mapsswe_of_a_run_counted_twice_is_that_of_the_run():
    """Sums over one run are made up for where the other system has two."""
    references = sentences(60)
    one, other = noisy(references, 0.1, 1), noisy(references, 0.05, 2)
    once = compare_texts(references, {"a": [one], "b": [other]}, **few).systems[1].tests
    twice = compare_texts(references, {"a": [one, one], "b": [other]}, **few).systems[1].tests
    for unit in ("mapsswe_words", "mapsswe_characters"):
        single, double = getattr(once, unit), getattr(twice, unit)
        assert (double.z, double.segments) == (pytest.approx(single.z), single.segments)
    assert twice.permutation.p == pytest.approx(once.permutation.p)
    assert twice.mcnemar == once.mcnemar
