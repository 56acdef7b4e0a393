"""The verdict on each system beside the baseline, with the reason in a sentence."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from asrbench.base.formatting import (
    counted,
    margin_points,
    p_equals,
    percent,
    points,
    points_interval,
    rough,
    rough_range,
)
from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import Difference, Equivalence, Scope
from asrbench.stats.exact import holm
from asrbench.stats.power import ALPHA, Estimate, SampleSize, sample_size, smallest_difference

FEWEST_SEEDS = 3
"""Seeds of both systems without which no verdict is given on training anew. Two runs say so little
of the variance between seeds that equal systems are too often found different."""
FEWEST_SPEAKERS = 4
"""Speakers without which no verdict is given."""
FEWEST_DIFFERING = 6
"""Utterances in which two systems must differ to be called equivalent. With fewer, no difference
could be shown either, whatever its size: a sign test of five gives 1/16."""


class Verdict(StrEnum):
    """The verdicts on a system."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    NO_EVIDENCE = "no evidence of a difference"
    BETTER_MODELS = "better, these models only"
    """One of the two systems has a single seed, so this is no finding about the methods."""
    WORSE_MODELS = "worse, these models only"
    """As before, it speaks of the two trained models and of no other training."""
    TWO_SEEDS = "two seeds cannot decide"
    FEW_SPEAKERS = "too few speakers to judge"
    NOT_TRAINED = "not trained"
    NOT_COMPARABLE = "not comparable"

    @property
    def short(self) -> str:
        """The verdict as a table cell has it."""
        return "no evidence" if self is Verdict.NO_EVIDENCE else self.value


@dataclass(frozen=True)
class Judgement:
    """A verdict and the figures it rests on. Differences and rates are fractions."""

    verdict: Verdict
    reason: str
    """The reason in words, figures in percentage points, without a full stop at the end."""
    scope: Scope | None = None
    """The population it generalises to. This and all below are None if nothing was compared."""
    holm_p: float | None = None
    """The p-value after Holm's correction over the family of variants; of a control, which is no
    part of the family, the p-value as it is."""
    smallest_difference: Estimate | None = None
    """The smallest true difference detected with 80 % power, at 5 % over the size of the family;
    None if its range is too wide to be of use."""
    needed: SampleSize | None = None
    """The seeds or utterances that would detect the difference seen; None if it was detected."""
    equivalence: Equivalence | None = None
    """Test of the margin that the study states; None without a margin."""


@dataclass(frozen=True)
class Evidence:
    """What the verdict on one system rests on."""

    difference: Difference
    """To the baseline."""
    seeds: tuple[int, int]
    """Runs of the system, and of the baseline."""
    equivalence: Equivalence | None = None
    """Test of the margin that the study states."""
    is_control: bool = False
    """Controls ask another question than the variants, and are no part of Holm's family."""


@dataclass(frozen=True)
class SplitSize:
    """The size of the test set."""

    blocks: Blocks
    speakers: int | None
    """None if the speakers are not known."""

    def __str__(self) -> str:
        known = "" if self.speakers is None else f" of {counted(self.speakers, 'speaker')}"
        return f"{counted(self.blocks.utterances, 'utterance')}{known}"


def judge(
    evidence: Mapping[str, Evidence],
    size: SplitSize,
    untrained: Mapping[str, str] | None = None,
    incomparable: Mapping[str, str] | None = None,
) -> dict[str, Judgement]:
    """Returns the verdict on each system, by name.

    The verdict is `better` or `worse` if the p-value is 5 % or less after Holm's correction over
    the family, which is all of `evidence` but the controls, and `equivalent` if that is so of the
    p-values of equivalence. `undecidable` says when there is none of these. Systems in `untrained`
    and `incomparable`, each with its reason, are not part of the family. Raises `ValueError` for a
    name in two of the three.
    """
    reasons = {Verdict.NOT_TRAINED: untrained or {}, Verdict.NOT_COMPARABLE: incomparable or {}}
    names = [*evidence, *(name for kind in reasons.values() for name in kind)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two verdicts on {', '.join(twice)}")
    family = [name for name, each in evidence.items() if not each.is_control]
    p = _adjusted(family, {name: each.difference.p for name, each in evidence.items()})
    margin_p = _adjusted(
        family, {name: each.equivalence.p for name, each in evidence.items() if each.equivalence}
    )
    judged = {
        name: _judge(
            each,
            size,
            p[name],
            margin_p.get(name),
            1 if each.is_control else len(family),
        )
        for name, each in evidence.items()
    }
    for verdict, kind in reasons.items():
        judged |= {name: Judgement(verdict, reason) for name, reason in kind.items()}
    return judged


def _adjusted(family: Collection[str], p: Mapping[str, float]) -> dict[str, float]:
    """Returns the p-values by name, those of the family after Holm's correction."""
    members = [name for name in family if name in p]
    adjusted = holm([p[name] for name in members]).tolist()
    return {**p, **dict(zip(members, adjusted, strict=True))}


def undecidable(seeds: Collection[int], speakers: int | None) -> Verdict | None:
    """Returns why systems with so many seeds and speakers cannot be judged; None if they can."""
    if speakers is not None and speakers < FEWEST_SPEAKERS:
        return Verdict.FEW_SPEAKERS
    if 1 < min(seeds) < FEWEST_SEEDS:
        return Verdict.TWO_SEEDS
    return None


def _judge(
    evidence: Evidence, size: SplitSize, holm_p: float, margin_p: float | None, family: int
) -> Judgement:
    difference = evidence.difference
    # The smallest p-value of a family has to pass this level to be shown whatever the others are.
    alpha = ALPHA / family
    shown = holm_p <= ALPHA
    verdict = _verdict(evidence, size, shown, margin_p)
    smallest = smallest_difference(difference.variance, alpha)
    needed = None
    if not shown and difference.delta:
        needed = sample_size(difference, size.blocks.utterances, alpha)
    words = [
        _figures(evidence, size, holm_p, family),
        *_limits(verdict, difference, size.speakers),
    ]
    if evidence.equivalence is not None:
        words.append(_margin(evidence.equivalence, verdict))
    if verdict in (Verdict.NO_EVIDENCE, Verdict.TWO_SEEDS):
        words += _excluded(difference)
        words += _planning(difference, smallest, needed)
    return Judgement(
        *(verdict, ". ".join(words), difference.scope, holm_p, smallest, needed),
        evidence.equivalence,
    )


def _verdict(evidence: Evidence, size: SplitSize, shown: bool, margin_p: float | None) -> Verdict:
    difference = evidence.difference
    if reason := undecidable(evidence.seeds, size.speakers):
        return reason
    if shown and difference.scope is Scope.MODELS:
        return Verdict.BETTER_MODELS if difference.delta < 0 else Verdict.WORSE_MODELS
    if shown:
        return Verdict.BETTER if difference.delta < 0 else Verdict.WORSE
    if (
        margin_p is not None
        and margin_p <= ALPHA
        and difference.scope is Scope.TRAINING
        and difference.utterances_differing >= FEWEST_DIFFERING
    ):
        return Verdict.EQUIVALENT
    return Verdict.NO_EVIDENCE


# Words


def _figures(evidence: Evidence, size: SplitSize, holm_p: float, family: int) -> str:
    difference, (own, other) = evidence.difference, evidence.seeds
    corrected = ""
    if evidence.is_control:
        corrected = " (a control, which is not corrected)"
    elif family > 1:
        corrected = f", {p_equals(holm_p)} after Holm over {family} variants"
    return (
        f"{points(difference.delta)} points ({points_interval(difference.interval)}), "
        f"{p_equals(difference.p)}{corrected}; {counted(own, 'seed')} against {other}, {size}"
    )


def _limits(verdict: Verdict, difference: Difference, speakers: int | None) -> Iterator[str]:
    """Yields what keeps the comparison from being a finding."""
    if verdict is Verdict.FEW_SPEAKERS:
        yield (
            f"A verdict needs the speech of {FEWEST_SPEAKERS} speakers or more, "
            f"and the test set has {speakers}"
        )
    elif verdict is Verdict.TWO_SEEDS:
        yield (
            "Two seeds say too little about the variance of training; a verdict needs "
            f"{FEWEST_SEEDS} of both systems"
        )
    elif difference.scope is Scope.MODELS:
        yield (
            "This holds for these trained models only: at least one of the two has a single seed, "
            "so a better method cannot be told from a better seed"
        )


def _margin(equivalence: Equivalence, verdict: Verdict) -> str:
    interval = (
        f"the margin is {margin_points(equivalence.margin)} and the 90 % interval "
        f"{points_interval(equivalence.interval)}, {p_equals(equivalence.p)} of equivalence"
    )
    low, high = equivalence.interval
    if verdict is Verdict.EQUIVALENT:
        return f"The difference is within the margin: {interval}"
    if -equivalence.margin < low and high < equivalence.margin:
        return f"If there is a difference, it is likely to be within the margin: {interval}"
    return f"The difference is not shown to be within the margin: {interval}"


def _excluded(difference: Difference) -> Iterator[str]:
    """Yields how large a difference the interval excludes."""
    low, high = difference.interval
    if low < 0 < high:
        yield (
            f"The interval excludes an improvement of more than {percent(-low)} points and a "
            f"deterioration of more than {percent(high)}"
        )


def _planning(
    difference: Difference, smallest: Estimate | None, needed: SampleSize | None
) -> Iterator[str]:
    """Yields what such a study can detect, and what it would need to detect the difference seen."""
    if smallest is not None:
        figures = rough_range(*(100 * each for each in smallest))
        yield f"A study of this size detects a true difference of about {figures} points"
    if needed is None:
        return
    ways = []
    if needed.seeds is not None:
        ways.append(f"about {rough_range(*needed.seeds)} seeds of each system")
    if needed.utterances is not None:
        ways.append(f"about {rough_range(*needed.utterances)} utterances")
    if ways:
        seen = f"one as small as the one seen ({rough(100 * abs(difference.delta))})"
        yield f"Detecting {seen} would need {' or '.join(ways)}"
