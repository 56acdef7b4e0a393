"""Normal form of text: composition, white space, punctuation."""

import re
import unicodedata
from itertools import groupby

LONG = 1000
"""Characters of a text in which many combining marks in a row would take noticeable time."""


def normalise(text: str) -> str:
    """Returns `text` in normal form: NFC, runs of white space as one space, none at the ends."""
    return " ".join(nfc(text).split())


def nfc(text: str) -> str:
    """Returns `text` in Unicode's normal form C, in a time that grows with its length only.

    `unicodedata` brings the combining marks after a letter into their order by insertion, which
    takes hours for a million marks. So those of a long text are sorted before.
    """
    if len(text) > LONG and not text.isascii():
        decomposed = "".join(unicodedata.normalize("NFD", character) for character in text)
        runs = groupby(decomposed, key=lambda character: unicodedata.combining(character) > 0)
        text = "".join(
            "".join(sorted(run, key=unicodedata.combining) if marks else run) for marks, run in runs
        )
    return unicodedata.normalize("NFC", text)


def without_punctuation(text: str, keep: str = "") -> str:
    """Returns `text` in normal form without punctuation, except for the characters of `keep`.

    Punctuation is what Perl's `[[:punct:]]` matches: all punctuation of Unicode and the ASCII
    symbols of `SYMBOLS`. Punctuation between two digits stays (0.1, 1,000, 3:1), because the number
    would change without it. So does an apostrophe between letters that have a case (don't), where
    it is spelling; between Hangul it is a quotation mark.
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
"""ASCII characters that Unicode classes as symbols, not as punctuation."""

_BETWEEN = re.compile(r"(?<=\d)(?:[^\w\s]|_)+(?=\d)")


def _is_mark(character: str) -> bool:
    return character in SYMBOLS or unicodedata.category(character).startswith("P")


def _is_apostrophe(text: str, i: int) -> bool:
    """Returns whether `text[i]` is an apostrophe within a word. It must have two neighbours."""
    if text[i] not in "'\u2019" or not _has_case(text[i + 1]):
        return False
    # Combining accents may stand between the apostrophe and their letter.
    before = (c for c in reversed(text[:i]) if not unicodedata.category(c).startswith("M"))
    return _has_case(next(before, ""))


def _has_case(character: str) -> bool:
    return character.lower() != character.upper()


def is_hangul(symbol: str) -> bool:
    """Returns whether `symbol` is a Hangul syllable or a conjoining jamo."""
    return "가" <= symbol <= "힣" or "\u1100" <= symbol <= "\u11ff"
