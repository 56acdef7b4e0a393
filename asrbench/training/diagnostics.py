"""Diagnostics that find, from its history, a run that does not learn.

Every CTC model begins with blanks and a flat loss. So nothing is reported in the first epochs of a
run (`PATIENCE`), nor once its dev CER shows that it has learned something.
"""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

LOST_CER = 0.8
"""The dev CER above which a model has learned at most which symbols are frequent."""
PATIENCE, PATIENCE_EPOCHS, PATIENCE_STEPS = 0.2, 3, 10_000
"""Nothing is reported before three epochs and a fifth of all, unless 10,000 steps are done."""
BLANK = 0.98
"""The share of blank frames from which the output of a model counts as empty."""
FLAT = 0.01
"""The relative change of the loss over `FLAT_EPOCHS` epochs below which it counts as flat."""
FLAT_EPOCHS = 3
FEW_STEPS = 1000
"""The number of steps within which many CTC models still output blanks only."""


def findings(history: Sequence[Row], epochs: int) -> dict[str, str]:
    """Returns the signs, by kind, that the run is not learning; empty for a run that learns.

    The kinds are `blank`, `same` and `flat`, each with a line for the user. `history` ends with the
    epoch to judge; `epochs` is the planned number.
    """
    if not history or history[-1]["dev_cer"] <= LOST_CER or _early(history, epochs):
        return {}
    row, found = history[-1], {}
    few_steps = f"only {row['steps']} updates so far; " if row["steps"] < FEW_STEPS else ""
    if row.get("blank_fraction", 0.0) >= BLANK:
        found["blank"] = (
            f"{100 * row['blank_fraction']:.0f} % of dev frames are blank; possible causes: "
            f"{few_steps}too few frames for the symbols (lower the time stride of the encoder), a "
            f"learning rate too high or too low, or transcripts that do not match the audio"
        )
    if row["distinct_hypotheses"] == 1:
        found["same"] = (
            f"every dev utterance gets the same text; possible causes: {few_steps}a learning rate "
            f"too high or too low, or transcripts that do not match the audio"
        )
    losses = [each["loss"] for each in history[-FLAT_EPOCHS:]]
    if len(losses) == FLAT_EPOCHS and max(losses) - min(losses) < FLAT * abs(max(losses)):
        found["flat"] = (
            f"the loss has changed by less than {100 * FLAT:.0f} % in {FLAT_EPOCHS} epochs; "
            f"possible causes: {few_steps}a learning rate too high or too low, or transcripts "
            f"that do not match the audio"
        )
    return found


def new_findings(history: Sequence[Row], epochs: int) -> list[str]:
    """Returns the lines of the last epoch's findings whose kind no earlier epoch had."""
    earlier = {kind for n in range(1, len(history)) for kind in findings(history[:n], epochs)}
    return [line for kind, line in findings(history, epochs).items() if kind not in earlier]


def stuck_epochs(history: Sequence[Row], epochs: int) -> int:
    """Returns the number of epochs in a row, up to the last, with a finding of any kind."""
    count = 0
    while count < len(history) and findings(history[: len(history) - count], epochs):
        count += 1
    return count


def _early(history: Sequence[Row], epochs: int) -> bool:
    few = len(history) < max(PATIENCE_EPOCHS, PATIENCE * epochs)
    return few and history[-1]["steps"] < PATIENCE_STEPS
