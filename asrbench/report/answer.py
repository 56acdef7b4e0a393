"""The answer of a study in one or two sentences, which the terminal and the page begin with."""

from collections.abc import Collection, Iterator, Sequence

from asrbench.base.formatting import listing, margin_points, percent, points, rough
from asrbench.report.study import Study, StudySystem
from asrbench.stats.bootstrap import Scope
from asrbench.stats.verdicts import Verdict
from asrbench.text.profiles import RATES

MOST_NAMES = 3
"""Systems that a clause names; of more it gives the number."""
ONE_SEED = (Verdict.BETTER_MODELS, Verdict.WORSE_MODELS)
NOT_JUDGED = (
    *(Verdict.TWO_SEEDS, Verdict.FEW_SPEAKERS),
    *(Verdict.NOT_TRAINED, Verdict.NOT_COMPARABLE),
)
"""The verdicts that say nothing at all of a difference."""


def is_judged(system: StudySystem) -> bool:
    """Returns whether the system is the baseline, or has a verdict on its difference to it.

    No other stands in a test or on a Pareto front.
    """
    return system.verdict not in NOT_JUDGED


def answer(study: Study) -> str:
    """Returns the `sentences` as one text."""
    return " ".join(sentences(study))


def sentences(study: Study) -> list[str]:
    """Returns which variants are shown to be better or worse than the baseline, in one sentence.

    It says too which differences would have been missed. Sentences that follow say what the answer
    does not cover: rows without a verdict, single seeds, controls.
    """
    others = study.all_systems[1:]
    variants = [system for system in others if not system.is_control]
    if not others:
        return [f"{study.baseline} is the only system, so there is nothing to compare it with."]
    if not study.replicates:
        return ["No variant is judged: without bootstrap replicates there are rates alone."]
    unjudged = [system for system in variants if not is_judged(system)]
    if len(unjudged) == len(variants):
        return [_nothing(study, unjudged), *_controls(study)]
    return [
        *(_findings(study, variants), *_one_seed(study, variants)),
        *(*_rest(unjudged), *_controls(study)),
    ]


def _nothing(study: Study, unjudged: Sequence[StudySystem]) -> str:
    if not unjudged:
        return f"There is no variant beside {study.baseline}, only controls."
    return f"No variant can be judged against {study.baseline}: {_reasons(unjudged)}."


def _findings(study: Study, variants: Sequence[StudySystem]) -> str:
    """Returns the sentence on the variants that have a verdict."""
    found = {
        verdict: [system for system in variants if system.verdict is verdict] for verdict in Verdict
    }
    better, worse = found[Verdict.BETTER], found[Verdict.WORSE]
    if better:
        clauses = [f"{_with_points(study, better)} shown to be better than {study.baseline}"]
    else:
        clauses = [f"No variant is shown to be better than {study.baseline}"]
    if worse:
        clauses.append(f"{_with_points(study, worse)} shown to be worse")
    if (equal := found[Verdict.EQUIVALENT]) and study.margin is not None:
        clauses.append(f"{_are(equal)} equivalent to it within {margin_points(study.margin)}")
    open_systems = found[Verdict.NO_EVIDENCE]
    if open_systems and (better or worse or equal):
        clauses.append(f"of {_named(open_systems)} no difference is shown")
    return f"{listing(clauses)}{_missed(study, open_systems)}."


def _missed(study: Study, systems: Sequence[StudySystem]) -> str:
    """Returns which differences the comparisons without a finding would have missed, or nothing.

    A study detects the smallest difference with 80 % power, and smaller ones less often.
    """
    trained_anew = [s for s in systems if s.judgement and s.judgement.scope is Scope.TRAINING]
    smallest = {
        system.label: 100 * system.judgement.smallest_difference.value
        for system in trained_anew or systems
        if system.judgement and system.judgement.smallest_difference
    }
    if not smallest:
        return ""
    least, (label, greatest) = min(smallest.values()), max(smallest.items(), key=lambda s: s[1])
    differ = rough(least) != rough(greatest)
    beside = f" (up to {rough(greatest)}, for {label})" if differ else ""
    return (
        f"; differences under about {rough(least)} points of {RATES[study.unit]}{beside} would "
        f"not have been seen reliably"
    )


def _one_seed(study: Study, variants: Sequence[StudySystem]) -> Iterator[str]:
    """Yields what single seeds have shown, and that it is no finding about training anew."""
    for verdict, how in zip(ONE_SEED, ("fewer", "more"), strict=True):
        if systems := [system for system in variants if system.verdict is verdict]:
            make = "makes" if len(systems) == 1 else "make"
            yield (
                f"{_named(systems)} {make} {how} errors, but with a single seed this holds for "
                f"these trained models only."
            )
    judged = [system for system in variants if system.verdict not in (*ONE_SEED, *NOT_JUDGED)]
    if judged and all(s.judgement and s.judgement.scope is Scope.MODELS for s in judged):
        yield "With a single seed this speaks of these trained models, not of training them anew."


def _rest(unjudged: Sequence[StudySystem]) -> Iterator[str]:
    if unjudged:
        yield f"Not judged: {_reasons(unjudged)}."


def _controls(study: Study) -> Iterator[str]:
    """Yields what is shown of controls, which bears on how a variant's difference is explained."""
    for verdict in (Verdict.BETTER, Verdict.WORSE):
        found = [s for s in study.all_systems[1:] if s.is_control and s.verdict is verdict]
        if found:
            noun = "control" if len(found) == 1 else "controls"
            yield f"The {noun} {_with_points(study, found)} shown to be {verdict}."


# Names


def _named(systems: Collection[StudySystem]) -> str:
    if len(systems) > MOST_NAMES:
        return f"{len(systems)} variants"
    return listing([system.label for system in systems])


def _are(systems: Collection[StudySystem]) -> str:
    return f"{_named(systems)} {'is' if len(systems) == 1 else 'are'}"


def _with_points(study: Study, systems: Sequence[StudySystem]) -> str:
    """Returns the systems with their differences, and the verb: `ds2_wide (-1.20 points) is`."""
    deltas = [system.difference.delta for system in systems if system.difference]
    unit = f"points of {RATES[study.unit]}"
    if len(systems) == 1 and deltas:
        return f"{systems[0].label} ({points(deltas[0])} {unit}) is"
    size = sorted(map(abs, deltas))
    return f"{_named(systems)} (by {percent(size[0])} to {percent(size[-1])} {unit}) are"


def _reasons(systems: Sequence[StudySystem]) -> str:
    """Returns the systems by verdict: `ds2_posattn (two seeds cannot decide)`."""
    verdicts = dict.fromkeys(system.verdict for system in systems)
    groups = {
        verdict: [system for system in systems if system.verdict is verdict] for verdict in verdicts
    }
    return ", ".join(f"{_named(found)} ({verdict})" for verdict, found in groups.items())
