"""The text that a scoring profile counts: what is left of a reference or a hypothesis."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from asrbench.base.errors import UserError
from asrbench.scoring.readings import in_notation_of, other_readings
from asrbench.text.normal_form import normalise, without_punctuation
from asrbench.text.numerals import Notation
from asrbench.text.profiles import PROFILES
from asrbench.text.tokenizer import UNITS

Texts = Sequence[str]


def counted(text: str, profile: str) -> str:
    """Returns the characters of `text` that `profile` counts, in normal form.

    The result is a fixed point: counting it again changes nothing.
    """
    return _without_spaces(worded(text, profile), profile)


def worded(text: str, profile: str) -> str:
    """Returns `text` as `counted` does, but keeps the spaces between words under every profile."""
    rules = PROFILES[profile]
    text = normalise(text.lower() if rules.lower else text)
    return text if rules.marks is None else without_punctuation(text, rules.marks)


def _without_spaces(text: str, profile: str) -> str:
    """Returns `text`, which is `worded`, without its spaces if `profile` does not count them."""
    # A letter and an accent may compose once the space between them is gone.
    return text if PROFILES[profile].spaces else normalise(text.replace(" ", ""))


def counts_symbol(symbol: str, profile: str) -> bool:
    """Returns whether `profile` counts anything of `symbol` when it stands within a text."""
    return counted(f"x{symbol}x", profile) != "xx"


@dataclass(frozen=True, eq=False)
class CountedTexts:
    """Texts as a profile counts them, converted once for all comparisons they take part in."""

    worded: Texts
    """The texts with the spaces that separate words."""
    characters: Texts
    """The texts with spaces only where the profile counts them."""

    @classmethod
    def of(cls, texts: Texts, profile: str) -> "CountedTexts":
        """Converts `texts` under `profile`."""
        return cls(*_both_forms([worded(text, profile) for text in texts], profile))

    @cached_property
    def jamo(self) -> Texts:
        """The `characters`, with each Hangul syllable as its conjoining jamo."""
        return [text.translate(_JAMO) for text in self.characters]

    @cached_property
    def words(self) -> Sequence[Sequence[str]]:
        """The words of each text."""
        return [text.split() for text in self.worded]

    @cached_property
    def letters(self) -> Texts:
        """The characters of the words of each text, without any space."""
        return [text.replace(" ", "") for text in self.worded]

    @cached_property
    def word_starts(self) -> list[bytes]:
        """For each text, one byte per character of `letters`: 1 where a word starts, else 0."""
        return [b"".join([_WORD_START[len(word)] for word in words]) for words in self.words]


@dataclass(frozen=True, eq=False)
class CountedReferences(CountedTexts):
    """References as a profile counts them, which convert the hypotheses of every run."""

    profile: str
    other_side: Texts | None
    """The other side of the dual transcriptions with its spaces; None where it does not count."""

    @classmethod
    def of(cls, texts: Texts, profile: str, other_side: Texts | None = None) -> "CountedReferences":
        """Converts references; `other_side` is the column of `Profile.other_side_among`, if any."""
        other = None if other_side is None else [worded(text, profile) for text in other_side]
        forms = _both_forms([worded(text, profile) for text in texts], profile)
        return cls(*forms, profile, other)

    def hypotheses(self, texts: Texts) -> CountedTexts:
        """Converts hypotheses, one per reference.

        A profile with readings counts them in the notation of their references. Raises
        `ValueError` for another number of texts.
        """
        found = [worded(text, self.profile) for text in texts]
        if PROFILES[self.profile].readings:
            sides = zip(self.worded, found, self._readings, strict=True)
            found = [in_notation_of(*each) for each in sides]
        return CountedTexts(*_both_forms(found, self.profile))

    @cached_property
    def _readings(self) -> list[list[Notation]]:
        others = [None] * len(self.worded) if self.other_side is None else self.other_side
        return [*map(other_readings, self.worded, others)]


def _both_forms(texts: Texts, profile: str) -> tuple[Texts, Texts]:
    """Returns `texts`, which are `worded`, and the same as `profile` counts their spaces."""
    return texts, [_without_spaces(text, profile) for text in texts]


def refuse_empty(references: CountedTexts, profile: str, where: object) -> None:
    """Raises `UserError` if no reference has a character that `profile` counts.

    `where` is what the message begins with.
    """
    if not any(references.characters):
        raise UserError(
            f"{where}: found no character in the references under {PROFILES[profile]}; a CER "
            f"needs at least one"
        )


class _Jamo(dict[int, str]):
    """Maps a code point to its jamo for `str.translate`, and fills itself as characters occur."""

    def __missing__(self, code: int) -> str:
        self[code] = "".join(UNITS["jamo"].split(chr(code)))
        return self[code]


class _WordStart(dict[int, bytes]):
    """Maps the length of a word to its bytes in `CountedTexts.word_starts`."""

    def __missing__(self, length: int) -> bytes:
        self[length] = b"\1" + bytes(length - 1)
        return self[length]


_JAMO = _Jamo()
_WORD_START = _WordStart()
