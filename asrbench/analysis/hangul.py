"""Hangul syllables and the jamo that they are composed of.

A syllable has an onset, a vowel and possibly a coda, numbered in this order by the Unicode Standard
(3.12, Conjoining Jamo Behavior): its code point is 0xAC00 + 588 onset + 28 vowel + coda.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", int, npt.NDArray[np.int64])

FIRST, LAST = ord("가"), ord("힣")
NO_CODA = "-"

POSITIONS = {
    "onset": "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ",
    "vowel": "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ",
    "coda": NO_CODA + "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ",
}
"""The jamo of each position of a syllable, in order."""


def are_syllables(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Returns which of the code points are Hangul syllables."""
    return (codes >= FIRST) & (codes <= LAST)


def decomposed(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Returns the numbers of onset, vowel and coda of each syllable, as the last axis."""
    return np.stack(numbers(codes - FIRST), axis=-1)


def shared_jamo(one: str, other: str) -> int:
    """Returns how many of onset, vowel and coda two characters share; 0 if one is no syllable."""
    codes = ord(one) - FIRST, ord(other) - FIRST
    if not all(0 <= code <= LAST - FIRST for code in codes):
        return 0
    return sum(a == b for a, b in zip(*map(numbers, codes), strict=True))


def numbers(index: Number) -> tuple[Number, Number, Number]:
    """Returns the numbers of onset, vowel and coda of a syllable, counted from the first one."""
    return index // 588, index % 588 // 28, index % 28
