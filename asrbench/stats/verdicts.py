"""The verdict on each system beside the baseline, with the reason in a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from asrbench.base.formatting import p_equals, percent, points, points_interval
from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import Difference, Scope
from asrbench.stats.exact import holm
from asrbench.stats.power import (
    ALPHA,
    MOST_SEEDS,
    MOST_TEST_SETS,
    SampleSize,
    sample_size,
    smallest_difference,
)


class Verdict(StrEnum):
    """The five verdicts on a system."""

    BETTER = "better"
    WORSE = "worse"
    NO_EVIDENCE = "no evidence of a difference"
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
    """The p-value after Holm's correction over the family of variants."""
    smallest_difference: float | None = None
    """The smallest true difference detected with 80 % power, at 5 % over the size of the family."""
    needed: SampleSize | None = None
    """The seeds or utterances that would detect the difference seen; None if it was detected."""


def judge(
    differences: Mapping[str, Difference],
    blocks: Blocks,
    untrained: Mapping[str, str] | None = None,
    incomparable: Mapping[str, str] | None = None,
) -> dict[str, Judgement]:
    """Returns the verdict on each system, by name, from its difference to the baseline on `blocks`.

    The verdict is `better` or `worse` if the p-value is 5 % or less after Holm's correction over
    the family, which is all of `differences`. Systems in `untrained` and `incomparable`, each with
    its reason, are not part of the family. Raises `ValueError` for a name in two of the three.
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
    # The smallest p-value of a family has to pass this level to be shown whatever the others are.
    alpha = ALPHA / family
    shown = holm_p <= ALPHA
    smallest = smallest_difference(difference.variance, alpha)
    needed = None if shown else sample_size(difference, blocks.utterances, alpha)
    if not shown:
        verdict = Verdict.NO_EVIDENCE
    else:
        verdict = Verdict.BETTER if difference.delta < 0 else Verdict.WORSE
    sentences = [_figures(difference, holm_p, family)]
    if needed is not None:
        sentences += _power(difference, smallest, needed)
    if difference.scope is Scope.MODELS:
        sentences.append(
            "This holds for these trained models only: at least one of the two has a single seed"
        )
    return Judgement(verdict, ". ".join(sentences), difference.scope, holm_p, smallest, needed)


def _figures(difference: Difference, holm_p: float, family: int) -> str:
    corrected = f", {p_equals(holm_p)} after Holm over {family} variants" if family > 1 else ""
    return (
        f"{points(difference.delta)} points ({points_interval(difference.interval)}), "
        f"{p_equals(difference.p)}{corrected}"
    )


def _power(difference: Difference, smallest: float, needed: SampleSize) -> list[str]:
    """Returns what the study could detect, and what it would need to detect the difference seen."""
    detects = f"This study could detect a difference of about {percent(smallest)} points"
    if not difference.delta:
        return [detects]
    ways = []
    if needed.seeds is not None:
        ways.append(f"about {needed.seeds:,} seeds of each system")
    if needed.utterances is not None:
        ways.append(f"about {needed.utterances:,} utterances")
    if not ways:
        if difference.variance.training:
            ways.append(f"more than {MOST_SEEDS} seeds of each system")
        ways.append(f"more than {MOST_TEST_SETS} times as many utterances")
    seen = f"one as small as the one seen ({percent(abs(difference.delta))})"
    return [detects, f"Detecting {seen} would need {' or '.join(ways)}"]
