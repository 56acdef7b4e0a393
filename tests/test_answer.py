"""The answer of a study in one or two sentences, for every verdict."""

from dataclasses import replace

import pytest
from studies import study

from asrbench.report.answer import answer
from asrbench.report.study import Study, StudySystem
from asrbench.stats.bootstrap import Scope
from asrbench.stats.power import Estimate
from asrbench.stats.verdicts import Verdict


def judged(
    system: StudySystem,
    verdict: Verdict,
    delta: float = 0.01,
    smallest: float | None = 0.011,
    scope: Scope = Scope.TRAINING,
) -> StudySystem:
    like = study().systems[1]
    assert like.difference is not None
    assert like.judgement is not None
    estimate = None if smallest is None else Estimate(smallest, smallest / 2, smallest * 2)
    return replace(
        system,
        difference=replace(like.difference, delta=delta, scope=scope),
        judgement=replace(
            like.judgement, verdict=verdict, scope=scope, smallest_difference=estimate
        ),
    )


def of(*verdicts: StudySystem, **changes: object) -> Study:
    """The study of the baseline and these systems."""
    found = study()
    return replace(found, systems=(found.systems[0], *verdicts), **changes)


def plain(count: int, verdict: Verdict, **figures: object) -> list[StudySystem]:
    return [judged(study().systems[1 + i], verdict, **figures) for i in range(count)]  # type: ignore[arg-type]


def test_nothing_shown_says_what_would_have_been_missed() -> None:
    first, second = plain(2, Verdict.NO_EVIDENCE, smallest=0.0234)
    assert answer(of(first, second)) == (
        "No variant is shown to be better than ds2; differences under about 2.3 points of CER "
        "would not have been seen reliably."
    )
    assert "2.3 points of CER (up to 5.4, for ds2_posattn) would" in answer(
        of(first, judged(second, Verdict.NO_EVIDENCE, smallest=0.0539))
    )
    assert answer(of(judged(first, Verdict.NO_EVIDENCE, smallest=None))) == (
        "No variant is shown to be better than ds2."
    )


def test_words_are_named_as_such() -> None:
    found = answer(of(*plain(1, Verdict.NO_EVIDENCE), unit="word"))
    assert "points of WER" in found
    assert "CER" not in found


def test_mixed_verdicts_are_one_sentence() -> None:
    assert answer(study()).startswith("ds2_selfattn (-2.08 points of CER) is shown to be better ")
    better, worse, open_system, equal = (
        judged(system, verdict, delta)
        for system, verdict, delta in zip(
            study().systems[1:],
            (Verdict.BETTER, Verdict.WORSE, Verdict.NO_EVIDENCE, Verdict.EQUIVALENT),
            (-0.02, 0.03, 0.001, 0.0),
            strict=False,
        )
    )
    assert answer(of(better, worse, open_system, equal, margin=0.005)) == (
        "ds2_selfattn (-2.00 points of CER) is shown to be better than ds2, ds2_posattn "
        "(+3.00 points of CER) is shown to be worse, ds2_crossattn joint is equivalent to it "
        "within 0.5 points and of ds2_twattn no difference is shown; differences under about "
        "1.1 points of CER would not have been seen reliably."
    )


def test_many_are_counted_and_not_named() -> None:
    found = answer(of(*plain(5, Verdict.BETTER, delta=-0.02)))
    assert found == ("5 variants (by 2.00 to 2.00 points of CER) are shown to be better than ds2.")


def test_a_single_seed_is_no_method() -> None:
    one = plain(2, Verdict.NO_EVIDENCE, scope=Scope.MODELS)
    assert answer(of(*one)).endswith(
        "With a single seed this speaks of these trained models, not of training them anew."
    )
    shown = judged(one[1], Verdict.BETTER_MODELS, -0.02, scope=Scope.MODELS)
    found = answer(of(judged(one[0], Verdict.NO_EVIDENCE), shown))
    assert found.startswith("No variant is shown to be better than ds2; ")
    assert found.endswith(
        "ds2_posattn makes fewer errors, but with a single seed this holds for these trained "
        "models only."
    )


@pytest.mark.parametrize(
    "verdict",
    [Verdict.TWO_SEEDS, Verdict.FEW_SPEAKERS, Verdict.NOT_TRAINED, Verdict.NOT_COMPARABLE],
)
def test_what_is_not_judged_is_no_finding(verdict: Verdict) -> None:
    first, second = plain(2, verdict)
    assert answer(of(first, second)) == (
        f"No variant can be judged against ds2: ds2_selfattn and ds2_posattn ({verdict})."
    )
    found = answer(of(first, judged(second, Verdict.NO_EVIDENCE)))
    assert found.endswith(f" Not judged: ds2_selfattn ({verdict}).")
    moved = of(judged(second, Verdict.NO_EVIDENCE), not_comparable=(first,))
    assert answer(moved) == found


def test_a_control_is_no_variant_and_is_named_if_it_differs() -> None:
    control = replace(judged(study().systems[1], Verdict.BETTER, -0.02), is_control=True)
    other = judged(study().systems[2], Verdict.NO_EVIDENCE)
    found = answer(of(control, other))
    assert found.startswith("No variant is shown to be better than ds2; ")
    assert found.endswith("The control ds2_selfattn (-2.00 points of CER) is shown to be better.")
    assert answer(of(control)).startswith("There is no variant beside ds2, only controls.")
    assert "control" not in answer(of(judged(control, Verdict.NO_EVIDENCE), other))


def test_without_a_comparison_there_is_no_verdict() -> None:
    assert answer(of()) == "ds2 is the only system, so there is nothing to compare it with."
    assert answer(replace(study(), replicates=0)).startswith("No variant is judged: ")


@pytest.mark.parametrize("variants", [6, 60])
def test_it_stays_short(variants: int) -> None:
    assert len(answer(study(variants=variants)).split()) < 80
