"""Figures as text, in the one form that every table, sentence and plot uses.

Rates and differences come in as fractions and are shown in percent and in percentage points.
"""

from collections.abc import Iterable, Sequence

NONE = "-"
"""Stands for a figure that is not known."""


def percent(rate: float | None) -> str:
    """Returns a rate in percent with two decimals: `4.69`."""
    return NONE if rate is None else f"{100 * rate:.2f}"


def points(difference: float | None, digits: int = 2) -> str:
    """Returns a difference of rates in signed percentage points: `+0.56`."""
    # Adding zero turns a rounded -0.0 into 0.0.
    return NONE if difference is None else f"{round(100 * difference, digits) + 0:+.{digits}f}"


def margin_points(difference: float) -> str:
    """Returns a positive difference of rates with its unit: `0.5 points`, `1 point`."""
    figure = f"{100 * difference:g}"
    return f"{figure} point{'' if figure == '1' else 's'}"


def percent_interval(interval: Iterable[float] | None) -> str:
    """Returns an interval of a rate: `2.70 to 7.17`."""
    return NONE if interval is None else " to ".join(map(percent, interval))


def points_interval(interval: Iterable[float] | None) -> str:
    """Returns an interval of a difference: `-0.70 to +1.77`."""
    return NONE if interval is None else " to ".join(map(points, interval))


def rough(value: float) -> str:
    """Returns a rough figure with two significant digits: `1.4`, `130`, `24,000`."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def rough_range(value: float, low: float, high: float) -> str:
    """Returns a rough figure with its range: `1.4 (1.1 to 2.3)`."""
    return f"{rough(value)} ({rough(low)} to {rough(high)})"


def p_value(p: float | None) -> str:
    """Returns a p-value with three decimals: `0.335`, or `<0.001`."""
    if p is None:
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_equals(p: float) -> str:
    """Returns a p-value as a sentence has it: `p = 0.335`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def parameter_count(count: int | None) -> str:
    """Returns a number of parameters: `4.01M`, `512k`."""
    if count is None:
        return NONE
    if count < 1_000_000:
        return f"{count / 1_000:.0f}k"
    return f"{count / 1_000_000:.{1 if count >= 10_000_000 else 2}f}M"


def ratio(value: float | None) -> str:
    """Returns a ratio: `1.32x`."""
    return NONE if value is None else f"{value:.2f}x"


def duration(seconds: float) -> str:
    """Returns a time in its two largest units: `12 s`, `34 min`, `1 h 20 min`, `2 d 3 h`."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def seed_list(seeds: Iterable[int]) -> str:
    """Returns seeds as a caption has them: `seed 0`, or `seeds 0, 1, 2`."""
    numbers = [str(seed) for seed in seeds]
    return f"seed{'' if len(numbers) == 1 else 's'} {', '.join(numbers)}"


def counted(count: int, what: str) -> str:
    """Returns a count with its noun: `1 seed`, `3 seeds`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def listing(words: Sequence[str]) -> str:
    """Returns words as a sentence lists them: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def sentence(text: str) -> str:
    """Returns the text with a capital at the beginning and a full stop at the end."""
    return f"{text[:1].upper()}{text[1:]}."
