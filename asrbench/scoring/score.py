"""Error rates of the hypotheses of one system, counted by jiwer."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asrbench.base.errors import UserError, pick
from asrbench.scoring.counted_text import (
    CountedReferences,
    CountedTexts,
    Texts,
    refuse_empty,
)
from asrbench.scoring.edit_counts import ErrorCounts
from asrbench.scoring.spacing import EditAlignment, spaced_like
from asrbench.text.profiles import PROFILES

if TYPE_CHECKING:
    from jiwer import AlignmentChunk, CharacterOutput, WordOutput


@dataclass(frozen=True)
class Score:
    """Error rates of a test set under one scoring profile. Rates are fractions, not per cent."""

    profile: str
    """Name and version of the profile, as in `verbatim/1`."""
    utterances: int
    characters: ErrorCounts
    """Character edits, whose rate is the CER."""
    jamo: ErrorCounts
    """Character edits with each Hangul syllable as its jamo; equal to `characters` without any."""
    words: ErrorCounts
    """Word edits, whose rate is the WER."""
    spaced_words: ErrorCounts
    """Word edits with the spacing of the reference, whose rate is the sWER; see `spaced_like`."""

    @property
    def cer(self) -> float:
        """Character error rate: edits per reference character of the whole test set."""
        return self.characters.rate

    @property
    def jer(self) -> float:
        """Jamo error rate: the CER with each Hangul syllable as its jamo."""
        return self.jamo.rate

    @property
    def wer(self) -> float:
        """Word error rate: edits per reference word of the whole test set."""
        return self.words.rate

    @property
    def swer(self) -> float:
        """Word error rate with the spacing of the reference: spacing errors do not count."""
        return self.spaced_words.rate

    @property
    def n(self) -> int:
        """Number of reference characters that the profile counts."""
        return self.characters.n

    def plain(self) -> dict[str, Any]:
        """Returns the figures as `scores.json` stores them."""
        return {
            "profile": self.profile,
            "cer": self.cer,
            "characters": self.characters.plain(),
            "jer": self.jer,
            "jamo": self.jamo.plain(),
            "wer": self.wer,
            "words": self.words.plain(),
            "swer": self.swer,
            "spaced_words": self.spaced_words.plain(),
        }


def score(
    references: str | Iterable[str],
    hypotheses: str | Iterable[str],
    profile: str = "verbatim",
    where: object = "score",
    other_side: Texts | None = None,
) -> Score:
    """Returns the error rates of `hypotheses` against `references`, which are in the same order.

    Each is a sequence of texts, one per utterance, or the text of a single utterance. `profile`
    says what counts: `verbatim`, `nospace`, `kospeech`, `espnet` or `readings`. Under each of them
    texts are in NFC, runs of white space count as one space, and white space at the ends does not
    count. `other_side` is the column of `Profile.other_side_among`, if the corpus has it; without
    it `readings` accepts the notations of numerals alone.

    Raises `UserError`, whose message begins with `where`, for lists of different length, an unknown
    profile, anything that is not a text, and references without a character that counts.
    """
    rules = PROFILES[pick(f"{where}: profile", profile, PROFILES)]
    expected = _texts(references, f"{where}: references")
    found = _texts(hypotheses, f"{where}: hypotheses")
    if len(expected) != len(found):
        raise UserError(
            f"{where}: found lengths {len(expected)} (references) and {len(found)} (hypotheses), "
            f"allowed: equal lengths"
        )
    counted = CountedReferences.of(expected, rules.name, other_side)
    refuse_empty(counted, rules.name, where)
    return score_counted(counted, counted.hypotheses(found))


def score_counted(references: CountedReferences, hypotheses: CountedTexts) -> Score:
    """Returns the error rates of texts that are already converted."""
    letters = _by_character(references.letters, hypotheses.letters)
    spaced = spaced_like(references, hypotheses, map(_edit_alignment, letters.alignments))
    return Score(
        str(PROFILES[references.profile]),
        len(references.worded),
        _counts(_by_character(references.characters, hypotheses.characters)),
        _counts(_by_character(references.jamo, hypotheses.jamo)),
        _counts(_by_word(references.worded, hypotheses.worded)),
        _counts(_by_word(references.worded, [" ".join(words) for words in spaced])),
    )


def _texts(given: str | Iterable[str], where: str) -> list[str]:
    if isinstance(given, str):
        return [given]
    # A dictionary or a set would be read as its keys, in no order that the other side has.
    if isinstance(given, Mapping | Set) or not isinstance(given, Iterable):
        raise UserError(
            f"{where}: found {type(given).__name__}, allowed: texts in order, or one text"
        )
    texts = list(given)
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise UserError(f"{where}: found {text!r} as number {number}, allowed: texts")
    return texts


# jiwer, which is imported where it is used so that other commands start without it


def _by_character(references: Texts, hypotheses: Texts) -> "CharacterOutput":
    import jiwer

    # The only transform splits texts. jiwer's default would also strip them, which is done already.
    split = jiwer.ReduceToListOfListOfChars()
    return jiwer.process_characters([*references], [*hypotheses], split, split)


def _by_word(references: Texts, hypotheses: Texts) -> "WordOutput":
    import jiwer

    split = jiwer.ReduceToListOfListOfWords()
    return jiwer.process_words([*references], [*hypotheses], split, split)


def _counts(found: "CharacterOutput | WordOutput") -> ErrorCounts:
    n = found.hits + found.substitutions + found.deletions
    return ErrorCounts(found.substitutions, found.deletions, found.insertions, n)


def _edit_alignment(chunks: Iterable["AlignmentChunk"]) -> EditAlignment:
    return [
        (each.type, each.ref_start_idx, each.ref_end_idx, each.hyp_start_idx, each.hyp_end_idx)
        for each in chunks
    ]
