"""Whether a run learns, told from its history while it runs.

A CTC model begins with blanks and a flat loss, so for a while that says nothing: findings count
from some way into the training on, and only while the dev CER says that nothing was learned.
"""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

LOST_CER = 0.8
"""Above it a model has learned no more than which symbols are common."""
PATIENCE, PATIENCE_EPOCHS, PATIENCE_STEPS = 0.2, 3, 10_000
"""A run has this share of its epochs to get going, at least so many, unless it made these steps."""
BLANK = 0.98
"""Share of blank frames from which a model says nothing."""
FLAT = 0.01
"""Relative change of the loss over `FLAT_EPOCHS` below which nothing moves."""
FLAT_EPOCHS = 3
FEW_STEPS = 1000
"""Steps within which a CTC model may still be about to leave its blanks."""


def findings(history: Sequence[Row], epochs: int) -> dict[str, str]:
    """What the last epoch shows of a run that does not learn, of `epochs` planned: kind and line.

    Kinds are `blank`, `same` and `flat`; nothing is found of a run that learns.
    """
    if not history or history[-1]["dev_cer"] <= LOST_CER or _early(history, epochs):
        return {}
    row, found = history[-1], {}
    young = f"only {row['steps']} updates so far; " if row["steps"] < FEW_STEPS else ""
    if row["blank_fraction"] >= BLANK:
        found["blank"] = (
            f"{100 * row['blank_fraction']:.0f} % of dev frames are blank: {young}too few frames "
            f"for the symbols (lower model.front_end.time_stride), a learning rate too high or "
            f"too low, or texts that are not those of the audio"
        )
    if row["distinct_hypotheses"] == 1:
        found["same"] = (
            f"every dev utterance gets the same text: {young}a learning rate too high or too low, "
            f"or texts that are not those of the audio"
        )
    losses = [each["loss"] for each in history[-FLAT_EPOCHS:]]
    if len(losses) == FLAT_EPOCHS and max(losses) - min(losses) < FLAT * abs(max(losses)):
        found["flat"] = (
            f"the loss has moved by less than {100 * FLAT:.0f} % in {FLAT_EPOCHS} epochs: {young}"
            f"a learning rate too high or too low, or texts that are not those of the audio"
        )
    return found


def news(history: Sequence[Row], epochs: int) -> list[str]:
    """The lines of the last epoch's findings of a kind that no epoch before it had."""
    told = {kind for n in range(1, len(history)) for kind in findings(history[:n], epochs)}
    return [line for kind, line in findings(history, epochs).items() if kind not in told]


def stuck_epochs(history: Sequence[Row], epochs: int) -> int:
    """Epochs in a row, the last one included, with a finding of any kind."""
    count = 0
    while count < len(history) and findings(history[: len(history) - count], epochs):
        count += 1
    return count


def _early(history: Sequence[Row], epochs: int) -> bool:
    few = len(history) < max(PATIENCE_EPOCHS, PATIENCE * epochs)
    return few and history[-1]["steps"] < PATIENCE_STEPS
