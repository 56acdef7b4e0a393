"""Table cells: a text for every table form, and a value by which the page sorts."""

from collections.abc import Callable
from dataclasses import dataclass

from asrbench.base.formatting import (
    NONE,
    p_value,
    parameter_count,
    percent,
    percent_interval,
    points,
    points_interval,
    rough_range,
)
from asrbench.stats.bootstrap import Interval
from asrbench.stats.power import Estimate
from asrbench.stats.verdicts import Verdict

FAILED = "failed"
"""Style of the rate of a run, or a system, that is not trained."""


@dataclass(frozen=True)
class TableCell:
    """One cell of a table."""

    text: str
    value: float | str | None = None
    """The page sorts by it; cells without a value come last."""
    style: str = ""
    """A class of `page.css`."""
    sign: str = ""
    """Stands before the text on the page, so that the style is not told by colour alone."""


@dataclass(frozen=True)
class VerdictStyle:
    """The look of a verdict on the page: a class of `page.css` and a sign."""

    style: str
    sign: str


VERDICT_STYLES: dict[Verdict | None, VerdictStyle] = {
    Verdict.BETTER: VerdictStyle("better", "✓"),
    Verdict.WORSE: VerdictStyle("worse", "✗"),
    Verdict.EQUIVALENT: VerdictStyle("equal", "="),
    Verdict.NO_EVIDENCE: VerdictStyle("open", "≈"),
    Verdict.BETTER_MODELS: VerdictStyle("open", "?"),
    Verdict.WORSE_MODELS: VerdictStyle("open", "?"),
    Verdict.TWO_SEEDS: VerdictStyle("open", "?"),
    Verdict.FEW_SPEAKERS: VerdictStyle("open", "?"),
    Verdict.NOT_TRAINED: VerdictStyle("void", "∅"),
    Verdict.NOT_COMPARABLE: VerdictStyle("void", "≠"),
    None: VerdictStyle("base", "●"),
}
"""The style of each verdict, and of the baseline, which has none."""


def text_cell(text: str | None, style: str = "") -> TableCell:
    return TableCell(text or "", text, style)


def number_cell(
    value: float | None, form: str | Callable[[float], str], unit: str = ""
) -> TableCell:
    """Returns a number written by a format specification, or by a function."""
    if value is None:
        return TableCell(NONE)
    text = format(value, form) if isinstance(form, str) else form(value)
    return TableCell(text + unit, value)


def percent_cell(rate: float | None, *, failed: bool = False) -> TableCell:
    return TableCell(percent(rate), rate, FAILED if failed else "")


def points_cell(difference: float | None) -> TableCell:
    return TableCell(points(difference), difference)


def percent_interval_cell(interval: Interval | None) -> TableCell:
    """Returns an interval of a rate, which sorts by its lower end."""
    return TableCell(percent_interval(interval), None if interval is None else interval.low)


def points_interval_cell(interval: Interval | None) -> TableCell:
    """Returns an interval of a difference, which sorts by its lower end."""
    return TableCell(points_interval(interval), None if interval is None else interval.low)


def rough_cell(estimate: Estimate | None, factor: float = 1.0) -> TableCell:
    """Returns a rough figure, multiplied by `factor`, with its range."""
    if estimate is None:
        return TableCell(NONE)
    value, low, high = (factor * each for each in estimate)
    return TableCell(rough_range(value, low, high), value)


def p_cell(p: float | None) -> TableCell:
    return TableCell(p_value(p), p)


def parameters_cell(count: int | None) -> TableCell:
    return TableCell(parameter_count(count), count)


def verdict_cell(verdict: Verdict | None) -> TableCell:
    found = VERDICT_STYLES[verdict]
    text = "baseline" if verdict is None else verdict.short
    return TableCell(text, "" if verdict is None else verdict.value, found.style, found.sign)
