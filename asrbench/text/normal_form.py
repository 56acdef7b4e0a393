"""Normal form of text: composition, white space, punctuation."""

import re
import unicodedata


def normalise(text: str) -> str:
    """NFC, with every run of white space one space and none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def without_punctuation(text: str, keep: str = "") -> str:
    """`text` without the punctuation that writing adds to speech, in normal form.

    Removed is what Perl's `[[:punct:]]` names, all of Unicode's punctuation and the ASCII symbols
    of `SYMBOLS`, but for the characters of `keep`. What stands between two digits stays whole
    (0.1, 1,000, 3:1), for without it they are another number; and an apostrophe between letters
    that have a case (don't), for there it is spelling. Between Hangul it is a quotation mark.
    """
    text = normalise(text)
    stays = {i for between in _BETWEEN.finditer(text) for i in range(*between.span())}
    stays |= {i for i in range(1, len(text) - 1) if _is_apostrophe(text, i)}
    return normalise(
        "".join(
            character
            for i, character in enumerate(text)
            if i in stays or character in keep or not _is_mark(character)
        )
    )


SYMBOLS = "$+<=>^`|~"
"""What Unicode calls symbols and ASCII has beside its letters, digits and punctuation."""

_BETWEEN = re.compile(r"(?<=\d)(?:[^\w\s]|_)+(?=\d)")


def _is_mark(character: str) -> bool:
    return character in SYMBOLS or unicodedata.category(character).startswith("P")


def _is_apostrophe(text: str, i: int) -> bool:
    """Whether `text[i]` is an apostrophe within a word; it has neighbours."""
    if text[i] not in "'\u2019" or not _has_case(text[i + 1]):
        return False
    # Accents may stand between it and their letter.
    before = (c for c in reversed(text[:i]) if not unicodedata.category(c).startswith("M"))
    return _has_case(next(before, ""))


def _has_case(character: str) -> bool:
    return character.lower() != character.upper()


def is_hangul(symbol: str) -> bool:
    """True for a Hangul syllable or a conjoining jamo."""
    return "가" <= symbol <= "힣" or "\u1100" <= symbol <= "\u11ff"
