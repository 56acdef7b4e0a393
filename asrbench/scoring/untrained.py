"""Recognises models that did not train, by what they output."""

from asrbench.scoring.counted_text import Texts
from asrbench.text.normal_form import normalise

UNTRAINED_CER = 0.9
"""A model with this CER or a higher one counts as not trained."""
UNTRAINED_EMPTY = 0.9
"""A model with a larger share of empty hypotheses than this counts as not trained."""


def why_untrained(cer: float, references: Texts, hypotheses: Texts) -> str | None:
    """Returns why a model with these hypotheses counts as not trained, or None if it is trained."""
    empty = sum(not text.strip() for text in hypotheses) / len(hypotheses)
    if empty > UNTRAINED_EMPTY:
        return f"{100 * empty:.0f} % of the hypotheses are empty"
    first = normalise(hypotheses[0])
    if all(normalise(text) == first for text in hypotheses) and len(set(references)) > 1:
        text = first if len(first) <= 20 else first[:20] + "..."
        return f"every hypothesis is {text!r}"
    return f"CER is {100 * UNTRAINED_CER:.0f} % or more" if cer >= UNTRAINED_CER else None
