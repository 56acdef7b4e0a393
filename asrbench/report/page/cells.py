"""Tables of a page, and their cells: what stands there, and what it sorts by."""

from collections.abc import Sequence
from dataclasses import dataclass

NONE = "–"
MINUS = "−"


@dataclass(frozen=True)
class Cell:
    text: str
    value: float | str | None = None
    """What it sorts by; nothing sorts last."""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    says: str
    columns: tuple[tuple[str, str], ...]
    """Head and what it means. The first column names the row, the others are figures."""
    rows: tuple[tuple[Cell, ...], ...]


def label(text: str) -> Cell:
    return Cell(text, text)


def measured(value: float | None, form: str, unit: str = "") -> Cell:
    if value is None:
        return Cell(NONE)
    return Cell(format(value, form).replace("-", MINUS) + unit, value)


def rated(rate: float | None, kind: str = "") -> Cell:
    return Cell(NONE) if rate is None else Cell(percent(rate), rate, kind)


def points(difference: float, interval: Sequence[float]) -> Cell:
    ends = " to ".join(signed_percent(end) for end in interval)
    return Cell(f"{signed_percent(difference)} ({ends})", difference)


def between(interval: Sequence[float] | None) -> Cell:
    """Sorts by its lower end."""
    if interval is None:
        return Cell(NONE)
    return Cell(" to ".join(percent(end) for end in interval), interval[0])


def probability(p: float | None) -> Cell:
    if p is None:
        return Cell(NONE)
    return Cell("< 0.001" if p < 0.001 else f"{p:.3f}", p)


def amount(count: int | None) -> Cell:
    if count is None:
        return Cell(NONE)
    return Cell(f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.0f} k", count)


def percent(rate: float) -> str:
    return f"{100 * rate:.2f}"


def signed_percent(rate: float) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(100 * rate, 2) + 0:+.2f}".replace("-", MINUS)


def visible(text: str) -> str:
    """Spaces, which an edit would hide, are shown as one shows them."""
    return text.replace(" ", "␣")
