"""Hypotheses with the spacing of their references, for the sWER: the WER without spacing errors.

The sWER is defined as in ESPnet's recipe for KsponSpeech.
"""

from collections.abc import Iterable
from itertools import compress, pairwise
from typing import Any

from rapidfuzz.distance import Levenshtein

from asrbench.scoring.counted_text import CountedTexts
from asrbench.text.normal_form import nfc

EditAlignment = Iterable[tuple[str, int, int, int, int]]
"""Stretches of one reference and one hypothesis: the kind of edit ("equal" for none), begin and end
in the reference, begin and end in the hypothesis."""


def spaced_like(
    references: CountedTexts,
    hypotheses: CountedTexts,
    alignments: Iterable[EditAlignment] | None = None,
) -> list[list[str]]:
    """Returns the words of each hypothesis, split where its reference is split.

    A letter aligned with an equal letter starts a word if that letter does. A letter that is
    substituted or inserted starts a word if it did before. A word whose first letter is deleted is
    therefore joined to the word before it, as in ESPnet's recipe.

    `alignments` are minimum edit alignments of `letters`, one per utterance; without them RapidFuzz
    makes them.
    """
    if alignments is None:
        alignments = map(_edit_alignment, references.letters, hypotheses.letters)
    starts = references.word_starts, hypotheses.word_starts
    return [*map(_respaced, hypotheses.letters, alignments, *starts)]


def _edit_alignment(reference: str, hypothesis: str) -> EditAlignment:
    if reference == hypothesis:
        return [("equal", 0, len(reference), 0, len(hypothesis))]
    opcodes: list[Any] = Levenshtein.opcodes(reference, hypothesis).as_list()
    return opcodes


def _respaced(
    letters: str, alignment: EditAlignment, reference: bytes, hypothesis: bytes
) -> list[str]:
    """Returns `letters` as words, which start as in the reference where letters agree.

    `reference` and `hypothesis` are the word starts of either side.
    """
    word_starts = b"".join(
        [
            reference[begin:end] if kind == "equal" else hypothesis[here:stop]
            for kind, begin, end, here, stop in alignment
        ]
    )
    starts = [0, *compress(range(len(word_starts)), word_starts), None]
    words = [letters[begin:end] for begin, end in pairwise(starts)]
    # A letter and an accent may compose once the space between them is gone.
    return nfc(" ".join(words)).split()
