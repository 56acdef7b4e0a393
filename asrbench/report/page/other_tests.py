"""Why another test of a system, or its p-value before correction, disagrees with its verdict."""

from collections.abc import Collection, Iterator

from asrbench.base.formatting import listing, p_equals, p_value, sentence
from asrbench.report.answer import is_judged
from asrbench.report.study import Study, StudySystem
from asrbench.stats.bootstrap import Difference, Scope
from asrbench.stats.power import ALPHA
from asrbench.stats.record import PairTests
from asrbench.stats.verdicts import Verdict

SHOWN = (Verdict.BETTER, Verdict.WORSE, Verdict.BETTER_MODELS, Verdict.WORSE_MODELS)
BOOTSTRAP, PERMUTATION, MCNEMAR = (
    "the bootstrap before correction",
    "the permutation test",
    "McNemar",
)
MAPSSWE_WORDS, MAPSSWE_CHARACTERS = "MAPSSWE by word", "MAPSSWE by character"


def disagreements(study: Study) -> dict[str, str]:
    """Returns a sentence for each system that is judged and has such a test, by label."""
    found = {
        system.label: _sentence(study, system, system.difference, system.tests)
        for system in study.systems
        if system.difference and system.tests and is_judged(system)
    }
    return {label: words for label, words in found.items() if words}


def _sentence(study: Study, system: StudySystem, difference: Difference, tests: PairTests) -> str:
    shown = system.verdict in SHOWN
    p = {
        BOOTSTRAP: difference.p,
        PERMUTATION: tests.permutation.p,
        MCNEMAR: tests.mcnemar.p,
        MAPSSWE_WORDS: tests.mapsswe_words.p,
        MAPSSWE_CHARACTERS: tests.mapsswe_characters.p,
    }
    other = {name: value for name, value in p.items() if (value <= ALPHA) is not shown}
    if not other:
        return ""
    listed = listing([f"{name} ({p_equals(value)})" for name, value in other.items()])
    verb = "finds" if len(other) == 1 else "find"
    if shown:
        why = "; ".join(_why_missed(other, tests))
        return sentence(f"{listed} {verb} no difference at 5 %: {why}")
    why = listing(list(_why_found(study, system, difference, other)))
    return sentence(f"{listed} {verb} a difference at 5 %, but {why}")


def _why_found(
    study: Study, system: StudySystem, difference: Difference, other: Collection[str]
) -> Iterator[str]:
    """Yields what the verdict takes into account and these tests do not."""
    if study.family > 1 and not system.is_control:
        yield f"without a correction for {study.family} variants"
    if set(other) == {BOOTSTRAP}:
        return
    if difference.scope is Scope.TRAINING:
        yield "for these trained models only"
    elif not {BOOTSTRAP, PERMUTATION} & set(other) and (study.speakers or 0) > 1:
        yield "taking the utterances of one speaker as independent"
    elif study.family == 1 or system.is_control:
        yield "by another approximation than the verdict"


def _why_missed(other: Collection[str], tests: PairTests) -> Iterator[str]:
    """Yields why these tests miss a difference that the verdict shows."""
    if PERMUTATION in other:
        least, exchanged = tests.permutation.least, tests.permutation.exchanged
        yield f"permutation exchanges whole {exchanged}, so that its least p is {p_value(least)}"
    if MCNEMAR in other:
        yield "McNemar counts only which utterances are entirely right"
    if MAPSSWE_WORDS in other:
        yield "words are wrong, however many of their characters are"
    if MAPSSWE_CHARACTERS in other:
        yield "MAPSSWE weighs the segments between errors, the verdict the whole test set"
