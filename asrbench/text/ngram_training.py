"""Trains n-gram language models with Kneser-Ney smoothing (Kneser and Ney 1995), by kaldingram.

kaldingram is the training of Kaldi's recipes in Python: back-off, one discount for each order, and
every n-gram kept, as SRILM's `ngram-count -ukndiscount -gt3min 0 ...`.
"""

import io
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr

from asrbench.text.ngram_lm import LmSource, word_of

ORDERS = range(2, 6)
"""The orders that can be trained."""


def trained_arpa(sentences: Iterable[Sequence[str]], order: int, source: LmSource) -> str:
    """Returns the text of an ARPA file trained on sequences of symbols, which names its `source`.

    The same sentences give the same text, whatever their order.
    """
    from kaldingram.train import NgramCounts

    counts, arpa = NgramCounts(order), io.StringIO()
    for line in sorted(" ".join(map(word_of, symbols)) for symbols in sentences):
        counts.add_raw_counts_from_line(line)
    with redirect_stderr(io.StringIO()):  # it shows a progress bar for each of many small steps
        counts.cal_discounting_constants()
        counts.cal_f()
        counts.cal_bow()
        counts.print_as_arpa(arpa)
    return f"{source.comment}\n\n{arpa.getvalue()}"
