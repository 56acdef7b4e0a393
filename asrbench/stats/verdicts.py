"""From figures to words: what may be said of a variant beside the baseline, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import Difference, Scope
from asrbench.stats.exact import holm
from asrbench.stats.power import ALPHA, Outlook, outlook, smallest_difference


class Verdict(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    NO_EVIDENCE = "no evidence of a difference"
    NOT_TRAINED = "not trained"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it stands on. Differences and rates are fractions."""

    verdict: Verdict
    reason: str
    """In words, figures in points (of 100)."""
    scope: Scope | None = None
    """What it speaks of. This and all below: None where nothing could be compared."""
    holm_p: float | None = None
    smallest: float | None = None
    """The smallest true difference shown with 80 % power, at 5 % over the size of the family."""
    outlook: Outlook | None = None
    """What would settle it; None too where it is settled."""


def judge(
    differences: Mapping[str, Difference],
    blocks: Blocks,
    untrained: Mapping[str, str] | None = None,
    incomparable: Mapping[str, str] | None = None,
) -> dict[str, Judgement]:
    """The verdict on each variant, by name, from its difference to the baseline on `blocks`.

    `better` and `worse` stand where the p-value is 5 % or less after Holm's correction over all of
    `differences`: the family. `untrained` and `incomparable` are left out of it, each with its
    reason. Raises `ValueError` for a name that is in two of them.
    """
    reasons = {Verdict.NOT_TRAINED: untrained or {}, Verdict.NOT_COMPARABLE: incomparable or {}}
    names = [*differences, *(name for kind in reasons.values() for name in kind)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two verdicts on {', '.join(twice)}")
    adjusted = holm([difference.p for difference in differences.values()])
    judged = {
        name: _judge(difference, float(p), len(differences), blocks)
        for (name, difference), p in zip(differences.items(), adjusted, strict=True)
    }
    for verdict, kind in reasons.items():
        judged |= {name: Judgement(verdict, reason) for name, reason in kind.items()}
    return judged


def _judge(difference: Difference, holm_p: float, family: int, blocks: Blocks) -> Judgement:
    # What the smallest p-value of a family has to pass, so that it is shown whatever the others do.
    alpha = ALPHA / family
    shown = holm_p <= ALPHA
    smallest = smallest_difference(difference.variance, alpha)
    later = None if shown else outlook(difference, blocks.utterances, alpha)
    if not shown:
        verdict = Verdict.NO_EVIDENCE
    else:
        verdict = Verdict.BETTER if difference.delta < 0 else Verdict.WORSE
    parts = [_figures(difference, holm_p, family)]
    if later is not None:
        parts.append(f"{100 * smallest:.2f} could have been shown")
        parts.append(_outlook(later))
    if difference.scope is Scope.MODELS:
        parts.append("without a second seed of both it speaks of these trained models only")
    return Judgement(verdict, "; ".join(parts), difference.scope, holm_p, smallest, later)


def _figures(difference: Difference, holm_p: float, family: int) -> str:
    low, high = (f"{100 * end:+.2f}" for end in (difference.interval.low, difference.interval.high))
    corrected = f", {_p(holm_p)} after Holm over {family} variants" if family > 1 else ""
    return f"{100 * difference.delta:+.2f} points ({low} to {high}), {_p(difference.p)}{corrected}"


def _outlook(later: Outlook) -> str:
    ways = []
    if later.seeds is not None:
        ways.append(f"{later.seeds:,} seeds each")
    if later.utterances is not None:
        ways.append(f"{later.utterances:,} utterances")
    if not ways:
        return "neither seeds nor utterances within reach would show one of the size seen"
    return f"one of the size seen would take about {' or '.join(ways)}"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
