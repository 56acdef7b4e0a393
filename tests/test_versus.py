import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrbench.base.errors import UserError
from asrbench.scoring.score import Forms, score
from asrbench.stats.alignment import align
from asrbench.stats.bootstrap import Scope
from asrbench.stats.mapsswe import CHARACTER_BUFFER, WORD_BUFFER, mapsswe
from asrbench.stats.verdicts import Verdict
from asrbench.stats.versus import compared

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
    2**5 ways to swap them are as far apart. Six segments, of which five differ by one: their mean
    is -5/6, their variance 1/6, so z = -5/6 / sqrt(1/36)."""
    found = compared(REFERENCES, {"base": [BASE], "new": [NEW]})
    base, new = found.systems
    assert (found.utterances, found.n, found.speakers) == (8, 32, None)
    assert base.mean("characters") == 6 / 32
    assert new.mean("characters") == 1 / 32
    assert base.mean("words") == 6 / 8
    assert new.difference.delta == pytest.approx(-5 / 32)
    assert new.difference.relative == pytest.approx(-5 / 6)
    tests = new.tests
    assert tests.permutation.p == pytest.approx(2 / 2**5)
    assert (tests.mcnemar.only_one, tests.mcnemar.only_other) == (5, 0)
    assert tests.mcnemar.p == pytest.approx(2 / 2**5)
    for each in (tests.word, tests.character):
        assert (each.segments, each.z) == (6, pytest.approx(-5))
        assert each.p == pytest.approx(math.erfc(5 / math.sqrt(2)))
    assert (base.difference, base.tests, base.judgement) == (None, None, None)


def test_by_words():
    found = compared(REFERENCES, {"base": [BASE], "new": [NEW]}, unit="word")
    assert found.n == 8
    assert found.systems[1].difference.delta == pytest.approx(-5 / 8)
    assert found.plain()["systems"][0]["substitutions"] == 6
    characters = compared(REFERENCES, {"base": [BASE], "new": [NEW]})
    assert found.systems[1].tests.word == characters.systems[1].tests.word


def test_rates_are_those_of_score():
    references = sentences(30)
    texts = noisy(references, 0.1, 1)
    for profile in ("verbatim", "kospeech"):
        found = compared(references, {"a": [texts]}, profile=profile, **few)
        assert found.systems[0].runs[0].measures.scores(profile) == score(
            references, texts, profile, ""
        )


def test_seeds_are_averaged_and_their_edits_summed():
    """6/32 and 1/32: 7/64, with the spread of two figures 5/32 apart."""
    found = compared(REFERENCES, {"base": [BASE, NEW], "new": [NEW, NEW]})
    base = found.systems[0]
    assert base.mean("characters") == 7 / 64
    assert base.spread == pytest.approx(5 / 32 / math.sqrt(2))
    plain = base.plain()
    assert (plain["substitutions"], plain["n"], len(plain["runs"])) == (7, 64, 2)
    assert plain["substitutions"] / plain["n"] == plain["cer"]
    assert found.systems[1].difference.scope is Scope.TRAINING


def test_identical_systems_show_nothing():
    references = sentences(50)
    texts = noisy(references, 0.1, 1)
    found = compared(references, {"a": [texts], "b": [list(texts)]}).systems[1]
    assert found.judgement.verdict is Verdict.NO_EVIDENCE
    assert (found.difference.delta, found.difference.p, found.judgement.holm_p) == (0, 1, 1)
    assert (found.tests.permutation.p, found.tests.mcnemar.p, found.tests.word.p) == (1, 1, 1)
    assert found.tests.character.z == 0


@pytest.mark.parametrize("unit", ["character", "word"])
def test_clearly_better_is_better_and_the_other_way_round_worse(unit):
    references = sentences(200)
    systems = {
        "bad": [noisy(references, 0.2, seed) for seed in (1, 2, 3)],
        "good": [noisy(references, 0.02, seed) for seed in (4, 5, 6)],
    }
    found = compared(references, systems, unit=unit).systems[1]
    assert found.judgement.verdict is Verdict.BETTER
    assert found.difference.interval.high < 0
    assert found.difference.improvement_probability > 0.99
    assert found.tests.permutation.p < 0.001
    assert found.tests.character.z < -5
    reverse = compared(references, systems, unit=unit, baseline="good")
    assert [system.label for system in reverse.systems] == ["good", "bad"]
    assert reverse.systems[1].judgement.verdict is Verdict.WORSE
    assert reverse.systems[1].tests.character.z == pytest.approx(-found.tests.character.z)


def test_three_systems_have_one_statement():
    references = sentences(200)
    systems = {
        "a": [noisy(references, 0.2, 1)],
        "b": [noisy(references, 0.2, 2)],
        "c": [noisy(references, 0.02, 3)],
    }
    found = compared(references, systems)
    points = f"{100 * found.critical.difference:.2f}"
    rates = [system.mean("characters") for system in found.systems]
    assert abs(rates[0] - rates[1]) < found.critical.difference < rates[0] - rates[2]
    order = ", ".join(sorted("ab", key=lambda label: rates["ab".index(label)]))
    assert found.statement == (
        f"of all systems at once, as they are trained, two that are more than {points} points "
        f"apart differ; not told apart: {order}"
    )
    two = compared(references, {"a": systems["a"], "c": systems["c"]}, **few)
    assert (two.critical, two.statement) == (None, "")


def test_a_system_of_one_seed_does_not_take_luck_out_of_the_statement():
    """It is left out where three others have more."""
    references = sentences(60)
    systems = {
        label: [noisy(references, rate, 10 * k + seed) for seed in range(2)]
        for k, (label, rate) in enumerate({"a": 0.2, "b": 0.21, "c": 0.02}.items())
    }
    whole = compared(references, systems, **few)
    assert whole.critical.scope == Scope.TRAINING
    assert whole.statement.startswith("of all systems at once, two that are more than ")
    with_one = compared(references, systems | {"d": [noisy(references, 0.1, 99)]}, **few)
    assert with_one.critical.scope == Scope.TRAINING
    assert with_one.critical.difference == pytest.approx(whole.critical.difference, rel=0.3)
    assert with_one.statement.startswith(
        "of all systems at once, but for d of one seed, two that are more than "
    )
    assert not any("d" in group.split(", ") for group in with_one.statement.split(": ")[1:])


# What is left out


def test_what_never_learned_has_no_part_in_it():
    references = sentences(40)
    good, other = noisy(references, 0.1, 1), noisy(references, 0.1, 2)
    systems = {"a": [good], "b": [other, ["네"] * 40], "c": [other]}
    found = compared(references, systems, **few)
    silent = found.systems[1]
    assert not silent.trained
    assert (silent.difference, silent.judgement.verdict) == (None, Verdict.NOT_TRAINED)
    assert silent.judgement.reason == "run 2 of 2: every hypothesis is '네'"
    assert silent.plain()["difference"] is None
    alone = compared(references, {"a": [good], "c": [other]}, **few).systems[1]
    assert found.systems[2].judgement.holm_p == alone.judgement.holm_p


def test_nothing_is_compared_with_a_baseline_that_never_learned():
    references = sentences(40)
    systems = {"a": [[""] * 40], "b": [noisy(references, 0.1, 2)], "c": [[""] * 40]}
    found = compared(references, systems, **few)
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
    found = compared(references, systems, incomparable={"b": "another split"}, **few)
    judged = found.systems[1].judgement
    assert (judged.verdict, judged.reason) == (Verdict.NOT_COMPARABLE, "another split")
    assert found.systems[1].difference is None
    assert found.systems[2].difference is not None


def test_rates_alone():
    found = compared(REFERENCES, {"base": [BASE], "new": [NEW]}, replicates=0)
    plain = found.plain()["systems"][1]
    assert (plain["cer"], plain["interval"], plain["difference"]) == (1 / 32, None, None)
    assert plain["verdict"] is None


def test_a_single_utterance_has_a_rate_and_no_interval():
    found = compared(["abcd"], {"a": [["abcx"]]})
    assert found.systems[0].mean("characters") == 1 / 4
    assert found.systems[0].rate is None


def test_without_further_tests():
    found = compared(REFERENCES, {"base": [BASE], "new": [NEW]}, tests=False, **few)
    plain = found.plain()["systems"][1]["difference"]
    assert (plain["mapsswe"], plain["permutation_p"], plain["mcnemar_p"]) == (None, None, None)
    assert plain["verdict"] == found.systems[1].judgement.verdict


def test_nothing_to_count_is_refused():
    with pytest.raises(UserError, match=r"^ref: found no character in the references under nosp"):
        compared(["?", "!"], {"a": [["?", "!"]]}, profile="nospace", where="ref")
    with pytest.raises(UserError, match="found 1 of speakers"):
        compared(["a", "b"], {"a": [["a", "b"]]}, speakers=["x", "x"])


# Speakers, order, seeds


def test_speakers_are_what_is_drawn():
    """All errors are of one speaker of four: swapping him is one of two ways, so p is 1."""
    references, speakers = ["abcd"] * 40, [i // 10 for i in range(40)]
    base = ["abcx"] * 10 + ["abcd"] * 30
    systems = {"base": [base], "new": [references]}
    alone = compared(references, systems, **few)
    together = compared(references, systems, speakers=speakers, **few)
    assert together.speakers == 4
    assert together.systems[1].tests.permutation.p == 1
    assert alone.systems[1].tests.permutation.p == pytest.approx(2 / 2**10)
    assert together.systems[0].rate.interval.width > alone.systems[0].rate.interval.width


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
    one = compared(references, systems, **few).systems[1]
    other = compared([references[i] for i in order], moved, **few).systems[1]
    assert one.difference.delta == pytest.approx(other.difference.delta)
    assert one.tests.mcnemar == other.tests.mcnemar
    assert one.tests.permutation == other.tests.permutation
    for unit in ("word", "character"):
        assert getattr(one.tests, unit).z == pytest.approx(getattr(other.tests, unit).z)


def test_of_single_runs_mapsswe_is_that_of_the_pair():
    references = sentences(60)
    runs = [noisy(references, rate, seed) for seed, rate in ((1, 0.1), (2, 0.05))]
    found = compared(references, {"a": [runs[0]], "b": [runs[1]]}, **few).systems[1].tests
    forms = [Forms.of(texts, "verbatim") for texts in (references, *runs)]
    words = align(forms[0].words, [each.words for each in forms[1:]])
    characters = align(forms[0].characters, [each.characters for each in forms[1:]])
    assert found.word == mapsswe(words, 1, 0, WORD_BUFFER)
    assert found.character == mapsswe(characters, 1, 0, CHARACTER_BUFFER)


def test_mapsswe_of_a_run_counted_twice_is_that_of_the_run():
    """Sums over one run are made up for where the other system has two."""
    references = sentences(60)
    one, other = noisy(references, 0.1, 1), noisy(references, 0.05, 2)
    once = compared(references, {"a": [one], "b": [other]}, **few).systems[1].tests
    twice = compared(references, {"a": [one, one], "b": [other]}, **few).systems[1].tests
    for unit in ("word", "character"):
        single, double = getattr(once, unit), getattr(twice, unit)
        assert (double.z, double.segments) == (pytest.approx(single.z), single.segments)
    assert twice.permutation.p == pytest.approx(once.permutation.p)
    assert twice.mcnemar == once.mcnemar
